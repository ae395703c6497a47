"""Streams of rows for the tests of what learns online: each a list of (features, target)."""

import math
import random

from river import datasets

from features.arrays import FeatureRow

Rows = list[tuple[FeatureRow, float]]


def lines(rows: int, seed: int = 1) -> Rows:
    """A linear function of twelve lags in the hundreds, with noise of 5."""
    chance = random.Random(seed)
    made = []
    for _ in range(rows):
        features = {f"in_{lag}": chance.gauss(300, 50) for lag in range(1, 13)}
        made.append((features, 40 + 0.5 * features["in_1"] - 0.3 * features["in_2"] + chance.gauss(0, 5)))
    return made


def patchy(rows: int, seed: int = 1) -> Rows:
    """Whole numbers in the features; some missing, some only from halfway on, all of them in every fiftieth row."""
    chance = random.Random(seed)
    made = []
    for i in range(rows):
        known = 8 if i < rows // 2 else 12
        features = {
            f"in_{lag}": float(chance.randrange(200, 400)) for lag in range(1, known + 1) if chance.random() < 0.9
        }
        target = 200 + sum(value / lag for lag, value in enumerate(features.values(), 1)) / 10 + chance.gauss(0, 5)
        made.append(({} if i % 50 == 0 else features, target))
    return made


def passengers() -> Rows:
    """The airline passengers of each month, with as many of the twelve lags as there are."""
    values = [float(value) for _, value in datasets.AirlinePassengers()]
    return [
        ({f"in_{lag}": values[i - lag] for lag in range(1, 13) if lag <= i}, value) for i, value in enumerate(values)
    ]


def hard(name: str) -> Rows:
    """A stream on which something that was not made for it breaks."""
    chance = random.Random(5)
    match name:
        case "rising":
            return [({"in_1": float(i), "in_2": float(-i)}, i + 1.0) for i in range(1_500)]
        case "constant":
            return [({"in_1": 5.0, "in_2": 0.0}, 5.0)] * 300
        case "empty":
            return [({}, float(i % 5)) for i in range(300)]
        case "exponential":
            return [({"in_1": 1.02**i, "in_2": 1.02 ** (i - 1)}, 1.02 ** (i + 1)) for i in range(1_200)]
        case "any size":
            return [
                ({"in_1": _any_size(chance), "in_2": chance.choice([1e99, -1e99, 1e-99, 0.0])}, _any_size(chance))
                for _ in range(500)
            ]
        case "wide":
            return [({f"f{i}": chance.gauss(300, 50) for i in range(200)}, chance.gauss(300, 40)) for _ in range(110)]
        case "new names":
            return [({f"f{i}": 1.0, "in_1": chance.random()}, chance.random()) for i in range(400)]
        case "season of nothing":
            return [({"in_1": float(i % 12)}, 1000.0 if i % 12 == 0 else 1e-6) for i in range(600)]
        case _:
            raise ValueError(name)


def halves(rows: Rows, *, is_binary: bool) -> Rows:
    """The rows, for a binary outcome with 1 where the target lies above the median."""
    if not is_binary:
        return rows
    median = sorted(target for _, target in rows)[len(rows) // 2]
    return [(features, float(target > median)) for features, target in rows]


def _any_size(chance: random.Random) -> float:
    return math.copysign(10 ** chance.uniform(-99, 99), chance.random() - 0.5)
