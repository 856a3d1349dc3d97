"""Jobs on Spark: hits of the lake to findings.

One scan of the hits for all jobs (signals.py), and one shuffle for each pass of each job, by its key. Cost follows the hits that some job
reads, never the product of anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import polars as pl
from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ..context.columns import PLACE
from .documents import Ready
from .frames import collected, columns_of, finely_cut, mapped, micros_of, there
from .job import EPOCH, FINDINGS, MICROSECOND, Columns, Pass
from .passes import KEY, as_signals, judged, keyed, signal_columns
from .signals import HIT, Lookup, Setting, lookups, signals


def findings(hits: DataFrame, jobs: Sequence[Ready], setting: Setting) -> dict[str, pl.DataFrame]:
    """Findings (columns of FINDINGS, sorted by time and key) by id of the job's document. `hits` has the schema of that table."""
    wanted = lookups(jobs)
    with finely_cut(hits.sparkSession):
        rows = signals(hits, jobs, setting)
        rows = rows.persist(StorageLevel.DISK_ONLY) if len(jobs) > 1 else rows
        try:
            return {each.rule.id: collected(_judged(rows, each, wanted, setting), FINDINGS).sort("first", "key") for each in jobs}
        finally:
            rows.unpersist()


def plan(hits: DataFrame, job: Ready, setting: Setting) -> DataFrame:
    """The findings of one job as Spark would compute them."""
    return _judged(signals(hits, [job], setting), job, lookups([job]), setting)


def _judged(rows: DataFrame, ready: Ready, wanted: Sequence[Lookup], setting: Setting) -> DataFrame:
    """Findings of one job over rows of hits (signals.signals)."""
    job, parameters, until = ready.job, ready.parameters, (setting.horizon - EPOCH) // MICROSECOND
    names = {rule: setting.rules.get(rule, rule) for rule in ready.rule.reads}
    into = {each.wanted: each.into for each in wanted}
    places = {f"{into[replace(each, into='')]}.{name}": f"{each.into}.{name}" for each in job.located for name in PLACE}

    def first(frame: pl.DataFrame) -> pl.DataFrame:
        return keyed(as_signals(frame.rename(places), ready, names), job.passes[0], parameters)

    rows = _passed(mapped(_own(rows, ready, {*HIT, *job.fields, *places}, setting), first, {**signal_columns(job), **KEY}), job.passes[0],
                   ready, until)
    for before, one in zip(job.passes, job.passes[1:], strict=False):
        def again(frame: pl.DataFrame, one: Pass = one) -> pl.DataFrame:
            return keyed(frame, one, parameters)

        rows = _passed(mapped(rows, again, {**before.columns, **KEY}), one, ready, until)
    return rows


def _own(rows: DataFrame, ready: Ready, columns: set[str], setting: Setting) -> DataFrame:
    """The rows and columns that a job reads, of those that all jobs read."""
    mine, since = F.col("rule_id").isin(*ready.rule.reads), setting.since.get(ready.rule.id)
    read = rows.where(mine & (F.col("time") >= micros_of(since)) if since else mine)
    return read.select(*(f"`{there(name)}`" for name in columns_of(rows) if name in columns))


def _passed(rows: DataFrame, one: Pass, ready: Ready, until: int) -> DataFrame:
    """What a pass gives: rows with a key meet those with the same in one task."""
    def judge(frame: pl.DataFrame) -> pl.DataFrame:
        return judged(frame, one, ready.parameters, until)

    columns: Columns = one.columns
    return mapped(rows.repartition("key"), judge, columns, whole=True)
