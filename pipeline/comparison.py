"""What differs between the hits and alerts that the lake has and those that other versions of its rules would make."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import reduce
from operator import add
from typing import Any

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from .correlate import instant, leaf

ENTITIES: Mapping[str, tuple[str, ...]] = {"host": ("host.name",), "user": ("user.name",), "vm": ("vm.name", "vm.id", "vm.path")}
STATES = ("added", "gone", "same")
LONGEST = 1000  # characters of a line that is shown as an example


@dataclass(frozen=True)
class Difference:
    """How many are new, how many are no more, how many stay."""

    added: int = 0
    gone: int = 0
    same: int = 0

    @property
    def before(self) -> int:
        return self.gone + self.same

    @property
    def after(self) -> int:
        return self.added + self.same

    def __add__(self, other: Difference) -> Difference:
        return Difference(self.added + other.added, self.gone + other.gone, self.same + other.same)

    def as_dict(self) -> dict[str, int]:
        """The machine-readable twin."""
        return {"before": self.before, "after": self.after, "added": self.added, "gone": self.gone, "same": self.same}


@dataclass(frozen=True)
class Example:
    """An event that only one of the two versions hits."""

    event: str
    time: datetime
    host: str | None
    line: str

    def as_dict(self) -> dict[str, Any]:
        """The machine-readable twin."""
        return {"event": self.event, "time": self.time.isoformat(), "host": self.host, "line": self.line}


@dataclass(frozen=True)
class Seen:
    """An alert as far as it is compared: alerts of the same id are the same alert, whatever else they say."""

    id: str
    rule: str
    day: date
    entities: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Compared:
    """Differences by rule and day, by entity (kind, name), and examples by rule and state."""

    by_rule: Mapping[str, Mapping[date, Difference]] = field(default_factory=dict)
    by_entity: Mapping[str, Mapping[str, Difference]] = field(default_factory=dict)
    examples: Mapping[str, Mapping[str, tuple[Example, ...]]] = field(default_factory=dict)

    def of(self, rule: str) -> Difference:
        """The difference of one rule over all days."""
        return total(self.by_rule.get(rule, {}).values())

    @property
    def by_day(self) -> dict[date, Difference]:
        days = sorted({day for found in self.by_rule.values() for day in found})
        return {day: total(found[day] for found in self.by_rule.values() if day in found) for day in days}


@dataclass(frozen=True)
class Effect:
    """What a rule did before and does now. `hits` is None for a correlation; `alerts` is None where there are too many hits for alerts."""

    id: str
    name: str
    title: str
    kind: str
    change: str
    hits: Difference | None
    alerts: Difference | None
    examples: Mapping[str, tuple[Example, ...]]

    @property
    def changes(self) -> int:
        """How many hits and alerts differ."""
        return sum(found.added + found.gone for found in (self.hits, self.alerts) if found)

    def as_dict(self) -> dict[str, Any]:
        """The machine-readable twin."""
        return {"id": self.id, "name": self.name, "title": self.title, "kind": self.kind, "change": self.change,
                "hits": self.hits and self.hits.as_dict(), "alerts": self.alerts and self.alerts.as_dict(),
                "examples": {state: [example.as_dict() for example in found] for state, found in self.examples.items()}}


@dataclass(frozen=True)
class Outcome:
    """What a backtest says. Without rules none had changed, and there is no range."""

    since: datetime | None = None
    until: datetime | None = None
    events: int = 0
    rules: tuple[Effect, ...] = ()
    hits: Compared = field(default_factory=Compared)
    alerts: Compared = field(default_factory=Compared)
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def days(self) -> list[tuple[date, Difference, Difference]]:
        """Hits and alerts of each day."""
        hits, alerts = self.hits.by_day, self.alerts.by_day
        return [(day, hits.get(day, Difference()), alerts.get(day, Difference())) for day in sorted(hits.keys() | alerts.keys())]

    def as_dict(self) -> dict[str, Any]:
        """The machine-readable twin."""
        def named(found: Compared) -> dict[str, list[dict[str, Any]]]:
            return {kind: [{"name": name, **difference.as_dict()} for name, difference in found.by_entity.get(kind, {}).items()]
                    for kind in ENTITIES}

        return {"since": self.since and self.since.isoformat(), "until": self.until and self.until.isoformat(), "events": self.events,
                "rules": [rule.as_dict() for rule in self.rules],
                "days": [{"day": str(day), "hits": hits.as_dict(), "alerts": alerts.as_dict()} for day, hits, alerts in self.days],
                "entities": {"hits": named(self.hits), "alerts": named(self.alerts)}, "seconds": dict(self.seconds)}


def total(parts: Iterable[Difference]) -> Difference:
    """Differences added up."""
    return reduce(add, parts, Difference())


def _first(entities: Mapping[str, Difference], most: int) -> dict[str, Difference]:
    """The entities that changed or have most, in this order."""
    return dict(sorted(entities.items(), key=lambda entry: (-entry[1].added - entry[1].gone, -entry[1].same, entry[0]))[:most])


# --- hits ---------------------------------------------------------------------------------------------------------------------


def compare_hits(before: DataFrame, after: DataFrame, most: int, examples: int) -> Compared:
    """Hits of two versions (both with the columns of the table `hits`). One shuffle brings the two hits of an event together; only
    counts, the `most` entities of each kind and the first `examples` lines of each rule reach the driver.
    """
    together = _together(before, after).persist()
    try:
        by_rule: dict[str, dict[date, Difference]] = defaultdict(dict)
        for rule, day, *counts in together.groupBy("rule", F.to_date("time").alias("day")).agg(*_counts()).collect():
            by_rule[rule][day] = Difference(*counts)
        return Compared(by_rule, _entities(together, most), _examples(together, examples) if examples else {})
    finally:
        together.unpersist()


def _together(before: DataFrame, after: DataFrame) -> DataFrame:
    """One row per rule and event: its state, time, entities and line."""
    shown = [F.coalesce(*map(leaf, names)).alias(kind) for kind, names in ENTITIES.items()]
    line = F.substring(leaf("event.original"), 1, LONGEST).alias("line")
    sides = [rows.select(F.col("rule_id").alias("rule"), leaf("event.id").alias("event"), F.col("@timestamp").alias("time"), *shown, line,
                         F.lit(side == "before").alias("before"), F.lit(side == "after").alias("after"))
             for side, rows in (("before", before), ("after", after))]
    firsts = [F.first(name, ignorenulls=True).alias(name) for name in ("time", *ENTITIES, "line")]
    held = [F.max(side).alias(side) for side in ("before", "after")]
    rows = sides[0].unionByName(sides[1]).groupBy("rule", "event").agg(*held, *firsts)
    state = F.when(~F.col("before"), "added").when(~F.col("after"), "gone").otherwise("same")
    return rows.withColumn("state", state).drop("before", "after")


def _counts() -> list[Any]:
    return [F.count_if(F.col("state") == state).alias(state) for state in STATES]


def _entities(together: DataFrame, most: int) -> dict[str, dict[str, Difference]]:
    each = F.explode(F.array(*(F.struct(F.lit(kind).alias("kind"), F.col(kind).alias("name")) for kind in ENTITIES)))
    named = together.select(each.alias("entity"), "state").where(F.col("entity.name").isNotNull())
    counted = named.groupBy("entity").agg(*_counts())
    order = (F.desc(F.col("added") + F.col("gone")), F.desc("same"), "entity.name")
    rank = F.row_number().over(Window.partitionBy("entity.kind").orderBy(*order))
    found: dict[str, dict[str, Difference]] = {kind: {} for kind in ENTITIES}
    for entity, *counts in counted.withColumn("rank", rank).where(F.col("rank") <= most).orderBy("rank").drop("rank").collect():
        found[entity.kind][entity.name] = Difference(*counts)
    return found


def _examples(together: DataFrame, most: int) -> dict[str, dict[str, tuple[Example, ...]]]:
    """The first lines of each rule that are added, and that are gone."""
    rank = F.row_number().over(Window.partitionBy("rule", "state").orderBy("time", "event"))
    changed = together.where(F.col("state") != "same").withColumn("rank", rank).where(F.col("rank") <= most)
    found: dict[str, dict[str, tuple[Example, ...]]] = defaultdict(dict)
    for row in changed.orderBy("rule", "state", "rank").select("rule", "state", "event", F.unix_micros("time").alias("time"), "host",
                                                               "line").collect():
        example = Example(row.event, instant(row.time), row.host, row.line or "")
        found[row.rule][row.state] = (*found[row.rule].get(row.state, ()), example)
    return found


# --- alerts -------------------------------------------------------------------------------------------------------------------


def compare_alerts(before: Iterable[Seen], after: Iterable[Seen], most: int) -> Compared:
    """Alerts of two versions, by their ids."""
    old, new = ({alert.id: alert for alert in side} for side in (before, after))
    states = {key: "same" if key in old and key in new else "added" if key in new else "gone" for key in old | new}
    by_rule: dict[str, dict[date, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    by_entity: dict[str, dict[str, Counter[str]]] = {kind: defaultdict(Counter) for kind in ENTITIES}
    for key, alert in (old | new).items():
        by_rule[alert.rule][alert.day][states[key]] += 1
        for kind, counters in by_entity.items():
            for name in alert.entities.get(kind, ()):
                counters[name][states[key]] += 1
    return Compared(
        {rule: {day: Difference(**counts) for day, counts in days.items()} for rule, days in by_rule.items()},
        {kind: _first({name: Difference(**counts) for name, counts in counters.items()}, most) for kind, counters in by_entity.items()})
