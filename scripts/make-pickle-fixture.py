"""Pickles of every model as release 73b7305 wrote them: what its databases, bundles and MLflow versions hold.

Run once, in a checkout of that release; the result is `tests/fixtures/pickles-73b7305.json`:

    git worktree add /tmp/release 73b7305
    cd /tmp/release && PYTHONPATH=. python REPOSITORY/scripts/make-pickle-fixture.py > REPOSITORY/tests/fixtures/...json

Every entry has the pickle (zlib, base64), what the model predicts for the probe rows, and, where it learns row by row,
what it predicts after it has learned the `further` rows.
"""

import base64
import json
import math
import random
import sys
import zlib
from importlib import import_module
from typing import Any

# By name: these modules exist in that release alone.
CONTENDERS = import_module("training.contenders")
SHAPE = import_module("training.procedures").Shape
FREEZE = import_module("training.positions").freeze
ONLINE = import_module("training.online_procedures")
LEARNER = import_module("training.learner").Learner
EVENT = import_module("training.events").Event
ROW_LEARNERS = import_module("training.row_learners")
FEATURES = ("in_1", "in_2", "month")
SMALL: dict[str, dict[str, Any]] = {  # the pickles are to stay small
    "random_forest": {"n_estimators": 3},
    "hist_gradient_boosting": {"max_iter": 3, "min_samples_leaf": 5},
    "seasonal_naive": {"season": 4},
    "seasonal_growth": {"season": 4},
    "river_holt_winters": {"season": 4, "multiplicative": True},
    "holt_winters": {"season": 4},
    "river_snarimax": {"p": 2, "d": 1, "q": 1, "m": 4, "sd": 1},
    "snarimax": {"p": 2, "q": 1, "m": 4},
    "decision_tree": {"grace_period": 10},
    "decision_tree_classifier": {"grace_period": 10},
    "bagging_regressor": {"members": 2},
    "bagging_classifier": {"members": 2},
    "knn_regressor": {"window": 10},
    "amf_regressor": {"trees": 2, "max_nodes": 7},
}
ROWS, PROBES = 40, 4


def history(seed: int) -> list[tuple[list[float], float]]:
    """A positive series that grows and has a season of four: lags, month, and the value that follows."""
    chance = random.Random(seed)
    values = [100 + 2 * i + 10 * (i % 4) + chance.gauss(0, 3) for i in range(ROWS + 2 * PROBES + 2)]
    return [([values[i - 1], values[i - 2], float(i % 12 + 1)], values[i]) for i in range(2, len(values))]


def labelled(target: str) -> list[tuple[list[float], float]]:
    """The rows with their labels: the next value, or whether it is the larger one."""
    rows = history(3)
    return rows if target in ("value", "constant") else [(row, float(value > row[0])) for row, value in rows]


def packed(content: bytes) -> str:
    """A pickle as a text."""
    return base64.b64encode(zlib.compress(content, 9)).decode()


def plain(values: Any) -> list[float | None]:
    """Predictions as JSON has them."""
    return [None if value is None or math.isnan(value) else float(value) for value in values]


def batches_and_incrementals() -> list[dict[str, Any]]:
    """The models of tasks with a stored source."""
    import numpy as np

    made = []
    for name, procedure in CONTENDERS.PROCEDURES.items():
        for target in [*sorted(procedure.targets), *(["constant"] if name == "seasonal_ridge" else [])]:
            rows = labelled(target)
            matrix, labels = np.array([row for row, _ in rows]), np.array([label for _, label in rows])
            if target == "constant":
                labels = -labels  # no growth of negative values: the model says nothing
            shape = SHAPE(FEATURES, "value" if target == "constant" else target, 7)
            probes, further = matrix[ROWS : ROWS + PROBES], slice(ROWS, ROWS + PROBES)
            model = procedure.model_validate(SMALL.get(name, {})).make(shape)
            entry = {"name": name, "target": target, "probes": probes.tolist()}
            if procedure.kind == "batch":
                model = model.fit(matrix[:ROWS], labels[:ROWS])
                entry |= {"pickle": packed(FREEZE(model)), "predictions": plain(model.predict(probes))}
            else:
                for row, label in zip(matrix[:ROWS], labels[:ROWS], strict=True):
                    model.learn(row, float(label))
                entry |= {"pickle": packed(FREEZE(model)), "predictions": plain(model.predict(probes))}
                entry["further"] = [
                    [row.tolist(), float(y)] for row, y in zip(matrix[further], labels[further], strict=True)
                ]
                for row, label in zip(matrix[further], labels[further], strict=True):
                    model.learn(row, float(label))
                entry["predictions_then"] = plain(model.predict(matrix[ROWS + PROBES :]))
                entry["probes_then"] = matrix[ROWS + PROBES :].tolist()
            made.append(entry)
    return made


def events(rows: list[tuple[list[float], float]], begin: int) -> list[Any]:
    """Rows as events of a log."""
    return [
        EVENT(seq=begin + i, kind="row", series_id="a", features=dict(zip(FEATURES, row, strict=True)), target=label)
        for i, (row, label) in enumerate(rows, 1)
    ]


def learners() -> list[dict[str, Any]]:
    """Whole learners (model, scores, ranges), as checkpoints hold them; and their models, as MLflow versions do."""
    made = []
    fresh = [(name, ONLINE.declared(name, SMALL.get(name, {}), each.outcome)) for name, each in ONLINE.ONLINE.items()]
    models = [(name, each.outcome, each.online(each.outcome, 7)) for name, each in fresh]
    for target, outcome in (("value", "value"), ("direction", "binary")):
        shape = SHAPE(FEATURES, target, 7)
        river = CONTENDERS.PROCEDURES[f"river_{'linear' if target == 'value' else 'logistic'}_regression"]()
        models.append((f"of rows, {target}", outcome, ROW_LEARNERS.RowModel(river.make(shape), shape)))
    for name, outcome, model in models:
        rows = labelled("value" if outcome == "value" else "direction")
        learner = LEARNER(model, outcome)
        learner.apply(events(rows[:ROWS], 0), lambda *_: ())
        probes = [dict(zip(FEATURES, row, strict=True)) for row, _ in rows[ROWS : ROWS + PROBES]]
        entry = {
            "name": name,
            "outcome": outcome,
            "probes": probes,
            "learner": packed(learner.freeze()),
            "predictions": plain(learner.model.predict(row, "a") for row in probes),
            "rows_learned": learner.rows_learned,
            "report": learner.report(),
            "ranges": learner.ranges.of,
            "further": [[row, label] for row, label in rows[ROWS : ROWS + PROBES]],
        }
        entry = json.loads(json.dumps(entry))  # `report` and `ranges` as they are now
        learner.apply(events(rows[ROWS : ROWS + PROBES], ROWS), lambda *_: ())
        entry["predictions_then"] = plain(learner.model.predict(row, "a") for row in probes)
        entry["report_then"] = learner.report()
        made.append(entry)
    return made


def main() -> int:
    """Writes the fixture to the standard output."""
    made = {"release": "73b7305", "features": FEATURES, "models": batches_and_incrementals(), "learners": learners()}
    json.dump(made, sys.stdout)
    sys.stdout.write("\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
