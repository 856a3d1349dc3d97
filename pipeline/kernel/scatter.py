"""Values for some rows of a frame, put together as whole columns: what a stage found is scattered once, and no row ever moves."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import polars as pl

Rows = np.ndarray[tuple[int], np.dtype[Any]]


class Patches:
    """Values by field for some rows of a frame of `height` rows. A row that gets a field twice keeps the later value."""

    def __init__(self, height: int) -> None:
        self._height = height
        self._parts: dict[str, list[tuple[Rows, pl.Series]]] = defaultdict(list)

    def add(self, field: str, rows: Rows, values: pl.Series) -> None:
        """One value per row, or one value for all of the rows."""
        self._parts[field].append((rows, values))

    def over(self, events: pl.DataFrame) -> pl.DataFrame:
        """The frame with the patches put over it; rows without a patch keep what they have, or get null in a new column."""
        columns = [self._column(events, field, parts).alias(field) for field, parts in self._parts.items()]
        return events.with_columns(columns)

    def _column(self, events: pl.DataFrame, field: str, parts: list[tuple[Rows, pl.Series]]) -> pl.Series:
        (rows, values), *more = parts
        if not more and rows.size == self._height == len(values):
            return values
        base = events.get_column(field) if field in events.columns else None
        if values.dtype == pl.String and 2 * sum(rows.size for rows, _ in parts) < self._height:
            whole = pl.Series([None], dtype=pl.String).new_from_index(0, self._height) if base is None else base.clone()
            for rows, values in parts:
                whole.scatter(pl.Series(rows), values if len(values) == rows.size else values.new_from_index(0, rows.size))
            return whole
        return self._gathered(base, parts)

    def _gathered(self, base: pl.Series | None, parts: list[tuple[Rows, pl.Series]]) -> pl.Series:
        """All values in a row, and each row told where its own is: cheaper than to set them, from about half of the rows on."""
        if base is None:
            base, place = pl.Series([None], dtype=parts[0][1].dtype), np.zeros(self._height, dtype=np.uint32)
        else:
            place = np.arange(self._height, dtype=np.uint32)
        start = len(base)
        for rows, values in parts:
            place[rows] = start if len(values) == 1 else np.arange(start, start + len(values), dtype=np.uint32)
            start += len(values)
        return pl.concat([base, *(values for _, values in parts)], rechunk=True).gather(pl.Series(place))
