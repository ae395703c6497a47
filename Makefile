# One vocabulary for people, hooks and CI. `make help` lists it.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
BIN := .venv/bin
ARGS ?=

.PHONY: help up down status test check format lock bench bench-gate postman newman clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

up: .venv/run  ## the whole loop, then the API: make up ARGS="--detach" returns when all is up
	@$(BIN)/contender up $(ARGS)

down: .venv/run  ## stop what `make up` started
	@$(BIN)/contender down

status: .venv/run  ## what runs, where, and who the champions are
	@$(BIN)/contender status

test: .venv/dev  ## every test that pip alone can provide for: make test ARGS="-k gate"
	$(BIN)/python -m pytest -n logical --dist loadfile --no-loadscope-reorder $(ARGS)

check: .venv/dev  ## ruff and mypy (strict)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv/dev  ## let ruff format and mend what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/dev  ## measure: the loop, the API, the time from alias to answer, rows learned, how the gate errs
	$(BIN)/python bench/loop.py
	$(BIN)/python bench/serving.py
	$(BIN)/python bench/learning.py
	$(BIN)/python bench/gate.py

bench-gate: .venv/dev  ## how often the gate errs, how soon it sees: make bench-gate ARGS="--replicas 5000"
	$(BIN)/python bench/gate.py $(ARGS)

postman: .venv/run  ## write the Postman collection anew from the services' OpenAPI documents
	$(BIN)/python -m postman

newman: .venv/run  ## send the Postman collection to services of its own, twice, and check every answer (needs Node.js)
	$(BIN)/python -m postman.run

lock: .venv/dev  ## write requirements.txt and requirements-dev.txt anew from the .in files
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header requirements.in -o requirements.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -c requirements.txt requirements-dev.in -o requirements-dev.txt

clean:  ## remove the virtual environment and caches (the state in .contender stays)
	rm -rf .venv postman/node_modules .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Contender needs Python 3.11 or later, and none was found. Install it, or: make $(MAKECMDGOALS) PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/run: .venv/bin/python requirements.txt pyproject.toml
	@echo "Installing the locked requirements into .venv (once; a minute or two) …"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv/dev: .venv/run requirements-dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@
