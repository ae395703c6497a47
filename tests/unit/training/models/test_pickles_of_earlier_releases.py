"""Models that release 73b7305 pickled (`scripts/make-pickle-fixture.py`) load and go on as they did there."""

import base64
import json
import pickletools
import zlib
from typing import Any

import numpy as np
import pytest

from tests.support.paths import REPOSITORY
from training.models.base import Incremental, Model, deserialize, serialize
from training.models.catalog import PROCEDURES
from training.models.online import Online
from training.models.online_catalog import ONLINE

FIXTURE = json.loads((REPOSITORY / "tests" / "fixtures" / "pickles-73b7305.json").read_text())
MODELS, LEARNERS = FIXTURE["models"], FIXTURE["learners"]
WITHIN = 1e-12  # another processor may round the last digit of an exponential otherwise

every_model = pytest.mark.parametrize("kept", MODELS, ids=[f"{kept['name']} of {kept['target']}" for kept in MODELS])
every_learner = pytest.mark.parametrize("kept", LEARNERS, ids=[kept["name"] for kept in LEARNERS])


def unpacked(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))


def values(predicted: Any) -> list[float]:
    return [np.nan if value is None else value for value in predicted]


def as_recorded(recorded: list[float | None]) -> Any:
    return pytest.approx(values(recorded), rel=WITHIN, nan_ok=True)


def test_the_fixture_has_every_procedure_of_the_catalogues() -> None:
    assert {kept["name"] for kept in MODELS} >= set(PROCEDURES)
    assert {kept["name"] for kept in LEARNERS} >= set(ONLINE)


@every_model
def test_a_model_predicts_and_learns_on_as_in_the_release_that_pickled_it(kept: dict[str, Any]) -> None:
    model: Model = deserialize(unpacked(kept["pickle"]))

    assert model.predict(np.array(kept["probes"])).tolist() == as_recorded(kept["predictions"])
    if "further" in kept:
        learning: Incremental = deserialize(unpacked(kept["pickle"]))
        for row, label in kept["further"]:
            learning.learn(np.array(row), label)
        assert learning.predict(np.array(kept["probes_then"])).tolist() == as_recorded(kept["predictions_then"])


@every_learner
def test_a_model_of_events_predicts_and_learns_on_as_in_the_release_that_pickled_it(kept: dict[str, Any]) -> None:
    model: Online = deserialize(unpacked(kept["learner"]))["model"]

    assert values(model.predict(row, "a") for row in kept["probes"]) == as_recorded(kept["predictions"])
    for row, target in kept["further"]:
        model.learn(dict(zip(FIXTURE["features"], row, strict=True)), target, "a")
    assert values(model.predict(row, "a") for row in kept["probes"]) == as_recorded(kept["predictions_then"])


@every_model
def test_pickled_again_it_names_only_modules_of_today(kept: dict[str, Any]) -> None:
    again = serialize(deserialize(unpacked(kept["pickle"])))

    texts = {argument for _, argument, _ in pickletools.genops(again) if isinstance(argument, str)}
    assert not {text for text in texts if text.startswith("training.") and text.count(".") == 1}
