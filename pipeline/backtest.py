"""`hypervigil backtest`: what new or changed rules find in the events that the lake holds, against what the lake has of them.

What ran before are the stored hits and alerts. The rules run anew over the stored events of the same time, in one pass like the run's own;
correlations are judged anew over the hits that this gives and the stored hits of the rules that stay as they are. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
import polars as pl
import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from . import correlate, judge, session
from .alerts import Alert
from .choosing import Chosen, Digests, change_of, named
from .comparison import Compared, Effect, Outcome, Seen, compare_alerts, compare_hits
from .config import Settings
from .errors import LakeError
from .kernel.detect import Detector
from .kernel.engine import Engine
from .kernel.normalise import to_arrow
from .lake import TABLES, Lake
from .progress import Progress
from .raising import WINDOW, from_findings, from_hits, needed_fields, window_start
from .rows import ENTITY_FIELDS
from .rulebook import exceptions_of, places
from .schema import BY_NAME
from .sigma.compile import compile_rule
from .sigma.correlations import closure
from .sigma.digest import digests
from .sigma.exceptions import Exceptions
from .sigma.load import Rule
from .sigma.terms import dtype, fields, terms

ROWS = 100_000  # events that a task judges at once: enough to make the fixed cost of a rule small
MOST_HITS = 200_000  # of one rule; nobody reads the alerts of more, and they would have to fit into memory


@dataclass(frozen=True)
class Period:
    """A time range of whole hours: alerts are counted by fixed hours, and none may be cut."""

    since: datetime
    until: datetime

    def of(self, rows: DataFrame, reach: timedelta = timedelta()) -> DataFrame:
        """The rows of a table whose time is in the range, or within reach of it."""
        first, end, time = self.since - reach, self.until + reach, F.col("@timestamp")
        days = F.col("date").between(F.lit(first.date()), F.lit(end.date()))
        return rows.where(days & (time >= F.lit(first)) & (time < F.lit(end)))


def backtest(settings: Settings, names: Sequence[str] = (), top: int = 10, examples: int = 3, quiet: bool = False,
             spark: SparkSession | None = None) -> Outcome:
    """Compare rules (default: those that changed since) with what the lake has of them. Raises ContentError, LakeError.

    What cannot work is refused before Spark starts. A session given is left open.
    """
    wanted = named(names, places(settings))
    exceptions = exceptions_of(settings, wanted.catalogue)
    progress = Progress(quiet, settings.progress)
    with progress.stage("starting Spark"):
        own = spark or session.session(settings)
    try:
        with session.clear_errors(settings.lake_url):
            house = Lake(own, settings.lake_url)
            with progress.query("looking for rules that changed", own):
                runs = _rules_of_runs(house)
                chosen = wanted.choose(runs)
            if not chosen.ids:
                return Outcome(seconds=progress.seconds)
            return _compare(house, chosen, runs, exceptions, settings, progress, top, examples)
    finally:
        if spark is None:
            session.stop(own)


def _compare(house: Lake, chosen: Chosen, runs: Sequence[Digests], exceptions: Exceptions, settings: Settings, progress: Progress,
             top: int, examples: int) -> Outcome:
    spark = house.spark
    with progress.query("looking at the stored events", spark):
        period, events, newest = _range(house, settings.since, settings.until)
    reach = correlate.reach(chosen.correlations)
    after = _detected(period.of(house.read("events"), reach), chosen, exceptions.fields).persist()
    try:
        with progress.query(f"running {len(chosen.rules):,} rules over {events:,} events", spark):
            after.count()
        with progress.query("comparing hits", spark):
            before = house.read("hits").where(F.col("rule_id").isin(*(rule.id for rule in chosen.rules), *chosen.removed))
            hits = compare_hits(period.of(before), period.of(after), top, examples)
        many = {rule.id for rule in chosen.rules if hits.of(rule.id).after > MOST_HITS}
        with progress.query("making alerts", spark):
            made = [*_alerts(period.of(after), chosen, hits, many, exceptions),
                    *_correlated(house, chosen, after, period, newest, exceptions)]
            now = [_seen(alert) for alert in made if alert.suppressed is None and period.since <= alert.first < period.until]
            alerts = compare_alerts(_stored(house, set(chosen.ids) - many, period), now, top)
    finally:
        after.unpersist()
    return Outcome(period.since, period.until, events, _effects(chosen, runs, hits, alerts, many), hits, alerts, progress.seconds)


def _rules_of_runs(house: Lake) -> list[Digests]:
    """The rules of each run that read something, as far as runs wrote them down."""
    figures = [orjson.loads(row.figures) for row in house.read("runs").select("figures").collect()]
    return [run["rules"] for run in figures if run["run"]["lines"] and "rules" in run]


def _range(house: Lake, since: datetime | None, until: datetime | None) -> tuple[Period, int, datetime]:
    """The range that is asked for, as far as there are events; their number, and the time of the newest event of all."""
    time = F.col("@timestamp")
    inside = (time >= F.lit(since) if since else F.lit(True)) & (time < F.lit(until) if until else F.lit(True))
    micros = [F.unix_micros(bound) for bound in (F.min(time), F.max(time), F.min(F.when(inside, time)), F.max(F.when(inside, time)))]
    oldest, newest, first, last, count = house.read("events").agg(*micros, F.count_if(inside)).collect()[0]
    if newest is None:
        raise LakeError("the lake holds no events", house.url, hint="`hypervigil run` reads logs into it")
    if not count:
        held = " to ".join(f"{correlate.instant(bound):%Y-%m-%dT%H:%M}" for bound in (oldest, newest))
        raise LakeError("no events in the range", house.url, hint=f"the lake holds {held} UTC: --since, --until")
    start, end = window_start(since or correlate.instant(first)), until or correlate.instant(last + 1)
    whole = window_start(end)
    return Period(start, whole if whole == end else whole + WINDOW), count, correlate.instant(newest)


# --- hits ---------------------------------------------------------------------------------------------------------------------


def _detected(events: DataFrame, chosen: Chosen, asked: set[str]) -> DataFrame:
    """The hits of the chosen rules in events: rows as in the table `hits`, with what comparing and alerting read of them, and `asked`."""
    if not chosen.rules:
        return events.sparkSession.createDataFrame([], TABLES["hits"].ddl)
    there = _leaves(events)
    names = sorted((_read_fields(chosen) | asked) & there)
    detector = Engine().detector(chosen.rules)

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for frame in _frames(batches):
            yield from _hits(frame, detector)

    return events.select(*map(_flat, names)).mapInArrow(run, TABLES["hits"].ddl)


def _flat(name: str) -> Column:
    """A field as mapInArrow gets it: without dots, which it takes for structs, and lists as JSON. Spark 4.2 measures a batch after each
    row, and for a list walks over all rows before it: 50,000 rows with ten lists took 67 s, with text in their place 2 s.
    """
    column: Column = correlate.leaf(name)
    return (F.to_json(column) if BY_NAME[name].many else column).alias(name.replace(".", ":"))


def _read_fields(chosen: Chosen) -> set[str]:
    compared = {name for rule in chosen.rules for term in terms(compile_rule(rule)) for name in fields(term)}
    counted = {name for correlation in chosen.correlations for name in correlation.fields} & BY_NAME.keys()
    shown = {name for names in ENTITY_FIELDS.values() for name in names}
    return compared | counted | shown | needed_fields(chosen.everything) | {"event.id", "event.fact_id", "event.dataset", *judge.CHANNEL}


def _leaves(rows: DataFrame) -> set[str]:
    """The fields that a table has: one written before the schema gained a field lacks it until the next run."""
    def inside(schema: Any, prefix: str) -> Iterator[str]:
        for each in schema.fields:
            if hasattr(each.dataType, "fields"):
                yield from inside(each.dataType, f"{prefix}{each.name}.")
            else:
                yield prefix + each.name

    return set(inside(rows.schema, ""))


def _frames(batches: Iterable[pa.RecordBatch]) -> Iterator[pl.DataFrame]:
    """Batches of Spark (10,000 rows) put together to frames."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(part.num_rows for part in held) >= ROWS:
            yield _frame(held)
            held = []
    if held:
        yield _frame(held)


def _frame(batches: Sequence[pa.RecordBatch]) -> pl.DataFrame:
    frame = pl.from_arrow(pa.Table.from_batches(batches))
    assert isinstance(frame, pl.DataFrame)
    flat = frame.rename({name: name.replace(":", ".") for name in frame.columns})
    return flat.with_columns(pl.col(name).str.json_decode(dtype(BY_NAME[name])) for name in flat.columns if BY_NAME[name].many)


def _hits(events: pl.DataFrame, detector: Detector) -> list[pa.RecordBatch]:
    found = detector.detect(events)
    if found.is_empty():
        return []
    rows = events[found.get_column("event_index")]
    days = pa.array(rows.get_column("@timestamp").dt.date().to_list(), pa.date32())
    table = to_arrow(rows).add_column(0, "rule_id", pa.array(found.get_column("rule_id").to_list(), pa.string()))
    batches: list[pa.RecordBatch] = table.append_column("date", days).to_batches()
    return batches


# --- alerts -------------------------------------------------------------------------------------------------------------------


def _alerts(after: DataFrame, chosen: Chosen, hits: Compared, many: set[str], exceptions: Exceptions) -> Iterator[Alert]:
    """What the new hits raise, day by day."""
    ids = {rule.id for rule in chosen.rules} - many
    rules = [rule for rule in chosen.catalogue.alerting if rule.id in ids]
    wanted = needed_fields(rules) - {"event.original"} | exceptions.fields
    for day in sorted({day for rule in rules for day, found in hits.by_rule.get(rule.id, {}).items() if found.after}):
        mine = after.where((F.col("date") == F.lit(day)) & F.col("rule_id").isin([rule.id for rule in rules]))
        yield from from_hits(correlate.as_flat_rows(mine, wanted), rules, exceptions)


def _correlated(house: Lake, chosen: Chosen, after: DataFrame, period: Period, newest: datetime, exceptions: Exceptions) -> list[Alert]:
    """What correlations raise from the new hits and the stored ones of the rules that stay as they are."""
    raising = [each for each in chosen.catalogue.alerting_correlations if each in chosen.correlations]
    if not raising:
        return []
    needed = {each.id for wanted in raising for each in closure(chosen.catalogue.correlations, wanted)}
    correlations = [each for each in chosen.catalogue.correlations if each.id in needed]
    kept = {rule for each in correlations for rule in each.refers_to} - {rule.id for rule in chosen.rules}
    stored = period.of(house.read("hits"), correlate.reach(correlations)).where(F.col("rule_id").isin(*kept))
    rows = stored.unionByName(after, allowMissingColumns=True)
    found = correlate.findings(rows, correlations, newest)
    found = found.filter(pl.col("correlation").is_in([each.id for each in raising]))
    behind = correlate.rows_of(rows, found, needed_fields(raising) - {"event.original"} | exceptions.fields)
    return from_findings(found.to_dicts(), raising, behind, exceptions)


def _seen(alert: Alert) -> Seen:
    return Seen(alert.id, alert.rule.id, alert.first.date(), alert.entities.model_dump())


def _stored(house: Lake, ids: Iterable[str], period: Period) -> Iterator[Seen]:
    """The alerts of some rules that the lake has, but for those that exceptions silenced."""
    loud = F.get_json_object("alert", "$.suppressed").isNull()
    rows = period.of(house.read("alerts")).where(F.col("rule_id").isin(*ids) & loud)
    for row in rows.select("id", "rule_id", F.col("date"), F.get_json_object("alert", "$.entities").alias("entities")).collect():
        yield Seen(row.id, row.rule_id, row.date, {kind: tuple(values) for kind, values in orjson.loads(row.entities).items()})


def _effects(chosen: Chosen, runs: Sequence[Digests], hits: Compared, alerts: Compared, many: set[str]) -> tuple[Effect, ...]:
    now = digests(chosen.everything)
    found = [Effect(rule.id, rule.name or rule.path.stem, rule.title, "rule" if isinstance(rule, Rule) else "correlation",
                    change_of(rule.id, now, runs), hits.of(rule.id) if isinstance(rule, Rule) else None,
                    None if rule.id in many else alerts.of(rule.id), _examples(hits, rule.id)) for rule in chosen.everything]
    found += [Effect(key, key, "", "rule", "removed", hits.of(key), alerts.of(key), _examples(hits, key)) for key in chosen.removed]
    return tuple(sorted(found, key=lambda rule: (-rule.changes, rule.name)))


def _examples(hits: Compared, key: str) -> Mapping[str, Any]:
    return hits.examples.get(key, {})
