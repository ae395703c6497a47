"""Tells why contenders cannot become champion or cannot be compared: what is wrong, and what to do about it."""

from dataclasses import dataclass
from typing import Final

from training.ledger.decisions import Decision
from training.promotion.inputs import GateInput

VERSIONS: Final = {
    "not_finite": (
        "predicts values that are not finite numbers for some of the validation rows.",
        "Its fit diverged, or a feature of such a row has no limit: try a smaller learning_rate or more "
        "regularisation in the task file, and look at the features.",
    ),
    "out_of_range": (
        "gave a probability below 0 or above 1.",
        "On this task a contender predicts the probability of UP: choose a procedure that does.",
    ),
    "constant": (
        "predicts the same for every validation row, and so has learned nothing from the features.",
        "Most often it is regularised too strongly, has trees that may not split on so few rows, or features that do "
        "not vary: change its parameters in the task file.",
    ),
    "fewer_rows": (
        "was trained on fewer rows than the version that serves.",
        "Rows are missing that were there before: see whether the series was cut, or the quality checks of ingestion "
        "now reject some of it. Where this is intended, change the contender's declaration: then it is another one.",
    ),
    "golden_batch": (
        "loaded from MLflow, no longer predicts what it predicted when it was made.",
        "Its files have changed, or it was loaded with other libraries than it was made with: install the locked "
        "requirements, and keep others from writing to the artifact store.",
    ),
}

COMPARISONS: Final = {
    "identical": (
        "has predicted exactly what {champion} predicts, on all {rows} rows.",
        "There is no difference to choose by. Two declarations of the same model share alpha: drop one of them.",
    ),
    "overlap": (
        "had been trained on dates that it predicted on some of the {rows} rows, or {champion} had.",
        "Such rows are no forecasts, so the two are not compared until evidence begins again: at the next change of "
        "champion, or when the contender's declaration changes.",
    ),
    "challenger_unscorable": (
        "has predicted none of the rows that count.",
        "The log of the training job tells what prevents it.",
    ),
}


@dataclass(frozen=True)
class Fault:
    """Why `contenders` cannot become champion; their versions are named where those are at fault."""

    contenders: str
    problem: str
    advice: str


def found(decision: Decision) -> list[Fault]:
    """List the faults that a decision of the gate knew of, each once; none for a decision of a person."""
    if "given" not in decision.evidence:
        return []
    given = GateInput.of(decision)
    # Contenders with the same problem share one paragraph.
    alike: dict[tuple[str, str], list[str]] = {}
    for one in (*_failed(given), *_without_version(given), *_not_comparable(decision, given)):
        alike.setdefault((one.problem, one.advice), []).append(one.contenders)
    return [Fault(", ".join(names), *texts) for texts, names in alike.items()]


def _failed(given: GateInput) -> list[Fault]:
    numbers = {name: f" (version {version['version']})" for name, version in given.versions.items()}
    failed = sorted(given.failed_validation.items())
    return [Fault(f"{name}{numbers.get(name, '')}", *VERSIONS[reason]) for name, reason in failed]


def _without_version(given: GateInput) -> list[Fault]:
    refused = ", ".join(map(str, given.tenure.refused))
    problem, advice = (
        (
            f"has no version to judge: none yet, or its newest was rejected before (rejected: {refused}).",
            "A rejected version is not judged again; the contender's next one is.",
        )
        if refused
        else (
            "has no version yet.",
            "A batch contender gets its first when it has as many rows as its first_fit; the log of the training job "
            "tells what else prevents it.",
        )
    )
    # A champion is eligible without a new version, and one whose declaration has changed is not among the contenders.
    names = sorted(set(given.contenders) - set(given.versions) - given.eligible)
    return [Fault(name, problem, advice) for name in names]


def _not_comparable(decision: Decision, given: GateInput) -> list[Fault]:
    """List the challengers that more rows would not make comparable with the champion."""
    return [
        Fault(
            one["challenger"],
            *(text.format(champion=given.champion, rows=f"{one['rows']:,}") for text in COMPARISONS[one["reason"]]),
        )
        for one in decision.evidence["comparisons"]
        if one["reason"] in COMPARISONS
    ]
