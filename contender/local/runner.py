"""The one-command run: embedded services, the loop for every task, the API; and how all of it is stopped."""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from contender.console.progress import ProgressReporter
from contender.console.signals import Interrupts, Stopped
from contender.local import running_services, state
from contender.local import services as service_specs
from contender.local.admin_token import ensure_admin_token
from contender.local.declared import Declared, Failure, declared
from contender.local.demo_clock import Days, moved, told_clock
from contender.local.pipeline import jobs, run_all, tell_again
from contender.local.preflight import check, only_one
from contender.local.running_services import STOP_SECONDS, RunningServices
from contender.servers.processes import Process
from core.config.settings import Settings
from core.config.tasks import Task
from core.db.engine import connect, migrate
from core.errors import ContenderError
from core.jobs.clock import Clock, SystemClock

_BESIDE = (service_specs.INGESTION, service_specs.FEATURES)
"""Services without which all else goes on."""
_BEFORE_MLFLOW = [service.name for service in service_specs.ALL if service is not service_specs.MLFLOW]
_WITHOUT_MLFLOW = "MLflow has ended. The API goes on with its last good models; jobs wait until MLflow is back."


@dataclass(frozen=True)
class Services:
    """What runs: settings that name the database and MLflow, and by a service's name its address and its process."""

    settings: Settings
    urls: Mapping[str, str]
    processes: Mapping[str, Process]
    admin_token: Path | None
    """The file that keeps it; None when administrators have tokens of their own."""
    failures: tuple[Failure, ...]
    """Tasks that are not done."""
    missing: Mapping[str, ContenderError]
    """Services that did not start, and why; told when it happened."""


def up(
    settings: Settings,
    clock: Clock,
    progress: ProgressReporter,
    *,
    detach: bool,
    announce: Callable[[Services], None],
    accelerate: float | None = None,
) -> ContenderError | None:
    """Starts what does not run yet, runs the loop for every task, then waits for Ctrl-C (or returns, detached).

    `announce` is called once everything answers. With `accelerate`, a day passes every so many seconds from then on.
    In the foreground everything is stopped at the end, however it comes; detached, only what did not serve before,
    and only when the start fails. A task that fails, or whose file cannot be used, does not keep the others from
    being served, nor do the ingestion and the features service: the
    failure is told and, detached, the first is returned. Raises ContenderError with what to do about it when not one
    task can be used or the other services cannot be had, Stopped when a signal came before everything was up or,
    detached, before it returned.
    """
    check(settings)
    tasks = declared(settings.tasks, progress)
    _check_model(settings)
    with only_one(settings), Interrupts() as interrupts:
        joined = detach and _serves(settings)
        found = running_services.find(settings)
        stop_at_end, is_up, days = not joined, False, None
        ending = "Everything is stopped; nothing is lost. The same command goes on from here."
        progress.before_step = interrupts.check
        if accelerate is None:
            told_clock(settings).stop()
        else:
            settings = moved(settings, clock.now())
        try:
            services = _ensure(settings, clock, progress, found, tasks, supervised=not detach)
            is_up = True
            announce(services)
            tell_again(services.failures, progress)
            interrupts.check()
            if detach:
                stop_at_end = False
                errors = [*(failure.error for failure in services.failures), *services.missing.values()]
                return errors[0] if errors else None
            days = None if accelerate is None else _days(services.settings, clock, progress, tasks, accelerate)
            _wait(services, progress, interrupts, days)
        except Stopped:
            progress.note("Stopping." if stop_at_end else "Stopped here; what served before serves on.")
            if days is not None:
                again = f"contender up --as-of {days.now:%Y-%m-%d} --accelerate {days.seconds:g}"
                ending = f"Everything is stopped; nothing is lost. To go on from here: {again}"
            if detach or not is_up:
                raise
        except Exception:
            ending = "Everything is stopped; nothing stored is lost. What went wrong:"
            raise
        finally:
            interrupts.ignore()
            if stop_at_end and down(settings):
                progress.note(ending)
            told_clock(settings).stop()
    return None


def down(settings: Settings) -> bool:
    """Stops whatever runs in this home, Postgres last. False when nothing was running."""
    known = state.read(settings)
    postgres = service_specs.postgres(settings)
    was_running = known is not None or postgres.has_started()
    if known is not None:
        for names in ([state.SUPERVISOR], _BEFORE_MLFLOW, [service_specs.MLFLOW.name]):
            left = [
                running_services.process(settings, name, running)
                for name in names
                if (running := known.processes.get(name)) and running.pid != os.getpid() and running.left()
            ]
            with ThreadPoolExecutor(len(names)) as pool:
                list(pool.map(lambda process: process.stop(grace_seconds=STOP_SECONDS), left))
    postgres.stop()
    state.forget(settings)
    return was_running


def _ensure(
    settings: Settings,
    clock: Clock,
    progress: ProgressReporter,
    found: RunningServices,
    tasks: Declared,
    *,
    supervised: bool,
) -> Services:
    settings.cache.mkdir(parents=True, exist_ok=True)
    if found.stack.database_url:
        joins = bool(found.processes)
        left = "The last run ended without stopping; going on from there."
        progress.note("Joining what already runs." if joins else left)
        if joins and (late := _told_too_late(settings)):
            progress.note(f"{late} counts when services start: `contender down`, then the same command.")

    with progress.step("PostgreSQL") as done:
        url = service_specs.postgres(settings).database("contender")
        supervisor = state.Running.of(os.getpid()) if supervised else None
        found.stack = replace(found.stack, database_url=url).with_process(state.SUPERVISOR, supervisor)
        state.write(settings, found.stack)
        mlflow_url = found.stack.urls[service_specs.MLFLOW.name]
        settings = settings.model_copy(update={"database_url": url, "mlflow_url": mlflow_url})
        engine = connect(settings.database_url, schema=settings.schema_name)
        migrate(engine, schema=settings.schema_name)
        engine.dispose()
        admin_token = ensure_admin_token(settings)
        done(f"data in {settings.home.name}/postgres")
    imports = threading.Thread(target=jobs, name="imports", daemon=True)  # seconds that MLflow's start leaves idle
    with progress.step(service_specs.MLFLOW.title) as done:
        found.begin(service_specs.MLFLOW, settings)
        imports.start()
        said = found.wait(service_specs.MLFLOW)
        imports.join()
        done(said)
    for service in _BESIDE:  # they come up while the loop runs
        found.begin(service, settings)
    failures = run_all(settings, tasks, clock, progress)
    progress.heading("serving")
    with progress.step(service_specs.API.title) as done:
        found.begin(service_specs.API, settings)
        done(found.wait(service_specs.API))
    missing: dict[str, ContenderError] = {}
    for service in _BESIDE:
        try:
            with progress.step(service.title) as done:
                done(found.wait(service))
        except ContenderError as error:
            progress.failure(error.problem, error.remedy)
            missing[service.name] = error
    return Services(settings, found.stack.urls, found.processes, admin_token, failures, missing)


def _check_model(settings: Settings) -> None:
    """Raises ConfigurationError for a MODEL_NAME with which the API would not start when all else is done."""
    from serving.pushed import tasks as live_tasks

    live_tasks.check(settings)


def _told_too_late(settings: Settings) -> str:
    """What was asked of services that run already, as it was asked."""
    asked = {"MODEL_NAME": settings.model_name, "N_LAGS": settings.n_lags}
    given = settings.model_fields_set
    told = [f"{name}={value}" for name, value in asked.items() if name.lower() in given and value]
    return " ".join([*told, *(["--accelerate"] if settings.clock_file else [])])


def _serves(settings: Settings) -> bool:
    known = state.read(settings)
    return known is not None and known.runs(service_specs.API.name)


def _days(settings: Settings, clock: Clock, progress: ProgressReporter, tasks: Declared, seconds: float) -> Days:
    def run(day: Clock, due: Sequence[Task]) -> None:
        told_clock(settings).tell(day.now())
        run_all(settings, replace(tasks, tasks=tuple(due), skipped=()), day, progress)

    return Days(seconds, tasks.tasks, SystemClock(), run, progress.note, clock.now())


def _wait(services: Services, progress: ProgressReporter, interrupts: Interrupts, days: Days | None = None) -> None:
    """Waits until the API ends or a signal comes; says so when another service ends, and goes on without it."""
    said = {service_specs.MLFLOW.name: _WITHOUT_MLFLOW}
    said |= {service.name: f"{service.title}: the service has ended; all else goes on." for service in _BESIDE}
    watched = {name: services.processes[name] for name in said if name not in services.missing}
    api = services.processes[service_specs.API.name]
    while api.alive():
        threading.Event().wait(0.5)
        interrupts.check()
        if days is not None:
            days.go_on()
        for name in [name for name, process in watched.items() if not process.alive()]:
            del watched[name]
            progress.note(said[name])
    raise ContenderError("The API has ended.", f"See {api.log}, then start again: contender up")
