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
from .frames import collected, columns_of, cut, made_of, mapped, micros_of, there
from .job import EPOCH, FINDINGS, MICROSECOND, Columns, Pass
from .passes import KEY, as_signals, judged, keyed, signal_columns
from .passes import findings as in_memory
from .signals import HIT, Lookup, Setting, count, lookups, signals, signals_here

FEW = 200_000  # hits


def findings(hits: DataFrame, jobs: Sequence[Ready], setting: Setting, few: int = FEW) -> dict[str, pl.DataFrame]:
    """Findings (columns of FINDINGS, sorted by time and key) by id of the job's document. `hits` has the schema of that table.

    So `few` hits are judged on the driver at once: a shuffle takes longer than that.
    """
    counts = count(hits, jobs, setting)
    awake = [each for each in jobs if counts.keys() & set(each.rule.reads) or setting.listed(each) is not None]
    found = {each.rule.id: pl.DataFrame(schema=dict(FINDINGS)) for each in jobs}
    judge = _here if sum(counts.values()) <= few else _on_spark
    return found | (judge(hits, awake, setting, sum(counts.values())) if awake else {})


def _here(hits: DataFrame, jobs: Sequence[Ready], setting: Setting, number: int) -> dict[str, pl.DataFrame]:
    rows, wanted = signals_here(hits, jobs, setting), lookups(jobs)
    found = {}
    for each in jobs:
        since = setting.since.get(each.rule.id)
        mine = rows.filter(pl.col("time") >= micros_of(since)) if since else rows
        signals_of_it = as_signals(mine.rename(_places(each, wanted)), each, _names(each, setting))
        if (listed := setting.listed(each)) is not None:
            signals_of_it = pl.concat([signals_of_it, listed])
        found[each.rule.id] = in_memory(signals_of_it, each.job, each.parameters, _until(setting))
    return found


def _on_spark(hits: DataFrame, jobs: Sequence[Ready], setting: Setting, number: int) -> dict[str, pl.DataFrame]:
    wanted = lookups(jobs)
    with cut(hits.sparkSession, number):
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
    job, parameters, until = ready.job, ready.parameters, _until(setting)
    names, places = _names(ready, setting), _places(ready, wanted)

    def first(frame: pl.DataFrame) -> pl.DataFrame:
        return keyed(as_signals(frame.rename(places), ready, names), job.passes[0], parameters)

    columns = {**signal_columns(job), **KEY}
    told = mapped(_own(rows, ready, {*HIT, *job.fields, *places}, setting), first, columns)
    if (listed := setting.listed(ready)) is not None:
        more = keyed(listed, job.passes[0], parameters)
        told = told.unionByName(made_of(more, columns, rows.sparkSession)) if more.height else told
    rows = _passed(told, job.passes[0], ready, until)
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


def _until(setting: Setting) -> int:
    return (setting.horizon - EPOCH) // MICROSECOND


def _names(ready: Ready, setting: Setting) -> dict[str, str]:
    return {rule: setting.rules.get(rule, rule) for rule in ready.rule.reads}


def _places(ready: Ready, wanted: Sequence[Lookup]) -> dict[str, str]:
    """What the columns of lookups are called in the signals of a job."""
    into = {each.wanted: each.into for each in wanted}
    return {f"{into[replace(each, into='')]}.{name}": f"{each.into}.{name}" for each in ready.job.located for name in PLACE}
