"""Jobs on Spark: hits of the lake to findings.

One scan of the hits for all jobs (signals.py), and one shuffle for each pass of each job, by its key, in blocks (blocks.py). Cost follows
the hits that some job reads, never the product of anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import polars as pl
from pyspark import StorageLevel
from pyspark.sql import DataFrame

from ..blocks import Frames, Named, at_once, changed, gathered, made, met, parted
from ..context.columns import PLACE
from .documents import Ready
from .job import EPOCH, FINDINGS, MICROSECOND
from .passes import as_signals, judged, keyed
from .passes import findings as in_memory
from .signals import ROWS, Lookup, Setting, count, lookups, signals, signals_here

FEW = 200_000  # hits
ROWS_OF_PART, INTERVALS_OF_PART = 200_000, 500_000


def findings(hits: DataFrame, jobs: Sequence[Ready], setting: Setting, few: int = FEW) -> dict[str, pl.DataFrame]:
    """Findings (columns of FINDINGS, sorted by time and key) by id of the job's document. `hits` has the schema of that table.

    So `few` hits are judged on the driver at once: a shuffle takes longer than that.
    """
    counts = count(hits, jobs)
    awake = [each for each in jobs if counts.keys() & set(each.rule.reads) or setting.listed(each) is not None]
    found = {each.rule.id: pl.DataFrame(schema=dict(FINDINGS)) for each in jobs}
    judge = _here if sum(counts.values()) <= few else _on_spark
    return found | (judge(hits, awake, setting, sum(counts.values())) if awake else {})


def _here(hits: DataFrame, jobs: Sequence[Ready], setting: Setting, number: int) -> dict[str, pl.DataFrame]:
    rows, wanted = signals_here(hits, jobs, setting), lookups(jobs)
    found = {}
    for each in jobs:
        mine = rows.filter(pl.col("time") >= setting.start(each))
        signals_of_it = as_signals(mine.rename(_places(each, wanted)), each, _names(each, setting))
        if (listed := setting.listed(each)) is not None:
            signals_of_it = pl.concat([signals_of_it, listed])
        found[each.rule.id] = in_memory(signals_of_it, each.job, each.parameters, _until(setting))
    return found


def _on_spark(hits: DataFrame, jobs: Sequence[Ready], setting: Setting, number: int) -> dict[str, pl.DataFrame]:
    wanted, parts = lookups(jobs), _parts(hits, number, setting)
    rows = signals(hits, jobs, setting, parts)
    rows = rows.persist(StorageLevel.DISK_ONLY) if len(jobs) > 1 else rows
    try:
        return {each.rule.id: gathered(_judged(rows, each, wanted, setting, parts), FINDINGS).sort("first", "key") for each in jobs}
    finally:
        rows.unpersist()


def plan(hits: DataFrame, job: Ready, setting: Setting) -> DataFrame:
    """The findings of one job as Spark would compute them."""
    parts = _parts(hits, 0, setting)
    return _judged(signals(hits, [job], setting, parts), job, lookups([job]), setting, parts)


def _parts(hits: DataFrame, number: int, setting: Setting) -> int:
    """Into how many parts rows fall, so that those of a task, and the intervals that they are located by, fit into memory."""
    intervals = setting.placement.count() if setting.placement is not None else 0
    return max(2 * hits.sparkSession.sparkContext.defaultParallelism, number // ROWS_OF_PART, intervals // INTERVALS_OF_PART)


def _judged(rows: DataFrame, ready: Ready, wanted: Sequence[Lookup], setting: Setting, parts: int) -> DataFrame:
    """Findings of one job over rows of hits (signals.signals), as blocks."""
    job, parameters, until = ready.job, ready.parameters, _until(setting)
    names, places = _names(ready, setting), _places(ready, wanted)
    mine = pl.col("rule_id").is_in(ready.rule.reads) & (pl.col("time") >= setting.start(ready))

    def sent(rows: pl.DataFrame, to: int) -> list[Named]:
        """The rows to the tasks of a pass."""
        return [(ROWS, parted(keyed(rows, job.passes[to], parameters), "key", parts))]

    def first(frame: pl.DataFrame) -> list[Named]:
        return sent(as_signals(frame.filter(mine).rename(places, strict=False), ready, names), 0)

    def last(told: pl.DataFrame) -> list[Named]:
        return [(ROWS, at_once(told))]

    def judge(number: int) -> Callable[[Frames], list[Named]]:
        then = last if number + 1 == len(job.passes) else partial(sent, to=number + 1)
        return lambda frames: then(judged(frames[ROWS], job.passes[number], parameters, until))

    rows = changed(rows, first)
    if (listed := setting.listed(ready)) is not None:
        rows = rows.unionByName(made(sent(listed, 0), rows.sparkSession))
    for number in range(len(job.passes)):
        rows = met(rows, parts, (ROWS,), judge(number))
    return rows


def _until(setting: Setting) -> int:
    return (setting.horizon - EPOCH) // MICROSECOND


def _names(ready: Ready, setting: Setting) -> dict[str, str]:
    return {rule: setting.rules.get(rule, rule) for rule in ready.rule.reads}


def _places(ready: Ready, wanted: Sequence[Lookup]) -> dict[str, str]:
    """What the columns of lookups are called in the signals of a job."""
    into = {each.wanted: each.into for each in wanted}
    return {f"{into[replace(each, into='')]}.{name}": f"{each.into}.{name}" for each in ready.job.located for name in PLACE}
