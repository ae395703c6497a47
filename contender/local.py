"""The one-command run: embedded services, the loop for every task, the API; and how all of it is stopped."""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from contender import state
from contender.declared import Declared, Failure, declared
from contender.interrupts import Interrupts, Stopped
from contender.loop import jobs, run_all, tell_again
from contender.machine import check, only_one
from contender.progress import Progress
from contender.services import Postgres, Process, require_free_port, spawn, start_mlflow, wait_for_http, wait_for_mlflow
from core.clock import Clock
from core.connection import connect, migrate
from core.errors import ContenderError
from core.settings import Settings

API_START_SECONDS = 60
STOP_SECONDS = 30


@dataclass(frozen=True)
class Services:
    """What runs: settings that name every address, and the processes."""

    settings: Settings
    mlflow: Process
    api: Process
    failures: tuple[Failure, ...]


def up(
    settings: Settings, clock: Clock, progress: Progress, *, detach: bool, announce: Callable[[Settings], None]
) -> ContenderError | None:
    """Starts what does not run yet, runs the loop for every task, then waits for Ctrl-C (or returns, detached).

    `announce` is called once everything answers, with settings that name every address. In the foreground everything
    is stopped at the end, however it comes; detached, only what did not serve before, and only when the start fails.
    A task that fails, or whose file cannot be used, does not keep the others from being served: its failure is told
    and, detached, the first is returned. Raises ContenderError with what to do about it when not one task can be used
    or the services themselves cannot be had, Stopped when a signal came before everything was up.
    """
    check(settings)
    tasks = declared(settings.tasks, progress)
    with only_one(settings), Interrupts() as interrupts:
        joined = detach and _serves(settings)
        found = _find(settings)
        stop_at_end, is_up = not joined, False
        ending = "Everything is stopped; nothing is lost. The same command goes on from here."
        progress.before_step = interrupts.check
        try:
            services = _ensure(settings, clock, progress, found, tasks, supervised=not detach)
            announce(services.settings)
            tell_again(services.failures, progress)
            interrupts.check()
            is_up = True
            if detach:
                stop_at_end = False
                return services.failures[0].error if services.failures else None
            _wait(services, progress, interrupts)
        except Stopped:
            progress.note("Stopping." if stop_at_end else "Stopped here; what served before serves on.")
            if not is_up:
                raise
        except Exception:
            ending = "Everything is stopped; nothing stored is lost. What went wrong:"
            raise
        finally:
            interrupts.ignore()
            if stop_at_end and down(settings):
                progress.note(ending)
    return None


def down(settings: Settings) -> bool:
    """Stops whatever runs in this home, Postgres last. False when nothing was running."""
    known = state.read(settings)
    postgres = _postgres(settings)
    was_running = known is not None or postgres.has_started()
    if known is not None:
        for name, running in (("contender", known.supervisor), ("api", known.api), ("mlflow", known.mlflow)):
            if running is not None and running.pid != os.getpid() and running.left():
                _process(settings, name, running).stop(grace_seconds=STOP_SECONDS)
    postgres.stop()
    state.forget(settings)
    return was_running


@dataclass(frozen=True)
class Found:
    """What an earlier run left: its stack as written down, and those of its processes that can be joined."""

    stack: state.Stack
    mlflow: Process | None
    api: Process | None


def _find(settings: Settings) -> Found:
    """Looks for what runs already, clears what was left of what does not, and sees that the ports needed are free."""
    known = state.read(settings) or state.Stack()
    for name, running in (("api", known.api), ("mlflow", known.mlflow)):
        if running is not None and not running.alive() and running.left():
            _process(settings, name, running).stop(grace_seconds=STOP_SECONDS)
    mlflow, api = (_adopt(settings, name, running) for name, running in (("mlflow", known.mlflow), ("api", known.api)))
    if mlflow is None:
        require_free_port(settings.mlflow_port, "MLflow", "CONTENDER_MLFLOW_PORT")
        known = replace(known, mlflow_url=f"http://127.0.0.1:{settings.mlflow_port}")
    if api is None:
        require_free_port(settings.api_port, "the API", "CONTENDER_API_PORT")
        known = replace(known, api_url=f"http://{settings.api_host}:{settings.api_port}")
    return Found(known, mlflow, api)


def _ensure(
    settings: Settings, clock: Clock, progress: Progress, found: Found, tasks: Declared, *, supervised: bool
) -> Services:
    settings.cache.mkdir(parents=True, exist_ok=True)
    known, mlflow, api = found.stack, found.mlflow, found.api
    if known.database_url:
        progress.note(
            "Joining what already runs." if api else "The last run ended without stopping; going on from there."
        )

    with progress.step("PostgreSQL") as done:
        postgres = _postgres(settings)
        stack = replace(
            known,
            database_url=postgres.database("contender"),
            supervisor=state.Running.of(os.getpid()) if supervised else None,
        )
        state.write(settings, stack)
        settings = settings.model_copy(update={"database_url": stack.database_url, "mlflow_url": stack.mlflow_url})
        engine = connect(settings.database_url, schema=settings.schema_name)
        migrate(engine, schema=settings.schema_name)
        engine.dispose()
        done(f"data in {settings.home.name}/postgres")
    imports = threading.Thread(target=jobs, name="imports", daemon=True)  # seconds that MLflow's start leaves idle
    with progress.step("MLflow") as done:
        if mlflow is None:
            start = partial(start_mlflow, settings, postgres.database("mlflow"), settings.mlflow_port)
            mlflow, stack = state.start(settings, stack, "mlflow", start)
        imports.start()
        wait_for_mlflow(stack.mlflow_url, mlflow)
        imports.join()
        done(stack.mlflow_url)
    failures = run_all(settings, tasks, clock, progress)
    progress.heading("serving")
    with progress.step("API") as done:
        if api is None:
            start = partial(spawn, "api", ["-m", "serving"], settings)
            api, stack = state.start(settings, stack, "api", start)
        wait_for_http(f"{stack.api_url}/health/ready", api, API_START_SECONDS)
        done(stack.api_url)
    return Services(settings, mlflow, api, failures)


def _postgres(settings: Settings) -> Postgres:
    return Postgres(settings.home / "postgres" / "data")


def _serves(settings: Settings) -> bool:
    known = state.read(settings)
    return known is not None and known.api is not None and known.api.alive()


def _adopt(settings: Settings, name: str, running: state.Running | None) -> Process | None:
    """The process that an earlier run left running, or None."""
    return _process(settings, name, running) if running is not None and running.alive() else None


def _process(settings: Settings, name: str, running: state.Running) -> Process:
    return Process(name, running.pid, settings.home / "logs" / f"{name}.log")


def _wait(services: Services, progress: Progress, interrupts: Interrupts) -> None:
    """Waits until the API ends or a signal comes; says so when MLflow ends, and goes on without it."""
    mlflow_was_alive = True
    while services.api.alive():
        threading.Event().wait(0.5)
        interrupts.check()
        if mlflow_was_alive and not services.mlflow.alive():
            mlflow_was_alive = False
            progress.note(
                "MLflow has ended. The API goes on with its last good models; jobs wait until MLflow is back."
            )
    raise ContenderError("The API has ended.", f"See {services.api.log}, then start again.")
