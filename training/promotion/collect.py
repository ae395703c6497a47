"""All that a decision depends on, read once; of the scoreboard, what the decision before has not seen."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from core.config.tasks import Task, digest
from core.errors import NotFoundError
from core.jobs.context import JobContext
from features import lake
from features.dataset import Dataset
from training.evaluation import e_values, scoreboard
from training.evaluation.board import Scoreboard
from training.evaluation.scoreboard import Scope
from training.ledger import decisions
from training.ledger import entries as ledger
from training.ledger.decisions import Decision
from training.ledger.entries import CHAMPION
from training.ledger.reconciler import Reconciled
from training.promotion import holdout_refit
from training.promotion import state as gate_state
from training.promotion.gate import GateState, Meeting
from training.promotion.reign import Tenure, fixed_name
from training.registry import validation, versions
from training.registry.versions import Version

_FEW = 2


@dataclass(frozen=True)
class DecisionContext:
    """What is so when the job decides.

    `newest`: the newest version of each contender that has one, unless it was refused; `unfit`: what is wrong with such
    a version, where something is; `champion`: the version that holds the alias, None when nobody does or when it is not
    one of ours; `before`: the version that held it until the last move, while its probation may last; `harm`: the
    evidence against a newer version of the champion's contender; `spoilt`: as `unfit`, of versions that were read back;
    `looked`: the newest scored date that a decision has seen; `newest_label`: of all that is scored; `is_late`: it is
    of an earlier night, on which nobody looked; `is_new_reign`: the champion came otherwise than by the last decision.
    """

    task: Task
    series: str
    as_of: datetime
    newest: Mapping[str, Version]
    unfit: Mapping[str, str]
    aliases: Reconciled
    champion: Version | None
    reign: Tenure
    before: Version | None
    carried: GateState
    board: Scoreboard
    harm: float = 1.0
    spoilt: Mapping[str, str] = field(default_factory=dict)
    is_late: bool = False
    looked: date | None = None
    newest_label: date | None = None
    is_new_reign: bool = False

    @property
    def is_pinned(self) -> bool:
        """Whether a person moved the champion, so that it stays."""
        return CHAMPION in self.aliases.pinned

    @property
    def is_lost(self) -> bool:
        """Whether there was a champion, and MLflow has none any more."""
        return self.is_pinned and CHAMPION not in self.aliases.aliases

    @property
    def incumbent(self) -> str | None:
        """The champion's name on the board; None when there is none, or when it is of another series."""
        return None if self.champion is None else board_name(self.task, self.champion)

    @property
    def guardian(self) -> str | None:
        """The name on the board of who had the title before; None when nobody is on probation."""
        if self.before is None or self.champion is None or self.before.version == self.champion.version:
            return None
        if not self.reign.goes_on:
            is_declared = self.before.contender_hash == self.declared.get(self.before.contender)
            return fixed_name(self.before.contender, self.before.version) if is_declared else None
        name = board_name(self.task, self.before)
        return name if name in self.newest and name not in self.unfit else None

    @property
    def newer(self) -> Version | None:
        """A version of the champion's contender that is newer than the one that serves."""
        newest = None if self.is_late else self.newest.get(self.incumbent or "")
        if newest is None or self.champion is None or newest.trained_through <= self.champion.trained_through:
            return None
        return newest

    @property
    def standing(self) -> frozenset[str]:
        """Who may be crowned, the champion among them: who has a version that could be served."""
        able = {name for name in self.newest if name not in self.unfit}
        return frozenset(able if self.incumbent is None else able | {self.incumbent})

    @property
    def through(self) -> date | None:
        """The newest scored date."""
        if len(self.board.target_dates):
            newest: date = self.board.target_dates[-1].item()
            return newest
        return self.looked

    @property
    def declared(self) -> dict[str, str]:
        """The hash of each contender's declaration."""
        return {name: self.task.contender_hash(name) for name in self.task.contenders}

    @property
    def identities(self) -> dict[str, str]:
        """What each name on the board stands for: the hash of a declaration, or the digest of a fixed version."""
        names = dict(self.declared)
        if self.champion is not None and self.incumbent is not None:
            names[self.incumbent] = self.champion.contender_hash
        if self.before is not None and self.guardian is not None:
            names[self.guardian] = self.before.contender_hash if self.reign.goes_on else self.before.artifact_digest
        return names

    @property
    def stands_on(self) -> str:
        """Names what evidence depends on besides rows and contenders: with another one it begins anew."""
        task = self.task
        return digest([self.series, task.metric, task.gate.block, task.scored_from, e_values.PROCEDURE])

    @property
    def missed(self) -> "DecisionContext | None":
        """The first night on which nobody has looked, as it was then; None when that is the newest.

        So a run after a week without any decides what seven runs would have, in their order.
        """
        if self.looked is None or len(nights := self.board.after(self.looked).target_dates) < _FEW:
            return None
        night: date = nights[0].item()
        reign = Tenure(night, refused=self.reign.refused) if self.champion is None else self.reign
        return replace(self, board=self.board.until(night), reign=reign, is_late=True)

    def meetings(self) -> set[Meeting]:
        """The pairs of which the gate will want to know."""
        wanted: set[Meeting] = set()
        if self.incumbent is not None:
            wanted |= {(self.incumbent, name, self.reign.since) for name in self.standing - {self.incumbent}}
            if self.guardian is not None:
                wanted.add((self.incumbent, self.guardian, self.reign.moved))
        baseline = self.task.baseline
        for name in self.task.contenders:
            if name != baseline:
                wanted |= {(baseline, name, None), (name, baseline, None)}
        return wanted


def read(
    at: JobContext,
    task: Task,
    series: str,
    newest: Mapping[str, Version],
    aliases: Reconciled,
    gone: Collection[int] = (),
    dataset: Dataset | None = None,
) -> DecisionContext:
    """Reads the champion, the last decision and the new rows of the scoreboard, and what fixed versions say of them.

    `gone`: versions that MLflow has no more. `dataset`: the task's newest; None: the lake's.
    """
    number = aliases.aliases.get(CHAMPION)
    champion = None if number is None else versions.find(at.engine, task.name, number)
    champion = champion if champion is not None and champion.series == series else None
    last = decisions.newest_judged(at.engine, task.name, series)
    refused = () if last is None else Tenure.of_plain(last.evidence["reign"]).refused
    reign = _reign(last, champion)
    before = None if reign is None or reign.before is None else versions.find(at.engine, task.name, reign.before)
    if reign is not None and (before is None or before.version in gone):
        reign, before = reign.over(), None
    asked = {name: version for name, version in newest.items() if version.version not in refused}
    bare = DecisionContext(
        task, series, at.clock.now(), asked, _unfit(task, asked, champion), aliases, champion,
        reign or Tenure(None, refused=refused), before, GateState(), Scoreboard.empty(),
        looked=None if last is None or last.evidence["last"] is None else date.fromisoformat(last.evidence["last"]),
        is_new_reign=reign is None,
    )  # fmt: skip
    left = gate_state.left_by(last, bare.stands_on, bare.identities, bare.standing, (bare.incumbent, bare.reign.since))
    bare = replace(bare, carried=left)
    board = scoreboard.read(at.engine, scope(task, series), bare.as_of, _begin(bare))
    situation = replace(bare, board=board)
    situation = replace(situation, newest_label=situation.through)
    if reign is None:
        begun = _crowned(at, situation) if champion is not None else None
        situation = replace(situation, looked=_latest(situation.looked, begun))
        situation = replace(situation, reign=Tenure(begun or situation.through, refused=refused))
    return _with_versions(at, situation, dataset)


def scope(task: Task, series: str) -> Scope:
    """Whose predictions of what are on the task's scoreboard."""
    hashes = {name: task.contender_hash(name) for name in task.contenders}
    return Scope(task.name, series, task.target.kind, hashes, task.scored_from)


def board_name(task: Task, version: Version) -> str:
    """The name of a version's contender on the board.

    One whose declaration has changed since is named with its old hash, which no board has.
    """
    contender = version.contender
    is_declared = contender in task.contenders and task.contender_hash(contender) == version.contender_hash
    return contender if is_declared else f"{contender}@{version.contender_hash}"


def _unfit(task: Task, newest: Mapping[str, Version], champion: Version | None) -> dict[str, str]:
    found = {}
    for name, version in newest.items():
        is_of_champion = champion is not None and version.contender_hash == champion.contender_hash
        fault = validation.fault(task, version, champion if is_of_champion else None)
        if fault:
            found[name] = fault
    return found


def _reign(last: Decision | None, champion: Version | None) -> Tenure | None:
    """The reign as the last decision left it; None when it was of another: one that came by hand begins anew.

    One whose declaration has changed goes on reigning under another name.
    """
    if last is None or champion is None:
        return None
    if last.evidence["carried"]["identities"].get(last.champion) != champion.contender_hash:
        return None
    return Tenure.of_plain(last.evidence["reign"])


def _crowned(at: JobContext, situation: DecisionContext) -> date | None:
    """The newest scored date when somebody gave the champion its alias: what it was chosen by is no evidence."""
    moved = ledger.standing(at.engine, situation.task.name)[CHAMPION].since
    known = scoreboard.read(at.engine, scope(situation.task, situation.series), moved, situation.looked).target_dates
    return known[-1].item() if len(known) else situation.looked


def _latest(*days: date | None) -> date | None:
    return max((day for day in days if day is not None), default=None)


def _begin(situation: DecisionContext) -> date | None:
    """The date after which rows are needed; None: all of them."""
    gate_state = situation.carried
    if gate_state.ranking is None:
        return None
    seen: list[date | None] = [gate_state.ranking.through]
    for meeting in situation.meetings():
        pair = gate_state.pairs.get(meeting)
        if pair is not None:
            seen.append(pair.through or pair.since)
        else:
            is_of_new_reign = situation.is_new_reign and meeting[0] == situation.incumbent
            seen.append(situation.looked if is_of_new_reign else meeting[2])
    return _earliest(seen)


def _earliest(days: Iterable[date | None]) -> date | None:
    found: date | None = date.max
    for day in days:
        if day is None or found is None:
            return None
        found = min(found, day)
    return found


def _with_versions(at: JobContext, situation: DecisionContext, dataset: Dataset | None) -> DecisionContext:
    """The same with what fixed versions say of rows: the one on probation, and the twin of one that wants to serve."""
    task, newer, before, guardian = situation.task, situation.newer, situation.before, situation.guardian
    is_fixed = before is not None and guardian is not None and not situation.reign.goes_on
    wants_twin = (
        newer is not None
        and task.contenders[newer.contender].kind == "batch"
        and newer.contender not in situation.unfit
    )
    if not (is_fixed or wants_twin):
        return situation
    if dataset is None:
        dataset = lake.current(at.settings, at.engine, task, situation.as_of)
    if is_fixed:
        assert before is not None  # noqa: S101
        assert guardian is not None  # noqa: S101
        late = situation.board.after(situation.reign.moved)
        try:
            track = holdout_refit.track(at, dataset, before, late.target_dates)
        except NotFoundError:  # its files were never kept, and MLflow has them no more
            return _with_versions(at, replace(situation, before=None, reign=situation.reign.over()), dataset)
        situation = replace(situation, board=situation.board.with_late(guardian, track))
    if wants_twin and situation.champion is not None and newer is not None:
        situation = replace(situation, harm=holdout_refit.harm(at, task, dataset, situation.champion, newer))
    return situation
