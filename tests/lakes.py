"""A lake read without Spark, for tests that run the command: what the Delta logs say is in the tables."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote

import polars as pl

EVENT = pl.col("event").struct.field
# What two runs over the same logs have in common, per table: everything but times and names of runs.
COLUMNS: dict[str, list[str | pl.Expr]] = {
    "events": [EVENT("id").alias("id"), EVENT("original")],
    "hits": ["rule_id", EVENT("id").alias("id")],
    "quarantine": ["id", "raw", "reasons"],
    "files": ["file_id", "path", "text_bytes", "lines", "resume", "fingerprint"],
    "alerts": ["id", "severity", "alert"]}


def live_files(lake: Path, table: str) -> set[str]:
    """Paths of the Parquet files that a table consists of."""
    live: set[str] = set()
    for version in sorted((lake / table / "_delta_log").glob("*.json")):
        for action in map(json.loads, version.read_text(encoding="utf-8").splitlines()):
            live |= {unquote(action["add"]["path"])} if "add" in action else set()
            live -= {unquote(action["remove"]["path"])} if "remove" in action else set()
    return live


def rows(lake: Path, table: str) -> list[tuple[object, ...]]:
    """The rows of a table, sorted, without what differs from run to run."""
    parts = [pl.read_parquet(lake / table / path, hive_partitioning=False).select(COLUMNS[table]) for path in live_files(lake, table)]
    return sorted(pl.concat(parts).rows(), key=str) if parts else []


def tables(lake: Path) -> dict[str, list[tuple[object, ...]]]:
    """All tables but `runs`."""
    return {table: rows(lake, table) for table in COLUMNS}


def strays(lake: Path) -> list[str]:
    """Parquet files that no table knows, and notes of runs that are not complete. Files that a later commit replaced are no strays."""
    known = {f"{table}/{path}" for table in (*COLUMNS, "runs") for path in live_files(lake, table)}
    replaced = {f"{table}/{unquote(action['remove']['path'])}" for table in (*COLUMNS, "runs")
                for version in (lake / table / "_delta_log").glob("*.json")
                for action in map(json.loads, version.read_text(encoding="utf-8").splitlines()) if "remove" in action}
    files = {str(path.relative_to(lake)) for path in lake.rglob("*.parquet") if "_delta_log" not in path.parts}
    return sorted([*(files - known - replaced), *(str(path) for path in (lake / "_commits").iterdir())])
