"""Learners of pushed tasks: whose they are, and how one begins that has learned nothing."""

from collections.abc import Callable
from contextlib import suppress

from core.config.pushed_tasks import PushedTask
from core.errors import ConfigurationError
from training.event_log.store import LearnerKey
from training.learners.learner import Learner
from training.models.task_check import chosen, procedure


def key(task: PushedTask, contender: str) -> LearnerKey:
    """Whose learner it is: the contender's, as it is declared now."""
    return LearnerKey(task.name, contender, task.contender_hash(contender))


def declaring(task: PushedTask, wanted: LearnerKey) -> PushedTask | None:
    """The task with the contender declared as the key has it; None when it is declared otherwise, or no more."""
    with suppress(ConfigurationError):
        task, _ = chosen(task, wanted.contender)
    is_so = wanted.contender in task.contenders and key(task, wanted.contender) == wanted
    return task if is_so else None


def fresh(task: PushedTask, wanted: LearnerKey) -> Callable[[], Learner]:
    """Makes learners that have learned nothing.

    The call raises ConfigurationError when the contender is no longer declared as the key has it.
    """

    def make() -> Learner:
        declared = declaring(task, wanted)
        if declared is None:
            raise ConfigurationError(
                f"{wanted.contender} of {wanted.log} is no longer declared as when it learned, and its checkpoint is "
                "of other libraries.",
                "Restore that declaration, or go back to the libraries that it was made with.",
            )
        outcome, seed = task.target.kind, declared.contenders[wanted.contender].seed
        return Learner(procedure(declared, wanted.contender).online(outcome, seed), outcome)

    return make
