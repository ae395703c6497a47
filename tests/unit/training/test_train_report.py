import pytest

from training.evaluation.outcomes import LabelWrite
from training.train import TrainReport


def report(*, predictions: int = 0, labels: int = 0, is_new: bool = True) -> TrainReport:
    return TrainReport("GSPC", "2018-06-29", 6, predictions, LabelWrite(labels, 0), (), (), is_new)


@pytest.mark.parametrize("idle", [report(is_new=False), report()], ids=["done before", "gone past before"])
def test_where_nothing_was_new_it_says_so_without_figures(idle: TrainReport) -> None:
    assert idle.sentence() == "nothing to do: all contenders have been through 2018-06-29 of GSPC"


def test_a_label_alone_is_something() -> None:
    assert report(labels=1).sentence() == "6 contenders through 2018-06-29 of GSPC: 0 predictions, 1 labels, 0 versions"
