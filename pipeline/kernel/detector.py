"""Assigns a parser to a file, or to each record of a mixed file, by content: the signatures of every parser.yml vote."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

import polars as pl

from .spec import ParserSpec

SAMPLE_LINES = 400
SURE = 0.9  # share of the recognised sample lines that makes a file one parser's


def votes(lines: pl.Series, parsers: Mapping[str, ParserSpec]) -> pl.DataFrame:
    """One column per parser: the weight of its strongest signature that matches each line, else 0."""
    columns = {}
    for name, spec in parsers.items():
        scores = [pl.when(pl.lit(lines).str.contains(s.pattern)).then(s.weight).otherwise(0) for s in spec.detect]
        columns[name] = pl.DataFrame({"l": lines}).select(reduce(pl.max_horizontal, scores).alias("s")).to_series()
    return pl.DataFrame(columns)


def winners(lines: pl.Series, parsers: Mapping[str, ParserSpec]) -> pl.Series:
    """The parser of each line, null where no signature matches; ties go to the parser first by name."""
    if not parsers:
        return pl.Series([None] * len(lines), dtype=pl.String)
    table = votes(lines, parsers)
    best = table.select(pl.max_horizontal(pl.all())).to_series()
    choice = pl.coalesce(pl.when((pl.col(n) == pl.lit(best)) & (pl.lit(best) > 0)).then(pl.lit(n)) for n in sorted(table.columns))
    return table.select(choice.alias("parser")).to_series()


def parser_of_file(head: bytes, parsers: Mapping[str, ParserSpec]) -> str | None:
    """The one parser of a file, or None when it is mixed or unknown (then each record is assigned on its own)."""
    text = head.decode("utf-8", "replace").split("\n")[:SAMPLE_LINES]
    lines = pl.Series([line for line in text if line.strip()], dtype=pl.String)
    if lines.is_empty():
        return None
    counts = winners(lines, parsers).drop_nulls().value_counts(sort=True)
    if counts.is_empty():
        return None
    name, count = counts.row(0)
    return str(name) if count >= SURE * int(counts.get_column("count").sum()) else None


def winners_of(data: bytes, parsers: Mapping[str, ParserSpec]) -> str | None:
    """The parser that most lines of some bytes vote for, None when no signature matches."""
    lines = pl.Series([line for line in data.decode("utf-8", "replace").split("\n") if line.strip()], dtype=pl.String)
    counts = winners(lines, parsers).drop_nulls().value_counts(sort=True)
    return None if counts.is_empty() else str(counts.row(0)[0])
