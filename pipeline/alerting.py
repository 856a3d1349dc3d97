"""Hits of the lake to alerts of the lake: single-event rules day by day, correlations over all the days that bear upon what is new."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime

import polars as pl
from pyspark.sql import functions as F

from . import correlate, hits
from .alerts import Alert
from .delta_files import Add, write_parquet
from .lake import TABLES, Batch, Lake, worker_url
from .raising import from_findings, from_hits, needed_fields
from .sigma.catalogue import Catalogue
from .sigma.correlations import Correlation
from .sigma.exceptions import Exceptions


@dataclass(frozen=True)
class Correlated:
    """Alerts of correlations or jobs, and the ids of those that an earlier run raised from less and that are no more."""

    alerts: list[Alert]
    outdated: set[str]

    def and_of(self, other: Correlated) -> Correlated:
        """Both."""
        return Correlated([*self.alerts, *other.alerts], self.outdated | other.outdated)


def excused_otherwise(house: Lake, exceptions: Exceptions) -> set[date]:
    """Days with alerts that exceptions now silence, or no longer do: those of the rules they name, if they changed since the last run."""
    if house.is_new("runs") or house.is_new("alerts"):
        return set()
    last = house.read("runs").orderBy(F.desc("started")).select(F.get_json_object("figures", "$.exceptions.version")).first()
    if ((last and last[0]) or "") == exceptions.version:
        return set()
    named = F.col("rule_id").isin([each.rule for each in exceptions.active])
    suppressed = F.get_json_object("alert", "$.suppressed").isNotNull()
    return {row[0] for row in house.read("alerts").where(named | suppressed).select("date").distinct().collect()}


def correlated(house: Lake, catalogue: Catalogue, days: set[date], watched: datetime | None, exceptions: Exceptions) -> Correlated:
    """What the correlations find around the days that got hits.

    `watched` is the time of the newest event of this run: up to then the sources were seen, so that what is missing is really missing.
    """
    if not catalogue.correlations or not days:
        return Correlated([], set())
    raised = [] if house.is_new("alerts") else _raised(house, catalogue.correlations)
    first, last = correlate.days_to_judge(catalogue.correlations, days, [(old.first, old.last) for old in raised])
    horizon = watched_until(house, watched)
    found = correlate.found_in_lake(house, catalogue.correlations, first, last, horizon)
    wanted = needed_fields(catalogue.alerting_correlations) | exceptions.fields
    behind = correlate.rows_behind(hits.stored(house, first, last), found, wanted)
    alerts = from_findings(found.to_dicts(), catalogue.alerting_correlations, behind, exceptions)
    now = {alert.id for alert in alerts}
    gone = {old.id for old in raised if old.id not in now and first <= old.first.date() <= last and old.closes <= horizon}
    return Correlated(alerts, gone)


def raise_alerts(house: Lake, catalogue: Catalogue, days: set[date], found: Correlated, run: str, exceptions: Exceptions) -> list[Alert]:
    """Alerts of the days that got hits (they may have grown), and of correlations and jobs, put into the table in place of what they were.
    """
    wanted, rules = needed_fields(catalogue.alerting) | {"event.id"} | exceptions.fields, [rule.id for rule in catalogue.alerting]
    alerts = [alert for day in sorted(days) for alert in from_hits(
        hits.as_rows(hits.stored(house, day, day).read(wanted, rules)), catalogue.alerting, exceptions)]
    alerts += found.alerts
    _store(house, alerts, found.outdated, run)
    return alerts


# --- the table ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Raised:
    """An alert of a correlation that the lake has."""

    id: str
    first: datetime
    last: datetime
    closes: datetime


def watched_until(house: Lake, newest: datetime | None) -> datetime:
    """The time up to which the sources were seen: that of the newest event of this run or of those before."""
    return max(filter(None, (newest, _watched(house))), default=datetime.now(UTC))


def _watched(house: Lake) -> datetime | None:
    """The time of the newest event that earlier runs saw."""
    if house.is_new("runs"):
        return None
    newest = F.max(F.get_json_object("figures", "$.run.newest").cast("timestamp"))
    micros = house.read("runs").agg(F.unix_micros(newest)).collect()[0][0]
    return None if micros is None else correlate.instant(micros)


def _raised(house: Lake, correlations: Iterable[Correlation]) -> list[Raised]:
    stored = house.read("alerts").where(F.col("rule_id").isin([c.id for c in correlations]))
    times = [F.unix_micros(F.get_json_object("alert", path).cast("timestamp")) for path in ("$.first", "$.last", "$.window.closes")]
    rows = stored.select("id", *times).where(F.get_json_object("alert", "$.window").isNotNull()).collect()
    return [Raised(row[0], *map(correlate.instant, row[1:])) for row in rows]


def _store(house: Lake, alerts: list[Alert], outdated: set[str], run: str) -> None:
    if not alerts and not outdated:
        return
    rows = pl.DataFrame([(a.id, a.timestamp, a.rule.id, a.severity, run, a.model_dump_json(by_alias=True), a.timestamp.date())
                         for a in alerts], orient="row", schema={
        "id": pl.String, "@timestamp": pl.Datetime("us", "UTC"), "rule_id": pl.String, "severity": pl.String, "run": pl.String,
        "alert": pl.String, "date": pl.Date})
    folder = worker_url(house.path("alerts"))
    adds: list[Add] = [write_parquet(folder, part.drop("date"), str(day), run, TABLES["alerts"].statistics)
                       for (day,), part in rows.unique("id").partition_by("date", as_dict=True).items()]
    house.commit(Batch(f"{run}-alerts", {"alerts": adds}, {"alerts": sorted({a.id for a in alerts} | outdated)}))
