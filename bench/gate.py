"""How often the gate errs, and how soon it detects: false successions in a year, and sessions to a right one.

    python bench/gate.py [--replicas 5000]

All data are made here, from a seed; the evidence is the product's own (`training.evaluation.e_values`), looked at
every session.
It fails when the gate errs significantly more often than alpha, or needs more sessions than the reach allows.
"""

import argparse
import math
import sys
import time

from contests import CHALLENGERS, GATE, HORIZON, SESSIONS, Power, Year, power, years
from rich import box
from rich.console import Console
from rich.table import Table

AUTOCORRELATIONS = (0.0, 0.3)
ACCURACIES = (0.55, 0.60, 0.65)
REACH = {0.60: 1.5, 0.65: 1.5}


def error(share: float, replicas: int) -> float:
    return math.sqrt(share * (1 - share) / replicas)


def show_years(console: Console, found: list[Year], replicas: int) -> None:
    table = Table("changed the champion within the year", box=box.SIMPLE, show_edge=False)
    for required in AUTOCORRELATIONS:
        table.add_column(f"autocorrelation {required}", justify="right")
    table.add_row("autocorrelation of the differences, measured", *(f"{year.realised:.3f}" for year in found))
    table.add_row("correlation between challengers, measured", *(f"{year.alike:.3f}" for year in found))
    for rule in found[0].shares:
        shares = [year.shares[rule] for year in found]
        table.add_row(rule, *(f"{share:.2%} ± {error(share, replicas):.2%}" for share in shares))
    console.print(table)
    console.print(
        f"{replicas:,} years of {SESSIONS} sessions, {CHALLENGERS} challengers as good as the champion, judged every "
        f"session from row {GATE.min_rows} on; share ± its Monte Carlo standard error; alpha is {GATE.alpha}\n"
    )


def show_power(console: Console, found: list[Power], replicas: int) -> None:
    alone = [one for one in found if one.better == 1]
    table = Table("accuracy", box=box.SIMPLE, show_edge=False)
    for name in ("2 ln(1/alpha) σ²/μ²", "median sessions", "ratio", "required", f"not within {HORIZON:.0f} times"):
        table.add_column(name, justify="right")
    for one in alone:
        required = f"at most {REACH[one.accuracy]}" if one.accuracy in REACH else ""
        sessions, ratio = f"{one.sessions['alone']:,.0f}", f"{one.ratio('alone'):.2f}"
        table.add_row(f"{one.accuracy:.2f}", f"{one.floor:,.0f}", sessions, ratio, required, f"{one.never:.1%}")
    console.print(table)
    console.print(f"One challenger against a coin, at full alpha; {replicas:,} replicas\n")
    table = Table("accuracy", "better", box=box.SIMPLE, show_edge=False)
    by_parts = f"alpha/{CHALLENGERS}"
    methods = {"alone": "one alone", "split": by_parts, "shared": "the gate's method", "average": "plain average"}
    for name in (*methods.values(), "won"):
        table.add_column(name, justify="right")
    for one in found:
        cells = (f"{one.sessions[method]:,.0f} ({one.ratio(method):.2f})" for method in methods)
        table.add_row(
            f"{one.accuracy:.2f}",
            f"{one.better} of {CHALLENGERS}",
            *cells,
            f"{1 - one.sessions['shared'] / one.sessions['split']:.1%}",
        )
    console.print(table)
    console.print(
        f"Of {CHALLENGERS} challengers some are that much better, the others as good as the coin: median sessions "
        "(ratio) until one of the better ones is promoted, by the method of sharing alpha. The plain average tells "
        "that one of them is better, not which: it is no rule for promotion. Won: by "
        f"the gate's method over {by_parts}"
    )


def misses(found_years: list[Year], found_power: list[Power], replicas: int) -> list[str]:
    """What did not reach what it should, in sentences."""
    missed = []
    for required, year in zip(AUTOCORRELATIONS, found_years, strict=True):
        rule, share = next(iter(year.shares.items()))
        if share - 2 * error(share, replicas) > GATE.alpha:
            missed.append(f"{rule} errs in {share:.2%} of years at autocorrelation {required}: more than {GATE.alpha}")
    for one in found_power:
        most = REACH.get(one.accuracy, math.inf) if one.better == 1 else math.inf
        if one.ratio("alone") > most:
            missed.append(f"at accuracy {one.accuracy} the ratio is {one.ratio('alone'):.2f}: more than {most}")
    return missed


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--replicas", type=int, default=500)
    replicas = parser.parse_args().replicas
    console = Console(width=None if sys.stdout.isatty() else 100, highlight=False)
    started = time.perf_counter()
    found_years = [years(replicas, autocorrelation) for autocorrelation in AUTOCORRELATIONS]
    show_years(console, found_years, replicas)
    found_power = [power(replicas, accuracy, better) for accuracy in ACCURACIES for better in (1, CHALLENGERS)]
    show_power(console, found_power, replicas)
    console.print(f"{time.perf_counter() - started:.0f} s")
    if missed := misses(found_years, found_power, replicas):
        raise SystemExit("\n".join(missed))


if __name__ == "__main__":
    main()
