"""Who does not stand for the title, or cannot be compared, in words: what is wrong, and what to do about it."""

from dataclasses import dataclass
from typing import Final

from training.ledger.decisions import Decision
from training.promotion.inputs import GateInput

VERSIONS: Final = {
    "not_finite": (
        "says something that is not a number of a row that is kept to try versions on.",
        "Its fit ran away, or a feature of such a row is without limit: try a smaller learning_rate or more "
        "regularisation in the task file, and look at the features.",
    ),
    "out_of_range": (
        "gave a probability below 0 or above 1.",
        "On this task a contender answers with the probability of UP: choose a procedure that does.",
    ),
    "constant": (
        "gives every row that is kept to try versions on the same answer, and so has learned nothing of them.",
        "Most often it is regularised too strongly, has trees that may not split on so few rows, or features that do "
        "not vary: change its parameters in the task file.",
    ),
    "fewer_rows": (
        "was trained on fewer rows than the version that serves.",
        "Rows are gone that were there before: see whether the series was cut, or the checks of ingestion refuse some "
        "of it now. Where it is meant to be so, change its declaration: then it is another contender.",
    ),
    "golden_batch": (
        "read back from MLflow, no longer answers as it did when it was made.",
        "Its files have changed, or it was read with other libraries than it was made with: install the locked "
        "requirements, and keep the artifact store from being written to by others.",
    ),
}

COMPARISONS: Final = {
    "identical": (
        "has said exactly what {champion} says, of all {rows} rows.",
        "There is nothing to choose by. Two declarations that come to the same model share alpha: drop one of them.",
    ),
    "overlap": (
        "had learned the date that it predicted on some of the {rows} rows, or {champion} had.",
        "Such rows are no forecasts, so the two are not compared until evidence begins anew: at the next crowning, or "
        "when the contender's declaration changes.",
    ),
    "challenger_unscorable": (
        "has predicted none of the rows that count.",
        "The log of the training job says what keeps it from that.",
    ),
}


@dataclass(frozen=True)
class Fault:
    """What keeps contenders from the title. `who` names them, with their versions where it is about those."""

    who: str
    wrong: str
    advice: str


def found(decision: Decision) -> list[Fault]:
    """The faults that a decision of the gate knew of, each once. Of one that a person has made there are none."""
    if "given" not in decision.evidence:
        return []
    given = GateInput.of(decision)
    alike: dict[tuple[str, str], list[str]] = {}
    for one in (*_unfit(given), *_without(given), *_apart(decision, given)):
        alike.setdefault((one.wrong, one.advice), []).append(one.who)
    return [Fault(", ".join(who), *told) for told, who in alike.items()]


def _unfit(given: GateInput) -> list[Fault]:
    numbers = {name: f" (version {version['version']})" for name, version in given.versions.items()}
    return [
        Fault(f"{name}{numbers.get(name, '')}", *VERSIONS[reason])
        for name, reason in sorted(given.failed_validation.items())
    ]


def _without(given: GateInput) -> list[Fault]:
    """Those who are declared and have no version that could be asked."""
    refused = ", ".join(map(str, given.tenure.refused))
    wrong, advice = (
        (
            f"has no version that could be asked: none yet, or its newest was rejected before (rejected: {refused}).",
            "A version that was rejected is not asked again; its next one is.",
        )
        if refused
        else (
            "has no version yet.",
            "A batch contender gets its first when it has as many rows as its first_fit; what else keeps it from one "
            "is in the log of the training job.",
        )
    )
    names = sorted(set(given.scope.contenders) - set(given.versions) - given.eligible)
    return [Fault(name, wrong, advice) for name in names]


def _apart(decision: Decision, given: GateInput) -> list[Fault]:
    """Those who cannot be compared with the champion, however many rows there are."""
    return [
        Fault(
            one["challenger"],
            *(text.format(champion=given.champion, rows=f"{one['rows']:,}") for text in COMPARISONS[one["reason"]]),
        )
        for one in decision.evidence["comparisons"]
        if one["reason"] in COMPARISONS
    ]
