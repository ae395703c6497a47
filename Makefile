# One vocabulary for people, hooks and CI. `make help` lists it.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
BIN := .venv/bin
ARGS ?=

# The cluster: which overlay, and which image its nodes run. The tag names the commit, and what was changed since.
OVERLAY ?= k3d
CHANGED := $(shell git diff --quiet HEAD -- 2>/dev/null || git diff HEAD -- 2>/dev/null | git hash-object --stdin | cut -c1-7)
TAG ?= $(shell git rev-parse --short HEAD 2>/dev/null || echo 0.1.0)$(if $(CHANGED),-$(CHANGED))
IMAGE ?= contender:$(TAG)
K3D ?= contender
COMPONENTS ?=

.PHONY: help up down status test test-fast check format lock bench bench-gate postman newman clean \
  image cluster-up cluster-down apply argo port-forward cluster-test manifests-test vagrant-test
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

up: .venv/run  ## the whole loop, then the API: make up ARGS="--detach" returns when all is up
	@$(BIN)/contender up $(ARGS)

down: .venv/run  ## stop what `make up` started
	@$(BIN)/contender down

status: .venv/run  ## what runs, where, and the champions
	@$(BIN)/contender status

# One process more than processors, for tests wait for servers. Files stay whole: their fixtures are made once.
PYTEST := $(BIN)/python -m pytest -n $$(($$(getconf _NPROCESSORS_ONLN) + 1)) --dist loadfile --no-loadscope-reorder

test: .venv/dev  ## every test that pip alone can provide for, examples in docstrings too: make test ARGS="-k gate"
	$(PYTEST) $(ARGS)

test-fast: .venv/dev  ## the tests that start neither MLflow nor service processes: about a minute and a half
	$(PYTEST) -m "not slow" $(ARGS)

check: .venv/dev  ## ruff and mypy (strict)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv/dev  ## let ruff format the code and correct what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/dev  ## measure: the loop, the API, the time from alias to answer, rows learned, how the gate errs
	$(BIN)/python bench/loop.py
	$(BIN)/python bench/serving.py
	$(BIN)/python bench/learning.py
	$(BIN)/python bench/gate.py

bench-gate: .venv/dev  ## how often the gate errs, how soon it sees: make bench-gate ARGS="--replicas 5000"
	$(BIN)/python bench/gate.py $(ARGS)

postman: .venv/run  ## write the Postman collection from the services' OpenAPI documents
	$(BIN)/python -m postman

newman: .venv/run  ## send the Postman collection to services of its own, twice, and check every answer (needs Node.js)
	$(BIN)/python -m postman.run

image:  ## build the image of the cluster, with docker, podman or buildah: make image TAG=0.1.0
	@k8s/image/build.sh $(IMAGE)

cluster-up:  ## a k3d cluster of two nodes, with the services' ports on this machine
	k3d cluster create $(K3D) --agents 1 --wait -p 8000:8000@loadbalancer -p 8001:8001@loadbalancer -p 8002:8002@loadbalancer -p 30951:30951@server:0
	@echo "Now: make apply"

cluster-down:  ## delete the k3d cluster, with all that is on it
	k3d cluster delete $(K3D)

apply: .venv/run image  ## install the system on the cluster of kubectl, or upgrade it: make apply OVERLAY=minikube
	@case $(OVERLAY) in \
	  k3d) k3d image import $(IMAGE) -c $(K3D) ;; \
	  minikube) minikube image load $(IMAGE) ;; \
	esac
	@CONTENDER=$(BIN)/contender COMPONENTS="$(COMPONENTS)" k8s/apply.sh $(OVERLAY) $(IMAGE)

argo:  ## Argo Workflows with its pages, pinned; then: make apply COMPONENTS=argo (needs the internet)
	kubectl apply --server-side --force-conflicts -k k8s/argo-install
	kubectl -n contender rollout status deployment/workflow-controller deployment/argo-server --timeout=300s

port-forward:  ## the API, features, ingestion, MLflow and Argo of the cluster on this machine, until Ctrl-C
	@k8s/port-forward.sh

cluster-test: .venv/dev  ## the whole system on the cluster that KUBECONFIG names: make cluster-test CLUSTER_IMAGE=NAME:TAG
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest tests/e2e/cluster $(ARGS)

manifests-test: .venv/dev  ## render every overlay and component; schemas of Kubernetes and our own lint (needs kubectl)
	$(BIN)/python -m pytest tests/e2e/manifests $(ARGS)

vagrant-test: .venv/dev  ## the Vagrantfile, shellcheck, and the provisioning in a Debian of its own (needs root and Debian)
	$(BIN)/python -m pytest tests/e2e/vagrant $(ARGS)

lock: .venv/dev  ## write requirements.txt and requirements-dev.txt from the .in files
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header requirements.in -o requirements.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -c requirements.txt requirements.in requirements-dev.in -o requirements-dev.txt

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
