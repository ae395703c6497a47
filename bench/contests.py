"""Simulated challengers of known skill, the rules that judge them every session, and when each rule promotes one."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, stdtrit

from core.config.tasks import Gate
from features.arrays import Floats
from training.evaluation.e_values import bound, loss, path, shared

SEED = 20_261_121
GATE = Gate()
ENOUGH = 1 / GATE.alpha
CHALLENGERS = 5
SESSIONS = 252

LIKENESS = 0.5
SPREAD = 0.1
MARGIN, RECENT = 0.01, 5

AS_GOOD_PREDICTS = 0.55
HORIZON = 3.0
ROWS_AT_ONCE = 1_000_000

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Year:
    """Years in which challengers as good as the champion were looked at: the share of false ones by rule."""

    realised: float
    alike: float
    shares: dict[str, float]


@dataclass(frozen=True)
class Power:
    """Sessions until a better challenger was promoted (median), by the method of sharing alpha.

    `better`: how many of the challengers are better. `floor`: 2 ln(1/alpha) variance/mean². `never`: the share of
    replicas in which the first challenger, alone at full alpha, was not promoted within the horizon.
    """

    accuracy: float
    better: int
    floor: float
    sessions: dict[str, float]
    never: float

    def ratio(self, method: str) -> float:
        return self.sessions[method] / self.floor


def equals(random: np.random.Generator, replicas: int, autocorrelation: float) -> Floats:
    """Loss differences (replicas, challengers, sessions) of challengers exactly as good as the champion.

    Uniform between -SPREAD and SPREAD, so their mean is exactly zero; a Gaussian copula of autoregressive shocks gives
    them the autocorrelation over the sessions, and the likeness that comes of sharing one champion.
    """
    persistence, alike = (2 * math.sin(math.pi * wanted / 6) for wanted in (autocorrelation, LIKENESS))
    common = random.normal(size=(replicas, 1, SESSIONS))
    shocks = alike**0.5 * common + (1 - alike) ** 0.5 * random.normal(size=(replicas, CHALLENGERS, SESSIONS))
    state = shocks.copy()
    for session in range(1, SESSIONS):
        state[..., session] *= (1 - persistence**2) ** 0.5
        state[..., session] += persistence * state[..., session - 1]
    return SPREAD * (2 * np.asarray(ndtr(state)) - 1)


def forecasts(
    random: np.random.Generator, replicas: int, sessions: int, predicts: Floats, right: Floats
) -> tuple[Floats, Floats]:
    """Brier differences to a coin, and their bounds.

    Challenger i predicts a side with probability `predicts[i]`, and is right with probability `right[i]`.
    """
    labels = (random.random((replicas, 1, sessions)) < 0.5).astype(np.float64)
    is_right = random.random((replicas, len(predicts), sessions)) < right[:, None]
    predictions = np.where(is_right == (labels == 1), predicts[:, None], 1 - predicts[:, None])
    coin = np.full_like(labels, 0.5)
    return loss("brier", labels, coin) - loss("brier", labels, predictions), bound("brier", coin, predictions)


def after_each_session(differences: Floats, bounds: Floats, block: int) -> Floats:
    """The e-value that a look finds in each session: that of the blocks that are full."""
    e_values = path(differences, bounds, block)
    before = np.ones((*e_values.shape[:-1], 1))
    return np.concatenate([before, e_values], axis=-1)[..., np.arange(1, differences.shape[-1] + 1) // block]


def eligible(differences: Floats) -> Flags:
    """In which sessions the challenger's mean loss is smaller, over at least as many rows as the gate asks for."""
    smaller = np.cumsum(differences, axis=-1) > 0
    smaller[..., : GATE.min_rows - 1] = False
    return smaller


def first(sessions: Flags) -> Floats:
    """The first of the sessions, counted from 1; infinite where there is none."""
    return np.where(sessions.any(axis=-1), sessions.argmax(axis=-1) + 1.0, np.inf)


def first_succession(e_values: Floats, may: Flags, among: slice = slice(None)) -> Floats:
    """Find the session in which the gate first promotes one of these; arrays of (replicas, challengers, sessions).

    `shared` is computed only for sessions in which it can be enough: it is at most the mean of all e-values, and at
    most the challenger's own.
    """
    names = [str(number) for number in range(e_values.shape[1])]
    nearly = ENOUGH * (1 - 1e-9)
    hopeful = (e_values.mean(axis=1) >= nearly) & ((e_values >= nearly) & may)[:, among].any(axis=1)
    found = np.full(len(e_values), np.inf)
    for replica in np.flatnonzero(hopeful.any(axis=1)):
        for session in np.flatnonzero(hopeful[replica]):
            worth = shared(dict(zip(names, e_values[replica, :, session].tolist(), strict=True)))
            if any(worth[name] >= ENOUGH and may[replica, int(name), session] for name in names[among]):
                found[replica] = session + 1
                break
    return found


def promotes(differences: Floats, bounds: Floats, block: int, may: Flags) -> Flags:
    return np.isfinite(first_succession(after_each_session(differences, bounds, block), may))


def false_successions(differences: Floats) -> dict[str, Flags]:
    """Tell by rule in which years it promoted a challenger."""
    bounds = np.full_like(differences, SPREAD)
    n = np.arange(1.0, SESSIONS + 1)
    sums, squares = np.cumsum(differences, axis=-1), np.cumsum(differences**2, axis=-1)
    may = eligible(differences)
    recent = (sums[..., RECENT:] - sums[..., :-RECENT]) / RECENT > MARGIN
    with np.errstate(divide="ignore", invalid="ignore"):
        t = sums / np.sqrt(n * (squares - sums**2 / n) / (n - 1))
    rules = {
        f"the gate (blocks of {GATE.block})": promotes(differences, bounds, GATE.block, may),
        "the gate on single rows (blocks of 1)": promotes(differences, bounds, 1, may),
        "lower mean wins": may,
        f"lower mean by {MARGIN} on the last {RECENT} days": recent[..., GATE.min_rows - RECENT - 1 :],
        f"paired t-test at {GATE.alpha:.0%}, one-sided": may & (t > stdtrit(np.maximum(n - 1, 1), 1 - GATE.alpha)),
    }
    return {rule: sessions if sessions.ndim == 1 else sessions.any(axis=(1, 2)) for rule, sessions in rules.items()}


def years(replicas: int, autocorrelation: float) -> Year:
    random = np.random.default_rng([SEED, round(100 * autocorrelation)])
    found: dict[str, int] = {}
    products = np.zeros(3)
    for size in portions(replicas, CHALLENGERS * SESSIONS):
        d = equals(random, size, autocorrelation)
        scale = (d**2).mean()
        lagged, between = (d[..., 1:] * d[..., :-1]).mean() / scale, (d[:, 1:] * d[:, :-1]).mean() / scale
        products += size * np.array([1, lagged, between])
        for rule, false in false_successions(d).items():
            found[rule] = found.get(rule, 0) + int(false.sum())
    shares = {rule: count / replicas for rule, count in found.items()}
    return Year(float(products[1] / products[0]), float(products[2] / products[0]), shares)


def power(replicas: int, accuracy: float, better: int) -> Power:
    """Some challengers are better; the others exactly as good as the coin: overconfident by so much that it cancels."""
    predicts = np.repeat([accuracy, AS_GOOD_PREDICTS], [better, CHALLENGERS - better])
    right = np.repeat([accuracy, (AS_GOOD_PREDICTS + 0.5) / 2], [better, CHALLENGERS - better])
    won, lost = 0.25 - (1 - accuracy) ** 2, 0.25 - accuracy**2
    mean, variance = accuracy * won + (1 - accuracy) * lost, accuracy * (1 - accuracy) * (won - lost) ** 2
    floor = 2 * math.log(ENOUGH) * variance / mean**2
    horizon = math.ceil(HORIZON * floor)
    random = np.random.default_rng([SEED, round(100 * accuracy), better])
    found: dict[str, list[Floats]] = {"alone": [], "split": [], "shared": [], "average": []}
    for size in portions(replicas, CHALLENGERS * horizon):
        d, bounds = forecasts(random, size, horizon, predicts, right)
        e_values, may = after_each_session(d, bounds, GATE.block), eligible(d)
        own, may_own = e_values[:, :better], may[:, :better]
        found["alone"].append(first((own[:, 0] >= ENOUGH) & may_own[:, 0]))
        found["split"].append(first(np.any((own >= CHALLENGERS * ENOUGH) & may_own, axis=1)))
        found["shared"].append(first_succession(e_values, may, slice(better)))
        found["average"].append(first((e_values.mean(axis=1) >= ENOUGH) & may_own.any(axis=1)))
    sessions = {method: np.concatenate(parts) for method, parts in found.items()}
    medians = {method: float(np.median(values)) for method, values in sessions.items()}
    return Power(accuracy, better, floor, medians, float(np.isinf(sessions["alone"]).mean()))


def portions(replicas: int, rows: int) -> Iterator[int]:
    """Sizes that add up to the replicas, each of a moderate number of rows."""
    most = max(1, ROWS_AT_ONCE // rows)
    for begin in range(0, replicas, most):
        yield min(most, replicas - begin)
