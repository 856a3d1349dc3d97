"""Nested columns of the lake's Parquet files as flat ones, read by Polars."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from .kernel.files import filesystem


def scan(url: str) -> tuple[pl.LazyFrame, Mapping[str, Any]]:
    """The rows of one file, and the types of its columns."""
    system, path = filesystem(url)
    with system.open_input_file(path) as file:
        rows = pl.scan_parquet(file.read(), hive_partitioning=False)
    return rows, rows.collect_schema()


def leaf(schema: Mapping[str, Any], name: str) -> tuple[pl.Expr, Any] | None:
    """A dotted field and its type; None where the columns lack it."""
    first, *rest = name.split(".")
    dtype, column = schema.get(first), pl.col(first)
    for part in rest:
        inner = {field.name: field.dtype for field in dtype.fields} if isinstance(dtype, pl.Struct) else {}
        dtype, column = inner.get(part), column.struct.field(part)
    return None if dtype is None else (column, dtype)
