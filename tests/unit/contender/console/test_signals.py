import os
import signal
from contextlib import suppress

import pytest

from contender.console.signals import Interrupts, Stopped


def test_a_signal_raises_where_the_program_is_and_again_the_next_time() -> None:
    with Interrupts() as interrupts:
        for number in (signal.SIGINT, signal.SIGTERM):
            with pytest.raises(Stopped) as stopped:
                os.kill(os.getpid(), number)
            assert stopped.value.exit_code == 128 + number
        assert interrupts.requested == signal.SIGTERM


def test_a_stop_that_was_swallowed_is_heeded_at_the_next_step() -> None:
    with Interrupts() as interrupts:
        with suppress(BaseException):  # as a finaliser does
            os.kill(os.getpid(), signal.SIGINT)

        with pytest.raises(Stopped):
            interrupts.check()


def test_while_the_services_are_stopped_signals_change_nothing() -> None:
    with Interrupts() as interrupts:
        interrupts.ignore()
        os.kill(os.getpid(), signal.SIGTERM)
        interrupts.check()


def test_afterwards_signals_mean_what_they_meant_before() -> None:
    before = signal.getsignal(signal.SIGTERM)

    with Interrupts():
        assert signal.getsignal(signal.SIGTERM) != before

    assert signal.getsignal(signal.SIGTERM) == before
