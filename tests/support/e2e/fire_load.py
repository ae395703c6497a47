"""What eight writers send: every event with an id, whole rows and halves apart, and a share of it twice."""

import random
import threading
from dataclasses import dataclass
from typing import Any

WRITERS = 8
TWICE = 0.06
"""The share of requests that are sent again after they were answered."""
LIST_ROWS = (2, 12)
APART_EVENTS = (200, 1_500)
"""How many events lie between the halves of a row."""
SHAPES = {
    "one": 40,
    "list": 16,
    "label_later": 12,
    "label_earlier": 8,
    "halves_in_one_list": 6,
    "row_later": 6,
    "halves_at_the_same_time": 6,
}

Row = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """A request of one writer: `adds` events are new to the log when it is answered; 0: it was sent before.

    `together` is where the writer waits for the one that sends the other half of the row.
    """

    path: str
    rows: tuple[Row, ...]
    is_list: bool
    adds: int
    together: threading.Barrier | None = None

    @property
    def body(self) -> Row | list[Row]:
        return list(self.rows) if self.is_list else self.rows[0]


@dataclass(frozen=True)
class Load:
    """The queue of each writer, and the rows that they make together, by id."""

    queues: list[list[Request]]
    rows: dict[str, Row]


class _Planner:
    """Puts requests at places in the stream, counted in events."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.rows: dict[str, Row] = {}
        self.placed: list[list[tuple[float, Request]]] = [[] for _ in range(WRITERS)]
        self.events = 0

    def row(self) -> Row:
        features = {f"in_{number}": self.chance.uniform(-3, 3) for number in (1, 2, 3)}
        target = 2 * features["in_1"] - features["in_2"] + self.chance.gauss(0, 0.3)
        event_id = f"row-{len(self.rows)}"
        self.rows[event_id] = row = {"id": event_id, "features": features, "target": target}
        return row

    def some(self, most: int) -> list[Row]:
        return [self.row() for _ in range(self.chance.randint(1, most))]

    def send(self, writer: int, at: float, path: str, *rows: Row, together: threading.Barrier | None = None) -> None:
        request = Request(path, rows, len(rows) > 1, len(rows), together)
        self.placed[writer].append((at, request))
        self.events += request.adds
        if self.chance.random() < TWICE:
            again = Request(path, rows, request.is_list, 0)
            self.placed[writer].append((at + self.chance.uniform(0, 500), again))

    def add(self, shape: str) -> None:
        writer, now = self.chance.randrange(WRITERS), float(self.events)
        later = now + self.chance.uniform(*APART_EVENTS)
        learn = self.chance.choice(["/train", "/predict_learn"])
        if shape == "one":
            self.send(writer, now, learn, self.row())
        elif shape == "list":
            self.send(writer, now, learn, *(self.row() for _ in range(self.chance.randint(*LIST_ROWS))))
        elif shape == "label_later":
            rows = self.some(4)
            self.send(writer, now, "/predict", *map(features_of, rows))
            self.send(writer, later, "/train", *map(label_of, rows))
        elif shape == "label_earlier":
            rows = self.some(4)
            self.send(writer, now, "/train", *map(label_of, rows))
            self.send(writer, later, "/predict", *map(features_of, rows))
        elif shape == "halves_in_one_list":
            row = self.row()
            self.send(writer, now, "/train", label_of(row), row, self.row())
        elif shape == "row_later":
            row = self.row()
            self.send(writer, now, "/predict", features_of(row))
            self.send(writer, later, "/predict_learn", row)
        else:
            row, together = self.row(), threading.Barrier(2)
            self.send(writer, now, "/predict", features_of(row), together=together)
            self.send((writer + 1) % WRITERS, now, "/train", label_of(row), together=together)


def features_of(row: Row) -> Row:
    return {"id": row["id"], "features": row["features"]}


def label_of(row: Row) -> Row:
    return {"id": row["id"], "target": row["target"]}


def plan(seed: int, events: int) -> Load:
    """The same load for the same seed: as many events in the log, whatever the order in which writers come."""
    planner = _Planner(seed)
    shapes, weights = list(SHAPES), list(SHAPES.values())
    most = LIST_ROWS[1]
    while planner.events < events:
        is_near_the_end = events - planner.events < most
        planner.add("one" if is_near_the_end else planner.chance.choices(shapes, weights)[0])
    queues = [[request for _, request in sorted(placed, key=lambda item: item[0])] for placed in planner.placed]
    return Load(queues, planner.rows)
