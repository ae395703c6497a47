"""`contender up` and `down`: embedded services, the pipeline of every task, the API; and how all of it is stopped."""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from contender.console.progress import ProgressReporter
from contender.console.signals import Interrupts, Stopped
from contender.local import services, state
from contender.local.admin_token import ensure_admin_token
from contender.local.demo_clock import DemoDays, demo_clock, with_demo_clock
from contender.local.pipeline import LoadedTasks, TaskFailure, jobs, load_tasks, report_failures, run_all
from contender.local.preflight import check, only_one
from contender.local.services import API, MLFLOW, STOP_SECONDS, RunningServices
from contender.servers.processes import Process
from core.config.settings import Settings
from core.config.task_files import display_path
from core.config.tasks import Task
from core.db.engine import migrate, open_engine
from core.errors import ContenderError
from core.jobs.clock import Clock, SystemClock

_OPTIONAL = (services.INGESTION, services.FEATURES)
"""Services whose failure does not stop the others."""
_STOPPED_BEFORE_MLFLOW = [service.name for service in services.ALL if service is not MLFLOW]
_WITHOUT_MLFLOW = "MLflow has ended. The API goes on with its last good models; jobs wait until MLflow is back."
_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class StartedServices:
    """The services of a finished start: settings with the addresses in them, and by name each URL and process."""

    settings: Settings
    urls: Mapping[str, str]
    processes: Mapping[str, Process]
    admin_token: Path | None
    """The file that keeps it; None when administrators have tokens of their own."""
    failures: tuple[TaskFailure, ...]
    """Tasks that failed or were skipped."""
    missing: Mapping[str, ContenderError]
    """Optional services that did not start, and why; both are reported already."""


def up(
    settings: Settings,
    clock: Clock,
    progress: ProgressReporter,
    *,
    detach: bool,
    announce: Callable[[StartedServices], None],
    accelerate: float | None = None,
) -> ContenderError | None:
    """Start what does not run yet, run the pipeline for every task, then wait for Ctrl-C (or return, detached).

    In the foreground everything is stopped at the end. Detached, services are stopped only when the start fails, and
    only if none ran before. Neither a task that fails nor the ingestion or features service keeps the rest from
    running.

    Args:
        settings: of the home.
        clock: the instant at which the jobs run.
        progress: shows the steps and the failures.
        detach: whether to return once everything is up.
        announce: called once every service answers.
        accelerate: seconds a day of a demonstration that goes on from the clock's instant; None for none.

    Returns:
        Detached, the first failure; else None.

    Raises:
        ContenderError: no task is valid, or a service that is needed did not start.
        Stopped: a signal came before everything was up or, detached, before the return.

    """
    check(settings)
    loaded = load_tasks(settings.tasks, progress)
    _check_model_name(settings)
    # The lock first: two commands at once would start the same services twice.
    with only_one(settings), Interrupts() as interrupts:
        ran_before = detach and _api_runs(settings)
        found = services.find(settings)
        stop_at_end, is_up, days = not ran_before, False, None
        ending = "Everything is stopped; nothing is lost. The same command goes on from here."
        progress.before_step = interrupts.check
        if accelerate is None:
            # The file of a demonstration that was killed would hold the services at its day.
            demo_clock(settings).remove()
        else:
            settings = with_demo_clock(settings, clock.now())
        try:
            started = _start(settings, clock, progress, found, loaded, supervised=not detach)
            is_up = True
            announce(started)
            report_failures(started.failures, progress)
            interrupts.check()
            if detach:
                stop_at_end = False
                errors = [*(failure.error for failure in started.failures), *started.missing.values()]
                return errors[0] if errors else None
            if accelerate is not None:
                days = _demo_days(started.settings, clock, progress, loaded, accelerate)
            _supervise(started, progress, interrupts, days)
        except Stopped:
            progress.note("Stopping." if stop_at_end else "Stopped; the services that ran before go on.")
            if days is not None:
                command = f"contender up --as-of {days.now:%Y-%m-%d} --accelerate {days.seconds:g}"
                ending = f"Everything is stopped; nothing is lost. To go on from here: {command}"
            if detach or not is_up:
                raise
        except Exception:
            ending = "Everything is stopped; nothing stored is lost. The error was:"
            raise
        finally:
            # A second Ctrl-C must not cut the stopping short: it would leave processes without a record.
            interrupts.ignore()
            if stop_at_end and down(settings):
                progress.note(ending)
            demo_clock(settings).remove()
    return None


def down(settings: Settings) -> bool:
    """Stop whatever runs in this home. False when nothing was running."""
    known = state.read(settings)
    postgres = services.postgres(settings)
    was_running = known is not None or postgres.has_started()
    if known is not None:
        # In this order: the supervisor would report each service that ends; the others write to MLflow until they end.
        for names in ([state.SUPERVISOR], _STOPPED_BEFORE_MLFLOW, [MLFLOW.name]):
            left = [
                services.process(settings, name, running)
                for name in names
                if (running := known.processes.get(name)) and running.pid != os.getpid() and running.has_survivors()
            ]
            # Side by side: each may take its whole grace to end.
            with ThreadPoolExecutor(len(names)) as pool:
                list(pool.map(lambda process: process.stop(grace_seconds=STOP_SECONDS), left))
    postgres.stop()
    state.forget(settings)
    return was_running


def _start(
    settings: Settings,
    clock: Clock,
    progress: ProgressReporter,
    found: RunningServices,
    loaded: LoadedTasks,
    *,
    supervised: bool,
) -> StartedServices:
    settings.cache.mkdir(parents=True, exist_ok=True)
    if found.stack.database_url:
        joins = bool(found.processes)
        progress.note("Joining the services that run." if joins else "The last run was not stopped; going on from it.")
        if joins and (ignored := _ignored_by_running(settings)):
            progress.note(f"{ignored} counts when services start: `contender down`, then the same command.")

    with progress.step("PostgreSQL") as done:
        url = services.postgres(settings).database("contender")
        # Recorded, so that `contender down` in another terminal ends this command too.
        supervisor = state.Running.of(os.getpid()) if supervised else None
        found.stack = replace(found.stack, database_url=url).with_process(state.SUPERVISOR, supervisor)
        state.write(settings, found.stack)
        settings = settings.model_copy(update={"database_url": url, "mlflow_url": found.stack.urls[MLFLOW.name]})
        with open_engine(settings.database_url, schema=settings.schema_name) as engine:
            migrate(engine, schema=settings.schema_name)
        admin_token = ensure_admin_token(settings)
        done(f"data in {display_path(settings.home / 'postgres')}")
    # The jobs take seconds to import, during which this process would only wait for MLflow.
    imports = threading.Thread(target=jobs, name="imports", daemon=True)
    with progress.step(MLFLOW.label) as done:
        found.start(MLFLOW, settings)
        imports.start()
        address = found.wait(MLFLOW)
        imports.join()
        done(address)
    for service in _OPTIONAL:  # started now and waited for last: they come up while the pipeline runs
        found.start(service, settings)
    failures = run_all(settings, loaded, clock, progress)
    progress.heading("serving")
    with progress.step(API.label) as done:
        found.start(API, settings)
        done(found.wait(API))
    missing: dict[str, ContenderError] = {}
    for service in _OPTIONAL:
        try:
            with progress.step(service.label) as done:
                done(found.wait(service))
        except ContenderError as error:
            progress.failure(error.problem, error.remedy)
            missing[service.name] = error
    return StartedServices(settings, found.stack.urls, found.processes, admin_token, failures, missing)


def _check_model_name(settings: Settings) -> None:
    """Raise ConfigurationError for a MODEL_NAME with which the API, which starts last, would refuse to start."""
    from serving.pushed import tasks as pushed_tasks

    pushed_tasks.check(settings)


def _ignored_by_running(settings: Settings) -> str:
    """The settings of this command that have no effect on services that run already, as they were given."""
    values = {"MODEL_NAME": settings.model_name, "N_LAGS": settings.n_lags}
    given = settings.model_fields_set
    ignored = [f"{name}={value}" for name, value in values.items() if name.lower() in given and value]
    return " ".join([*ignored, *(["--accelerate"] if settings.clock_file else [])])


def _api_runs(settings: Settings) -> bool:
    known = state.read(settings)
    return known is not None and known.runs(API.name)


def _demo_days(
    settings: Settings, clock: Clock, progress: ProgressReporter, loaded: LoadedTasks, seconds: float
) -> DemoDays:
    def run(day: Clock, due: Sequence[Task]) -> None:
        demo_clock(settings).move_to(day.now())
        run_all(settings, replace(loaded, tasks=tuple(due), skipped=()), day, progress)

    return DemoDays(seconds, loaded.tasks, SystemClock(), run, progress.note, clock.now())


def _supervise(
    started: StartedServices, progress: ProgressReporter, interrupts: Interrupts, days: DemoDays | None = None
) -> None:
    """Wait until the API ends or a signal comes; report each other service that ends, and go on without it."""
    notes = {MLFLOW.name: _WITHOUT_MLFLOW}
    notes |= {service.name: f"{service.label}: the service has ended; the others go on." for service in _OPTIONAL}
    watched = {name: started.processes[name] for name in notes if name not in started.missing}
    api = started.processes[API.name]
    while api.alive():
        threading.Event().wait(_POLL_SECONDS)
        interrupts.check()
        if days is not None:
            days.advance()
        for name in [name for name, process in watched.items() if not process.alive()]:
            del watched[name]
            progress.note(notes[name])
    raise ContenderError("The API has ended.", f"See {api.log}, then start again: contender up")
