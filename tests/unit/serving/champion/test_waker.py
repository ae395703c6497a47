"""What the log watch sees of a stored task's log."""

from serving.champion.model_holder import Waker


def test_a_notice_wakes_and_the_watchs_own_look_does_not() -> None:
    woken: list[int] = []
    waker = Waker(lambda: woken.append(1))

    waker.live.follow(None)
    assert woken == []

    waker.live.follow(7)
    assert woken == [1]
