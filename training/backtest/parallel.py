"""Refits shared among the processors: other processes work at one list from its front, this one from its end.

Each refit is a pure function of the rows and the seed, so where it runs changes nothing in it.
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

WORTH_SECONDS = 4.0
"""Less work than this is done here: another process needs a second or two to import what it needs."""

_AHEAD = 4
"""Refits handed to each process in advance: enough that it does not wait for this one to finish its own."""

Work = Sequence[tuple[str, Refit]]


def run(task: Task, history: History, work: Work) -> list[RefitResult]:
    """The results of all refits (each with its contender's name), in their order."""
    seconds = [procedure(task, name).seconds_per_fit for name, _ in work]
    others = _processors_free(int(sum(seconds) // WORTH_SECONDS))
    own = _Bench(task, history)
    if not others:
        return [own.refit(*item) for item in work]
    order = sorted(range(len(work)), key=lambda index: -seconds[index])
    with ProcessPoolExecutor(others, get_context("spawn"), _start, (task, history)) as pool:
        done = _share(own, pool, [work[index] for index in order], others * _AHEAD)
    return [result for _, result in sorted(zip(order, done, strict=True), key=lambda pair: pair[0])]


def _processors_free(wanted: int) -> int:
    if not wanted:
        return 0
    from joblib import cpu_count  # knows the limits that a container sets

    return min(wanted, int(cpu_count()) - 1)


class _Bench:
    """Where refits are done: a task, its history, and its contenders made once."""

    def __init__(self, task: Task, history: History) -> None:
        self.task, self.history = task, history
        self.contenders: dict[str, Batch] = {}

    def refit(self, name: str, plan: Refit) -> RefitResult:
        if name not in self.contenders:
            contender = make(self.task, name)
            assert isinstance(contender, Batch), "only batch contenders are refitted"  # noqa: S101
            self.contenders[name] = contender
        return run_refit(self.contenders[name], self.history, plan)


def _share(own: _Bench, pool: ProcessPoolExecutor, work: Work, ahead: int) -> list[RefitResult]:
    """Hands out from the front, never more than `ahead` at once, and does the rest here from the end."""
    handed: list[Future[RefitResult]] = []
    running: deque[Future[RefitResult]] = deque()
    done_here: list[RefitResult] = []
    while len(handed) + len(done_here) < len(work):
        running = deque(future for future in running if not future.done())
        if len(running) < ahead:
            handed.append(_submit(pool, *work[len(handed)]))
            running.append(handed[-1])
        else:
            done_here.append(own.refit(*work[-1 - len(done_here)]))
    return [_result(own, future, item) for future, item in zip(handed, work, strict=False)] + done_here[::-1]


def _submit(pool: ProcessPoolExecutor, name: str, plan: Refit) -> Future[RefitResult]:
    try:
        return pool.submit(_refit, name, plan)
    except BrokenExecutor as error:
        broken: Future[RefitResult] = Future()
        broken.set_exception(error)
        return broken


def _result(own: _Bench, future: Future[RefitResult], item: tuple[str, Refit]) -> RefitResult:
    try:
        return future.result()
    except BrokenExecutor:  # a process was killed: what it had begun is done here
        return own.refit(*item)


_bench: list[_Bench] = []  # of this process, when it is one of the others


def _start(task: Task, history: History) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _bench.append(_Bench(task, history))


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None, "started by multiprocessing"  # noqa: S101
    connection.wait([parent.sentinel])
    os._exit(1)


def _refit(name: str, plan: Refit) -> RefitResult:
    return _bench[0].refit(name, plan)
