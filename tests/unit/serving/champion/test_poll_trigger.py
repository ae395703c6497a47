"""How a stored task follows its log."""

from serving.champion.model_holder import PollTrigger


def test_a_committed_event_brings_the_next_poll_forward_and_a_periodic_look_does_not() -> None:
    woken: list[int] = []
    trigger = PollTrigger(lambda: woken.append(1))

    trigger.follow(None)
    assert woken == []

    trigger.follow(7)
    assert woken == [1]
