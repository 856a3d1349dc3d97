"""A job with one of its signals off: a role without its hits, or a weight that is 0. Knows no job in particular."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import polars as pl
from pydantic import BaseModel

from pipeline.analytics.documents import Ready


def variants(ready: Ready, rows: pl.DataFrame, rules: Collection[str]) -> Iterator[tuple[str, Ready, pl.DataFrame]]:
    """Name, job and signals of each variant that may differ: roles that occur, and weights above 0 but those of rules that do not occur.
    `rules`: the names of all rules.
    """
    for role in sorted(rows.get_column("role").unique()):
        yield f"role {role}", ready, rows.filter(pl.col("role") != role)
    absent = set(rules) - set(rows.get_column("rule").unique())
    for field in type(ready.parameters).model_fields:
        for name, value in _weights(getattr(ready.parameters, field)):
            if value and name not in absent:
                yield f"{field.removesuffix('s')} {name}", _without(ready, field, name), rows


def _weights(value: Any) -> Iterator[tuple[str, float]]:
    items = value.items() if isinstance(value, Mapping) else value if isinstance(value, BaseModel) else ()
    yield from ((str(name), float(each)) for name, each in items if isinstance(each, (int, float)) and not isinstance(each, bool))


def _without(ready: Ready, field: str, name: str) -> Ready:
    old = getattr(ready.parameters, field)
    new = old.model_copy(update={name: 0.0}) if isinstance(old, BaseModel) else {**old, name: 0.0}
    return dataclasses.replace(ready, parameters=ready.parameters.model_copy(update={field: new}))
