"""The report of a decision: one page of HTML without external files."""

from collections.abc import Sequence
from html import escape

from training.ledger.decisions import Decision
from training.promotion.gate import BOOTSTRAP, PROMOTE
from training.promotion.inputs import GateInput
from training.promotion.state import StoredState
from training.reports import decision_plots, diagnostics, explanations, html, next_steps
from training.reports.decision_curves import Curves
from training.reports.diagnostics import Fault
from training.reports.explanations import loss, number

NAME = "report.html"
_METRIC = {"brier": "mean Brier loss", "mae": "mean absolute error"}


def page(decision: Decision, curves: Curves) -> bytes:
    """Write the page of a decision that the gate made: the same bytes for the same decision and curves.

    Where no alias moved, the next steps come before the plots; where one did, after what moved it.
    """
    name = f"{decision.task}: {decision.outcome} on {decision.session_date}"
    day = f'<span class="day">{decision.session_date}</span>'
    has_moved = decision.outcome in (BOOTSTRAP, PROMOTE)
    reasons = [*_plots(decision, curves), *_comparisons(decision), *faults(diagnostics.found(decision))]
    steps = _next_steps(decision)
    body = [
        f"<h1>{escape(decision.task)}: {escape(decision.outcome)} on {day}</h1>",
        f'<p class="why">{escape(explanations.why(decision))}</p>',
        f"<p>{escape(explanations.after(decision))}</p>",
        *([*reasons, *steps] if has_moved else [*steps, *reasons]),
        *_ranking(decision),
        *_basis(decision),
    ]
    return html.page(name, body).encode()


def _next_steps(decision: Decision) -> list[str]:
    steps = next_steps.describe(decision)
    if not steps:
        return []
    return ["<h2>What has to happen next</h2>", *(f"<p>{escape(sentence)}</p>" for sentence in steps)]


def _plots(decision: Decision, curves: Curves) -> list[str]:
    given = GateInput.of(decision)
    drawn = [one for one in curves.of if len(one.days)]
    # matplotlib would draw empty axes, which look like a fault.
    if not drawn:
        return ['<p class="quiet">There are no rows to draw yet.</p>']
    extent = f"{min(one.days[0] for one in drawn)} to {max(one.days[-1] for one in drawn)}"
    if curves.is_against_champion:
        what = f"Every challenger against {curves.against}, on the rows since it became champion: {extent}."
    else:
        what = (
            f"{_too_few(decision, given)}, so here is every contender against the baseline, {curves.against}, on all "
            f"rows: {extent}. {_chosen_by(given)}"
        )
    plot = decision_plots.svg(curves, given.metric, 1 / given.gate.alpha)
    named = escape(f"Loss saved against {curves.against} and the evidence, by date, {extent}")
    margin = (
        "<p class=quiet>This task uses the rule <em>margin</em>: the evidence is shown, but does not decide.</p>"
        if given.gate.rule == "margin"
        else ""
    )
    return [
        "<h2>Losses and evidence over time</h2>",
        f'<p class="quiet">{escape(what)} The thick line is {escape(drawn[0].challenger)}.'
        f"{escape(decision_plots.beyond(curves))}</p>",
        plot.replace("<svg ", f'<svg role="img" aria-label="{named}" ', 1).strip(),
        margin,
    ]


def _chosen_by(given: GateInput) -> str:
    """Tell what the rows against the baseline decide: a first champion, and nothing else."""
    is_first = given.champion is None and not given.is_lost
    chosen = "They choose the first champion, but" if is_first else "They"
    return f"{chosen} never replace a champion."


def _too_few(decision: Decision, given: GateInput) -> str:
    """Tell why the comparison with the champion is not drawn."""
    counted = max((one["rows"] for one in decision.evidence["comparisons"]), default=0)
    if not counted:
        return f"No row counts for or against {given.champion or 'a champion'} yet"
    count = "One row counts" if counted == 1 else f"Only {counted} rows count"
    return f"{count} for or against {given.champion} yet, and the first bet is on {given.gate.block}"


def _comparisons(decision: Decision) -> list[str]:
    compared = decision.evidence["comparisons"]
    if not compared:
        return []
    given, count = GateInput.of(decision), len(compared)
    rows = [
        [
            f"{one['challenger']} (champion now)" if one["challenger"] == decision.champion else one["challenger"],
            f"{one['rows']:,}",
            number(one["shared"]),
            explanations.COMPARED[one["reason"]],
            loss(one["challenger_loss"]),
            loss(one["champion_loss"]),
            *([] if count == 1 else [number(one["e_value"])]),
        ]
        for one in compared
    ]
    worth = "evidence" if count == 1 else f"evidence, shared among {count}"
    alone = [] if count == 1 else ["evidence, unshared"]
    head = ["challenger", "rows", worth, "", "its loss", f"{given.champion}'s loss", *alone]
    section = [
        f"<h2>Challengers of {escape(str(given.champion))}</h2>",
        f'<p class="quiet">Evidence of {number(compared[0]["needed"])} is enough. Loss: {_METRIC[given.metric]}, on '
        "the rows that both predicted before their labels were known.</p>",
        html.table(head, rows, words={0, 3}),
    ]
    return [*section, *_probation(decision, given)]


def faults(found: Sequence[Fault]) -> list[str]:
    """Write the section on contenders that cannot become champion, and what to do; empty when all can."""
    if not found:
        return []
    sentences = (f"<b>{escape(one.contenders)}</b>: {escape(one.problem)} {escape(one.advice)}" for one in found)
    return [
        "<h2>Contenders that cannot become champion, or cannot be compared</h2>",
        *(f"<p>{one}</p>" for one in sentences),
    ]


def _probation(decision: Decision, given: GateInput) -> list[str]:
    """Tell how the previous champion does, where it is not among the challengers."""
    if given.probation is None:
        return []
    key = (given.champion, given.probation.against)
    for one in StoredState.of(decision).pairs:
        if (one.champion, one.challenger) == key and one.challenger not in given.eligible:
            pair = one.pair
            return [
                f"<p>{escape(key[1])}, the previous champion, goes on predicting for {given.gate.probation} rows. So "
                f"far {pair.rows:,}: mean loss {loss(pair.challenger_mean if pair.rows else None)} against "
                f"{loss(pair.champion_mean if pair.rows else None)}, evidence that it is better "
                f"{number(pair.evidence.e_value)}; {number(1 / given.gate.alpha)} makes it champion again.</p>"
            ]
    return []


def _ranking(decision: Decision) -> list[str]:
    evidence, given = decision.evidence, GateInput.of(decision)
    means, beats = explanations.best_first(evidence), evidence["beats_baseline"]
    if not means:
        return []
    base = means.get(given.baseline)  # absent while it has predicted too few rows to be ranked
    rows = []
    for name, mean in means.items():
        ahead = f"{mean / base - 1:+.2%}" if base and name != given.baseline else ""
        beaten = explanations.IS_BASELINE if name == given.baseline else beats.get(name, "")
        rows.append([explanations.marked(name, is_champion=name == decision.champion), loss(mean), ahead, beaten])
    return [
        "<h2>All contenders</h2>",
        f'<p class="quiet">On all rows that every one of them predicted, the best first: '
        f"{evidence['first']} to {evidence['last']}. A mean alone moves no alias.</p>",
        html.table(["contender", _METRIC[given.metric], "to the baseline", "beats the baseline"], rows, words={0, 3}),
    ]


def _basis(decision: Decision) -> list[str]:
    given = GateInput.of(decision)
    gate, holder = given.gate, given.serving
    serving = "no version served" if holder is None else f"{holder['contender']} (version {holder['version']}) served"
    facts = (
        f"Series {given.scope.series}, as of {given.as_of.isoformat(timespec='seconds')}; {serving}. "
        f"Gate: rule {gate.rule}, alpha {gate.alpha:g}, blocks of {gate.block}, at least {gate.min_rows} rows."
    )
    return [
        "<h2>What it is based on</h2>",
        f'<p class="quiet">{escape(facts)}</p>',
        f'<p class="quiet">Evidence <code>{decision.evidence_hash}</code>, whole in <code>decision.json</code>.</p>',
    ]
