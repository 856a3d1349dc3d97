"""The passes of a job over frames: what a Spark task does with its part of the rows (engine.py), and all of it where they fit into memory.

Rows of hits, before a job makes signals of them, have `rule_id`, `time`, `event`, `fact`, `vm`, `host`, `user`, the fields that jobs read,
and the columns of what is located.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from ..schema import BY_NAME
from .documents import Ready
from .job import FINDINGS, SIGNAL, Columns, Job, Pass

c = pl.col
KEY: Columns = {"key": pl.String}


def field_types(fields: Iterable[str]) -> Columns:
    """Columns of a signal for some fields in ECS: numbers are Int64, all else is text."""
    return {name: pl.Int64 if BY_NAME[name].type == "long" and not BY_NAME[name].many else pl.String for name in fields}


def signal_columns(job: Job) -> Columns:
    """What its first pass is given."""
    return {**SIGNAL, **field_types(job.fields), **{name: pl.String for each in job.located for name in each.columns}}


def as_signals(rows: pl.DataFrame, ready: Ready, names: Mapping[str, str]) -> pl.DataFrame:
    """The hits that play a role in a job, once for each; `names`: id of a rule -> its name. Columns that are absent are null."""
    roles = pl.DataFrame([(rule, role, names.get(rule, rule)) for role, rules in ready.rule.rules.items() for rule in rules],
                         orient="row", schema={"rule_id": pl.String, "role": pl.String, "rule": pl.String})
    return shaped(rows.join(roles, on="rule_id", maintain_order="left_right"), signal_columns(ready.job))


def keyed(rows: pl.DataFrame, one: Pass, parameters: Any) -> pl.DataFrame:
    """The rows of a pass with their key, without those that have none."""
    columns = dict(rows.schema)
    return shaped(one.keyed(rows, parameters), columns | dict(KEY)).filter(c("key").is_not_null())


def judged(rows: pl.DataFrame, one: Pass, parameters: Any, horizon: int) -> pl.DataFrame:
    """What a pass gives for whole groups."""
    ordered = rows.sort([name for name in ("key", "time", "event") if name in rows.columns])
    return shaped(one.judge(ordered, parameters, horizon), one.columns) if rows.height else pl.DataFrame(schema=dict(one.columns))


def findings(signals: pl.DataFrame, job: Job, parameters: Any, horizon: int) -> pl.DataFrame:
    """Findings of a job over signals that fit into memory; columns of FINDINGS, sorted by time and key."""
    rows = shaped(signals, signal_columns(job))
    for one in job.passes:
        rows = judged(keyed(rows, one, parameters), one, parameters, horizon)
    return rows.select(FINDINGS.keys()).sort("first", "key")


def shaped(rows: pl.DataFrame, columns: Columns) -> pl.DataFrame:
    """These columns in their order and type."""
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in columns.items() if name not in rows.columns]
    return rows.with_columns(missing).select(c(name).cast(dtype) for name, dtype in columns.items())
