"""What each rule needs and whether it arrives: pure functions over the ids that a lake has seen.

A rule needs a source (the datasets of its log source) and events with the ids that it compares (event.action, event.code). Events that
never came may be rare, or their setting may be off: they are taken for rare when other events of the same setting (families.py) arrive.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

import polars as pl

from .families import Families, Family
from .sigma.compile import compile_rule
from .sigma.correlations import TEMPORAL, Correlation, Threshold
from .sigma.load import Rule
from .sigma.terms import Node, Term, matches

State = Literal["ready", "ids never seen", "source silent", "source never seen"]
STATES: tuple[State, ...] = ("ready", "ids never seen", "source silent", "source never seen")
ID_FIELDS = ("event.action", "event.code")
SEEN: dict[str, Any] = {"event.dataset": pl.String, "event.action": pl.String, "event.code": pl.String, "last": pl.Datetime("us", "UTC"),
                        "events": pl.Int64}
SOURCE = "source"


@dataclass(frozen=True)
class Need:
    """A setting at the vendor's side: of a whole source, or of a family of its events."""

    parser: str
    family: str
    title: str
    enable: str

    def as_dict(self) -> dict[str, str]:
        """The machine-readable twin."""
        return {"parser": self.parser, "family": self.family, "title": self.title, "enable": self.enable}


@dataclass(frozen=True)
class Ready:
    """What a rule needs and what of it arrives. `normal`: nothing is missing but the event itself. `last`: when its events, or else its
    sources, were seen last. `waits_for`: rules that a correlation is built upon and that are not ready."""

    rule: Rule | Correlation
    state: State
    normal: bool
    datasets: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    last: datetime | None = None
    missing: tuple[Need, ...] = ()
    waits_for: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.rule.name or self.rule.path.stem

    def as_dict(self) -> dict[str, Any]:
        """The machine-readable twin."""
        rule = self.rule
        return {"id": rule.id, "name": self.name, "title": rule.title, "level": rule.level, "threat": rule.custom.threat,
                "kind": "rule" if isinstance(rule, Rule) else "correlation", "state": self.state, "normal": self.normal,
                "datasets": list(self.datasets), "ids": list(self.ids), "last": self.last and self.last.isoformat(),
                "missing": [need.as_dict() for need in self.missing], "waits_for": list(self.waits_for)}


@dataclass(frozen=True)
class Source:
    """A source that can be read, and what the lake has of it."""

    parser: str
    dataset: str
    state: State
    events: int
    last: datetime | None

    def as_dict(self) -> dict[str, Any]:
        """The machine-readable twin."""
        return {"parser": self.parser, "dataset": self.dataset, "state": self.state, "events": self.events,
                "last": self.last and self.last.isoformat()}


@dataclass(frozen=True)
class Survey:
    """Everything about a lake: the time looked at, sources and rules."""

    since: datetime
    newest: datetime
    sources: tuple[Source, ...]
    rules: tuple[Ready, ...]

    @property
    def counts(self) -> dict[State, int]:
        """Rules by state."""
        return {state: sum(ready.state == state for ready in self.rules) for state in STATES}

    def as_dict(self) -> dict[str, Any]:
        """The machine-readable twin."""
        return {"since": self.since.isoformat(), "newest": self.newest.isoformat(), "counts": self.counts,
                "sources": [source.as_dict() for source in self.sources], "rules": [ready.as_dict() for ready in self.rules]}


def judge(seen: pl.DataFrame, since: datetime, rules: Iterable[Rule | Correlation], families: Sequence[Families]) -> Survey:
    """The state of every rule; correlations must stand after those that they refer to."""
    sources = tuple(_source(seen, since, each) for each in families)
    found: dict[str, Ready] = {}
    for rule in rules:
        found[rule.id] = _correlation(rule, found) if isinstance(rule, Correlation) else _rule(rule, seen, since, families)
    newest = seen.get_column("last").max()
    assert isinstance(newest, datetime)
    ordered = sorted(found.values(), key=lambda ready: (STATES.index(ready.state), ready.normal, ready.name))
    return Survey(since, newest, sources, tuple(ordered))


def _source(seen: pl.DataFrame, since: datetime, families: Families) -> Source:
    rows = seen.filter(pl.col("event.dataset") == families.spec.dataset)
    return Source(families.spec.id, families.spec.dataset, _state_of_source(rows, since), int(rows.get_column("events").sum()), _last(rows))


def _state_of_source(rows: pl.DataFrame, since: datetime) -> State:
    last = _last(rows)
    return "source never seen" if last is None else "source silent" if last < since else "ready"


def _last(rows: pl.DataFrame) -> datetime | None:
    found = rows.get_column("last").max()
    assert found is None or isinstance(found, datetime)
    return found


def _rule(rule: Rule, seen: pl.DataFrame, since: datetime, families: Sequence[Families]) -> Ready:
    node = compile_rule(rule)
    mine = [each for each in families if rule.logsource.items() <= each.spec.logsource.items()]
    rows = seen.filter(pl.col("event.dataset").is_in([each.spec.dataset for each in mine]))
    ids = tuple(dict.fromkeys(ids_of(node)))
    ready = Ready(rule, _state_of_source(rows, since), False, tuple(each.spec.dataset for each in mine), ids, _last(rows))
    if ready.state != "ready":
        return replace(ready, missing=tuple(Need(each.spec.id, SOURCE, each.spec.title, each.spec.enable.strip()) for each in mine))
    possible = rows.filter(can_match(node, rows))
    recent = possible.filter(pl.col("last") >= since)
    if recent.height:
        return replace(ready, normal=True, last=_last(recent))
    arriving = [each for each in mine if _source(seen, since, each).state == "ready"]
    missing = _missing(arriving, list(ids), rows.filter(pl.col("last") >= since))
    return replace(ready, state="ids never seen", normal=not missing, last=_last(possible), missing=missing)


def _missing(families: Iterable[Families], ids: list[str], recent: pl.DataFrame) -> tuple[Need, ...]:
    """The settings any of which would bring the ids; none where they need none, where one is on already, or where ids belong to none."""
    wanted = [(each, family) for each in families for family in each.of(ids)]

    def comes(each: Families, family: Family) -> bool:
        return family.by_itself or each.arrives(family, recent.filter(pl.col("event.dataset") == each.spec.dataset))

    if any(comes(each, family) for each, family in wanted):
        return ()
    return tuple(Need(each.spec.id, family.id, family.title, family.enable.strip()) for each, family in wanted)


def ids_of(node: Node, positive: bool = True) -> list[str]:
    """The event ids that a rule asks for, as its author wrote them."""
    if isinstance(node, Term):
        return list(node.written) if positive and node.field in ID_FIELDS and node.values else []
    return [value for part in node.parts for value in ids_of(part, positive != (node.kind == "not"))]


def can_match(node: Node, seen: pl.DataFrame) -> pl.Series:
    """Of which ids (rows of SEEN) some event could match a rule, whatever its other fields hold."""
    return _can(node, seen)[0]


def _can(node: Node, seen: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    """Where a tree can be true, and where it can be false."""
    if isinstance(node, Term):
        if node.field not in (*ID_FIELDS, "event.dataset"):
            return (pl.repeat(True, seen.height, eager=True),) * 2
        held = matches(node, seen)
        return held, ~held
    parts = [_can(part, seen) for part in node.parts]
    if node.kind == "not":
        return parts[0][1], parts[0][0]
    true, false = (pl.DataFrame([part[side].alias(str(n)) for n, part in enumerate(parts)]) for side in (0, 1))
    every, some = pl.all_horizontal(pl.all()), pl.any_horizontal(pl.all())
    both = (true.select(every), false.select(some)) if node.kind == "all" else (true.select(some), false.select(every))
    return both[0].to_series(), both[1].to_series()


def _correlation(rule: Correlation, found: Mapping[str, Ready]) -> Ready:
    """A correlation is ready when rules enough for it are."""
    needed = _needed(rule)
    blocked = [found[key] for key in needed if key in found and found[key].state != "ready"]
    bases = [found[key] for key in needed if key in found]
    datasets = tuple(dict.fromkeys(name for base in bases for name in base.datasets))
    last = max((base.last for base in bases if base.last), default=None)
    if _enough(rule, {key for key, base in found.items() if base.state == "ready"}):
        return Ready(rule, "ready", True, datasets, last=last)
    worst = max((base.state for base in blocked), key=STATES.index, default=STATES[1])
    missing = tuple(dict.fromkeys(need for base in blocked for need in base.missing))
    return Ready(rule, worst, all(base.normal for base in blocked), datasets, last=last, missing=missing,
                 waits_for=tuple(base.name for base in blocked))


def _needed(rule: Correlation) -> tuple[str, ...]:
    """The rules whose hits a correlation waits for; those whose absence it looks for are none of them."""
    if isinstance(rule.condition, Threshold):
        return rule.known_from if rule.condition.only_upper and rule.known_from else rule.rules
    return tuple(sorted(rule.condition.rules(positive=True) | set(rule.known_from)))


def _enough(rule: Correlation, ready: set[str]) -> bool:
    condition = rule.condition
    if not isinstance(condition, Threshold):
        return any(present | set(rule.known_from) <= ready for present, _ in condition.alternatives())
    needed = set(_needed(rule))
    if rule.type == "temporal_ordered":
        return needed <= ready
    bounds = condition.bounds
    least = bounds.get("gte", bounds.get("gt", 0) + 1) if rule.type in TEMPORAL else 1
    return len(needed & ready) >= bounds.get("eq", least) if rule.type in TEMPORAL else bool(needed & ready)
