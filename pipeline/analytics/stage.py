"""Jobs over the lake: which days bear upon what is new, what they find there, and which alerts of theirs are no more.

What an event means depends on what was before it, and a machine's place at that time, which an earlier event that comes late may put
right. So everything from the first day that got hits is judged anew, with as much history before it as each job asks for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import polars as pl
from pyspark.sql import functions as F

from ..alerting import Correlated, watched_until
from ..alerts import Alert
from ..context import tables
from ..context.document import roles
from ..context.files import Context
from ..correlate import instant, rows_behind
from ..hits import Hits, stored
from ..lake import Lake
from ..raising import needed_fields
from ..sigma.catalogue import Catalogue
from ..sigma.exceptions import Exceptions
from .documents import Ready, ready
from .engine import findings
from .job import EPOCH, FINDINGS, micros
from .signals import Setting
from .telling import alerts_of

# An event may also tell something about those before it (a session without an end): that is settled within
SETTLES = timedelta(days=1)


@dataclass(frozen=True)
class Site:
    """What the jobs of a run work with."""

    house: Lake
    catalogue: Catalogue
    exceptions: Exceptions
    context: Context
    geoip: tuple[str, ...]


@dataclass(frozen=True)
class Raised:
    """An alert of a job that the lake has."""

    id: str
    rule: str
    first: datetime
    last: datetime


def found_by_jobs(site: Site, days: set[date], newest: datetime | None, run: str) -> Correlated:
    """Where machines were, and with that what the jobs find from the first of the days that got hits on, or that the context now shows in
    another light. `newest`: the time of the newest event of this run.
    """
    days = days | judged_otherwise(site.house, site.context)
    tables.refresh(site.house, roles(site.catalogue.jobs), site.context, days, run)
    jobs = tuple(ready(site.catalogue.jobs, site.context.policies, geoip=site.geoip))
    return _judged(site, jobs, days, newest) if jobs and days else Correlated([], set())


def _judged(site: Site, jobs: Sequence[Ready], days: set[date], newest: datetime | None) -> Correlated:
    house, context = site.house, site.context
    judged = datetime.combine(min(days), time.min, UTC) - SETTLES
    raised = [] if house.is_new("alerts") else _raised(house, [each.rule.id for each in jobs])
    since = {each.rule.id: first_day(each, judged, [old for old in raised if old.rule == each.rule.id]) for each in jobs}
    hits = house.read("hits").where(F.col("date") >= F.lit(min(since.values())))
    names = {rule.id: rule.name or rule.path.stem for rule in site.catalogue.rules}
    setting = Setting(watched_until(house, newest), names, since, tables.placed(house), context.identities.principals, context.inventory)
    found = findings(hits, jobs, setting)
    found = {rule: rows.filter(pl.col("last") >= micros(judged - EPOCH)) for rule, rows in found.items()}
    alerts = list(_alerts(stored(house, min(since.values())), jobs, found, site.exceptions))
    now = {alert.id for alert in alerts}
    return Correlated(alerts, {old.id for old in raised if old.last >= judged and old.id not in now})


def judged_otherwise(house: Lake, context: Context) -> set[date]:
    """The day from which on a context that changed since the last run shows all in another light: that of the oldest hit or inventory."""
    last = None if house.is_new("runs") else house.read("runs").orderBy(F.desc("started")).select(
        F.get_json_object("figures", "$.context")).first()
    if ((last and last[0]) or "") == context.version:
        return set()
    oldest = None if house.is_new("hits") else house.read("hits").agg(F.min("date")).collect()[0][0]
    listed = context.inventory.select(pl.from_epoch(pl.col("time").min(), "us").dt.date()).item()
    return {min(day for day in (oldest, listed) if day)} if oldest or listed else set()


def first_day(job: Ready, judged: datetime, raised: Iterable[Raised]) -> date:
    """The first day that a job must read to judge all from a time on: what is new may be the end of something that it has raised."""
    back = job.job.look_back(job.parameters)
    begun = [old.first for old in raised if old.last >= judged - back]
    return (min([judged, *begun]) - back).date()


def _alerts(hits: Hits, jobs: Sequence[Ready], found: Mapping[str, pl.DataFrame], exceptions: Exceptions) -> Iterable[Alert]:
    together = pl.concat([pl.DataFrame(schema=dict(FINDINGS)), *found.values()])
    if together.is_empty():
        return
    behind = rows_behind(hits, together, needed_fields([each.rule for each in jobs]) | exceptions.fields)
    for each in jobs:
        yield from alerts_of(each.rule, found[each.rule.id].to_dicts(), behind, exceptions)


def _raised(house: Lake, rules: Sequence[str]) -> list[Raised]:
    times = [F.unix_micros(F.get_json_object("alert", path).cast("timestamp")) for path in ("$.first", "$.last")]
    rows = house.read("alerts").where(F.col("rule_id").isin(*rules)).select("id", "rule_id", *times).collect()
    return [Raised(row[0], row[1], instant(row[2]), instant(row[3])) for row in rows]
