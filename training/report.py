"""The report of a decision: one page of HTML that needs nothing else, for a screen of any width and for paper."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from training import decision_pictures, wording
from training.curves import Curves
from training.decisions import Decision
from training.given import Given
from training.pairs import Pair
from training.wording import loss, number

NAME = "report.html"
_METRIC = {"brier": "mean Brier loss", "mae": "mean absolute error"}
_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;color:#1f2933;max-width:50em;margin:1.5em auto;padding:0 1em}
h1{font-size:1.5em;line-height:1.25;margin:0}h2{font-size:1.1em;margin:1.8em 0 .4em}p{margin:.5em 0}
.day{white-space:nowrap}.quiet{color:#52606d;font-size:.87em}.why{font-size:1.1em}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.87em}
th,td{padding:.3em 1em .3em 0;white-space:nowrap;border-bottom:1px solid #cbd2d9;text-align:left;vertical-align:top}
th{color:#52606d;font-weight:600;white-space:normal;vertical-align:bottom}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
tr.first td{font-weight:600}svg{display:block;width:100%;max-width:42em;height:auto}code{overflow-wrap:anywhere}
@media(max-width:600px){table{font-size:.8em}th,td{padding-right:.7em}}
@media print{body{margin:0;max-width:none;font-size:11pt}svg{max-width:14cm}h2,svg,table{break-inside:avoid}}
"""


def page(decision: Decision, curves: Curves) -> bytes:
    """The page of a decision that the gate made; the same bytes for the same decision and curves."""
    name = f"{decision.task}: {decision.outcome} on {decision.session_date}"
    day = f'<span class="day">{decision.session_date}</span>'
    body = [
        f"<h1>{escape(decision.task)}: {escape(decision.outcome)} on {day}</h1>",
        f'<p class="why">{escape(wording.why(decision))}</p>',
        f"<p>{escape(wording.after(decision))}</p>",
        *_pictures(decision, curves),
        *_comparisons(decision),
        *_ranking(decision),
        *_standing_on(decision),
    ]
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(name)}</title><style>{_STYLE}</style>"
    )
    lines = "\n".join(body)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{lines}\n</body></html>\n'.encode()


def _pictures(decision: Decision, curves: Curves) -> list[str]:
    given = Given.of(decision)
    drawn = [one for one in curves.of if len(one.days)]
    if not drawn:
        return ['<p class="quiet">There are no rows to draw yet.</p>']
    extent = f"{min(one.days[0] for one in drawn)} to {max(one.days[-1] for one in drawn)}"
    if curves.is_title:
        what = f"Every challenger against {curves.against}, on the rows after its crowning: {extent}."
    else:
        what = (
            f"No row counts for or against a champion yet, so here is every contender against the baseline, "
            f"{curves.against}, on all rows: {extent}."
        )
    picture = decision_pictures.svg(curves, given.metric, 1 / given.gate.alpha)
    named = escape(f"Loss saved against {curves.against} and the evidence, by date, {extent}")
    margin = (
        "<p class=quiet>This task goes by the rule <em>margin</em>: the evidence is shown, and does not decide.</p>"
        if given.gate.rule == "margin"
        else ""
    )
    return [
        "<h2>How it went</h2>",
        f'<p class="quiet">{escape(what)} The thick line is {escape(drawn[0].challenger)}. '
        f"Evidence is drawn between {decision_pictures.LOWEST:g} and {decision_pictures.HIGHEST:,.0f}.</p>",
        picture.replace("<svg ", f'<svg role="img" aria-label="{named}" ', 1).strip(),
        margin,
    ]


def _comparisons(decision: Decision) -> list[str]:
    compared = decision.evidence["comparisons"]
    if not compared:
        return []
    given, count = Given.of(decision), len(compared)
    worth = "evidence" if count == 1 else f"shared among {count}"
    rows = [
        [
            one["challenger"],
            f"{one['rows']:,}",
            loss(one["champion_loss"]),
            loss(one["challenger_loss"]),
            *([] if count == 1 else [number(one["e_value"])]),
            number(one["shared"]),
            number(one["needed"]),
            wording.COMPARED[one["reason"]],
        ]
        for one in compared
    ]
    head = [
        "challenger",
        "rows",
        f"{given.champion}'s loss",
        "its own loss",
        *([] if count == 1 else ["evidence"]),
        worth,
    ]
    told = [
        f"<h2>Who challenges {escape(str(given.champion))}</h2>",
        f'<p class="quiet">Loss: {_METRIC[given.metric]}, on the rows that both predicted before their labels were '
        "known.</p>",
        _table([*head, "needed", ""], rows, words={0, len(head) + 1}),
    ]
    return [*told, *_watched(decision, given)]


def _watched(decision: Decision, given: Given) -> list[str]:
    """The one who had the title before, where it is not among the challengers."""
    if given.probation is None:
        return []
    meeting = (given.champion, given.probation.against)
    for one in decision.evidence["carried"]["pairs"]:
        if (one["champion"], one["challenger"]) == meeting and one["challenger"] not in given.stands:
            pair = Pair.of_plain(one["pair"])
            return [
                f"<p>{escape(meeting[1])}, which served before, goes on predicting for {given.gate.probation} rows. So "
                f"far {pair.rows:,}: mean loss {loss(pair.challenger_mean if pair.rows else None)} against "
                f"{loss(pair.champion_mean if pair.rows else None)}, evidence that it is better "
                f"{number(pair.evidence.e_value)}; {number(1 / given.gate.alpha)} gives it the alias back.</p>"
            ]
    return []


def _ranking(decision: Decision) -> list[str]:
    evidence, given = decision.evidence, Given.of(decision)
    means, beats = wording.best_first(evidence), evidence["beats_baseline"]
    if not means:
        return []
    base = means.get(given.baseline)
    rows = []
    for name, mean in means.items():
        ahead = f"{mean / base - 1:+.2%}" if base and name != given.baseline else ""
        rows.append([name, loss(mean), ahead, "is it" if name == given.baseline else beats.get(name, "")])
    return [
        "<h2>All contenders</h2>",
        f'<p class="quiet">On all rows that every one of them predicted, the best first: '
        f"{evidence['first']} to {evidence['last']}. A mean alone moves no alias.</p>",
        _table(["contender", _METRIC[given.metric], "to the baseline", "beats the baseline"], rows, words={0, 3}),
    ]


def _standing_on(decision: Decision) -> list[str]:
    given = Given.of(decision)
    gate, holder = given.gate, given.holder
    serving = "nobody served" if holder is None else f"{holder['contender']} (version {holder['version']}) served"
    facts = (
        f"Series {given.scope.series}, as of {given.as_of.isoformat(timespec='seconds')}; {serving}. "
        f"Gate: rule {gate.rule}, alpha {gate.alpha:g}, blocks of {gate.block}, at least {gate.min_rows} rows."
    )
    refused = "".join(f" {name}: {reason}." for name, reason in sorted(given.unfit.items()))
    return [
        "<h2>What it stands on</h2>",
        f'<p class="quiet">{escape(facts)}{escape(refused)}</p>',
        f'<p class="quiet">Evidence <code>{decision.evidence_hash}</code>, whole in <code>decision.json</code>.</p>',
    ]


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]], words: set[int]) -> str:
    """A table. `words`: the columns that hold no numbers."""

    def cells(tag: str, values: Sequence[Any]) -> str:
        return "".join(
            f"<{tag}{'' if place in words else ' class=n'}>{escape(str(value))}</{tag}>"
            for place, value in enumerate(values)
        )

    lines = [f"<tr{'' if place else ' class=first'}>{cells('td', row)}</tr>" for place, row in enumerate(rows)]
    return f'<div class="wide"><table><tr>{cells("th", head)}</tr>{"".join(lines)}</table></div>'
