"""Refits shared among the processors: other processes take them from the front of a list, this one from its end.

A refit is a pure function of the rows and the seed, so where it runs does not change its result.
"""

import os
import signal
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from multiprocessing import connection, get_context, parent_process

from core.config.tasks import Task
from features.arrays import History
from training.backtest.walkers import Refit, RefitResult, run_refit
from training.models.base import Batch
from training.models.catalog import make, procedure

# Work of fewer seconds stays in this process: another one needs a second or two for its imports.
WORTH_SECONDS = 4.0

# Refits queued for each process: enough that it never waits while this one is busy with a refit of its own.
_AHEAD = 4

# A pool of our own and not joblib's: its workers all have to start and import while the caller waits. 144 refits on two
# shared cores took 31 and 38 s here (17 and 18 s of processor time), 43 s with joblib (20 s).
Work = Sequence[tuple[str, Refit]]


def run(task: Task, history: History, work: Work) -> list[RefitResult]:
    """The results of all refits (each with its contender's name), in their order."""
    seconds = [procedure(task, name).seconds_per_fit for name, _ in work]
    others = _processes_wanted(int(sum(seconds) // WORTH_SECONDS))
    local = _Refitter(task, history)
    if not others:
        return [local.refit(*item) for item in work]
    # The longest first: at the end the processes wait for short ones.
    order = sorted(range(len(work)), key=lambda index: -seconds[index])
    with ProcessPoolExecutor(others, get_context("spawn"), _start, (task, history)) as pool:
        done = _share(local, pool, [work[index] for index in order], others * _AHEAD)
    return [result for _, result in sorted(zip(order, done, strict=True), key=lambda pair: pair[0])]


def _processes_wanted(wanted: int) -> int:
    if not wanted:
        return 0
    from joblib import cpu_count  # knows the limits that a container sets

    # Less one: this process refits as well.
    return min(wanted, int(cpu_count()) - 1)


class _Refitter:
    """Runs refits on the history of a task, whose contenders it makes once."""

    def __init__(self, task: Task, history: History) -> None:
        self.task, self.history = task, history
        self.contenders: dict[str, Batch] = {}

    def refit(self, name: str, refit: Refit) -> RefitResult:
        if name not in self.contenders:
            contender = make(self.task, name)
            assert isinstance(contender, Batch), "only batch contenders are refitted"  # noqa: S101
            self.contenders[name] = contender
        return run_refit(self.contenders[name], self.history, refit)


def _share(local: _Refitter, pool: ProcessPoolExecutor, work: Work, ahead: int) -> list[RefitResult]:
    """Submits from the front, at most `ahead` at a time, and runs the rest here from the end."""
    submitted: list[Future[RefitResult]] = []
    running: deque[Future[RefitResult]] = deque()
    done_here: list[RefitResult] = []
    while len(submitted) + len(done_here) < len(work):
        running = deque(future for future in running if not future.done())
        if len(running) < ahead:
            submitted.append(_submit(pool, *work[len(submitted)]))
            running.append(submitted[-1])
        else:
            done_here.append(local.refit(*work[-1 - len(done_here)]))
    return [_result(local, future, item) for future, item in zip(submitted, work, strict=False)] + done_here[::-1]


def _submit(pool: ProcessPoolExecutor, name: str, refit: Refit) -> Future[RefitResult]:
    try:
        return pool.submit(_refit, name, refit)
    except BrokenExecutor as error:
        broken: Future[RefitResult] = Future()
        broken.set_exception(error)
        return broken


def _result(local: _Refitter, future: Future[RefitResult], item: tuple[str, Refit]) -> RefitResult:
    try:
        return future.result()
    except BrokenExecutor:  # a process was killed, by the kernel for its memory, say: the refit is run here
        return local.refit(*item)


_refitter: list[_Refitter] = []  # of this process, when it is one of the pool


def _start(task: Task, history: History) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _refitter.append(_Refitter(task, history))


def _end_with_parent() -> None:
    # A parent that is killed by SIGKILL cannot end its pool.
    parent = parent_process()
    assert parent is not None, "started by multiprocessing"  # noqa: S101
    connection.wait([parent.sentinel])
    os._exit(1)


def _refit(name: str, refit: Refit) -> RefitResult:
    return _refitter[0].refit(name, refit)
