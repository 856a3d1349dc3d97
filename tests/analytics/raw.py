"""Raw lines to the signals of a job, without Spark: the kernel's engine and detector, canonical names, placement by as-of join."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.analytics import JOBS
from pipeline.analytics.documents import Ready, ready
from pipeline.analytics.passes import as_signals, findings
from pipeline.context.columns import PLACEMENT
from pipeline.context.lookup import as_of
from pipeline.context.names import canonical
from pipeline.context.policies import Policies
from pipeline.judge import hits_of
from pipeline.kernel.detect import Detector
from pipeline.kernel.engine import Engine
from pipeline.sigma.catalogue import Catalogue, load_catalogue

WRITTEN = datetime(2026, 11, 25, tzinfo=UTC)


@cache
def engine() -> Engine:
    return Engine()


@cache
def catalogue() -> Catalogue:
    return load_catalogue()


@cache
def detector() -> Detector:
    return engine().detector(catalogue().rules)


def prepared(type_: str, policies: Policies | None = None) -> Ready:
    """The job as its document has it."""
    return next(each for each in ready(catalogue().jobs, policies, JOBS) if each.rule.type == type_)


def hits(logs: Iterable[tuple[str, str]]) -> pl.DataFrame:
    """Hits of all rules in logs (parser, text) as flat rows."""
    parts = []
    for number, (parser, text) in enumerate(logs):
        for batch in engine().process_bytes(text.encode(), WRITTEN, f"log{number}", parser):
            rows = hits_of(batch.events, detector().detect(batch.events))
            parts.append(rows.with_columns(pl.concat_str(pl.lit(f"{number}-"), "event").alias("event")))
    return canonical(pl.concat(parts, how="diagonal"))


def signals(rows: pl.DataFrame, job: Ready, placement: pl.DataFrame | None = None) -> pl.DataFrame:
    """The signals of a job in hits; `placement`: intervals (columns.PLACEMENT)."""
    intervals = pl.DataFrame(schema=dict(PLACEMENT)) if placement is None else placement
    for each in job.job.located:
        key, kind = (each.vm, "vm") if each.vm else (str(each.address), "ip")
        rows = rows if key in rows.columns else rows.with_columns(pl.lit(None, pl.String).alias(key))
        rows = as_of(rows, intervals.filter(pl.col("kind") == kind), key, each.into)
    return as_signals(rows, job, {rule.id: rule.name or Path(rule.path).stem for rule in catalogue().rules})


def found(type_: str, *logs: tuple[str, str], placement: pl.DataFrame | None = None,
          policies: Policies | None = None) -> list[dict[str, Any]]:
    """Findings of a job in raw logs, in order of time."""
    job = prepared(type_, policies)
    return findings(signals(hits(logs), job, placement), job.job, job.parameters, 2**62).to_dicts()
