"""The hits of the lake as flat Polars frames on the driver.

Polars reads the few fields that are wanted from the Parquet files that Delta's log names. The same rows through Spark, which plans for some
hundred nested columns and brings them to Python one by one, take more than ten times as long.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from . import flat
from .kernel.normalise import dtype
from .lake import Lake, worker_url
from .schema import BY_NAME


@dataclass(frozen=True)
class Hits:
    """Hits of some days: where their files lie, and how many rows these hold."""

    urls: tuple[str, ...]
    number: int

    def read(self, fields: Iterable[str], rules: Iterable[str] | None = None, events: Iterable[str] | None = None) -> pl.DataFrame:
        """Hits of some rules, or of all, and for some event ids, or for all: `rule_id`, and flat columns for the fields in their types,
        null where a file is older than a field.
        """
        names = sorted(set(fields) & BY_NAME.keys())
        frames = [_read(url, names, rules, events) for url in self.urls]
        return pl.concat(frames) if frames else pl.DataFrame(schema={"rule_id": pl.String, **{n: dtype(BY_NAME[n]) for n in names}})


def stored(house: Lake, first: date | None = None, last: date | None = None) -> Hits:
    """The hits of the lake from the first to the last day, both included; absent: all."""
    files = [file for file in house.files("hits") if (not first or file.day >= first) and (not last or file.day <= last)]
    return Hits(tuple(f"{worker_url(house.path('hits'))}/{file.path}" for file in files), sum(file.rows for file in files))


def as_rows(frame: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """Hits as alerts are made of them (rows.Row): the fields that are not null, with `rule_id` and `event_id`."""
    for row in frame.iter_rows(named=True):
        yield {name: value for name, value in row.items() if value is not None} | {"event_id": row["event.id"]}


def _read(url: str, names: list[str], rules: Iterable[str] | None, events: Iterable[str] | None) -> pl.DataFrame:
    rows, schema = flat.scan(url)
    if rules is not None:
        rows = rows.filter(pl.col("rule_id").is_in(list(rules)))
    if events is not None:
        rows = rows.filter(pl.col("event").struct.field("id").is_in(list(events)))
    return rows.select("rule_id", *(_leaf(schema, name) for name in names)).collect()


def _leaf(schema: Mapping[str, Any], name: str) -> pl.Expr:
    """A field in its type; null where the file is older."""
    column, _ = flat.leaf(schema, name) or (pl.lit(None), None)
    return column.cast(dtype(BY_NAME[name])).alias(name)
