"""Bytes to records with exact byte offsets.

A record belongs to the byte range in which its first line starts; the reader reads past the end of its range to finish it. What
starts a record depends only on bytes nearby, so any cut of a file into ranges gives the same records:
- a line that matches `continuation` belongs to the record before it;
- lines with the same `join` key, each within JOIN_WINDOW bytes of the one before, are one record.
Offsets count bytes of the decompressed UTF-8 text. Lines end at \\n only: enriched audit records contain 0x1D, which
str.splitlines would split at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO, cast

import numpy as np
import polars as pl
import pyarrow as pa

_CONTROL = "[\x00-\x08\x0e-\x1a\ufffd]"  # 0x1b (colours) and 0x1d (enriched audit) are text here
JOIN_WINDOW = 64 * 1024


@dataclass(frozen=True)
class RecordRules:
    """How lines become records: the continuation regex and the join regexes (group 1 is the key) of the parsers in play."""

    continuation: str | None = None
    join: tuple[str, ...] = ()


def split_lines(block: bytes, start: int) -> pl.DataFrame:
    """Every line of a block: columns `raw` (text without line end), `offset` (i64, byte offset in the file), `valid` (bool, clean
    text: UTF-8 without control bytes).

    Zero copy for valid UTF-8; a block with invalid bytes is decoded with replacement characters, offsets still those of the raw bytes.
    """
    if block and not block.endswith(b"\n"):
        block += b"\n"
    offset = _line_starts(block)
    try:
        block.decode()
        text, text_offset = block, offset
        valid = ~pl.col("raw").str.contains(_CONTROL) if _has_control(block) else pl.lit(True)
    except UnicodeDecodeError:
        text = block.decode("utf-8", "replace").encode()
        text_offset = _line_starts(text)
        valid = ~pl.col("raw").str.contains(_CONTROL)
    array = pa.LargeStringArray.from_buffers(len(offset) - 1, pa.py_buffer(text_offset), pa.py_buffer(text))
    frame = pl.DataFrame({"raw": pl.from_arrow(array), "offset": offset[:-1] + start})
    return frame.with_columns(pl.col("raw").str.strip_suffix("\n").str.strip_suffix("\r")).with_columns(valid.alias("valid"))


def _has_control(block: bytes) -> bool:
    byte = np.frombuffer(block, np.uint8)
    return bool((byte < 9).any() or ((byte - np.uint8(14)) < 13).any())


def _line_starts(block: bytes) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    newline = np.flatnonzero(np.frombuffer(block, np.uint8) == 10)
    starts = np.zeros(len(newline) + 1, np.int64)
    starts[1:] = newline + 1
    return starts


def read_records(file: BinaryIO, size: int, start: int, end: int, rules: RecordRules) -> tuple[pl.DataFrame, int]:
    """The records whose first line starts in [start, end), and how many raw lines they and the blank lines there have.

    Columns: `raw` (lines joined with \\n), `offset`, `valid`, `lines` (u32). Blank lines are counted, and give no record.
    """
    ahead = JOIN_WINDOW
    while True:
        first = _back(file, start, rules)
        until = min(size, _line_end(file, end, size, ahead if rules.join or rules.continuation else 0))
        file.seek(first)
        frame = split_lines(file.read(until - first), first)
        if first < start and not rules.join:
            frame = frame.filter(pl.col("offset") >= start)
        blanks = frame.filter((pl.col("raw").str.len_bytes() == 0) & pl.col("offset").is_between(start, end, closed="left")).height
        records = _assemble(frame.filter(pl.col("raw").str.len_bytes() > 0), rules, start)
        mine = records.filter(pl.col("offset").is_between(start, end, closed="left") | _headless(start, rules))
        if until >= size or mine.is_empty() or _complete(mine, records, until, rules):
            return mine.drop("last"), int(mine.get_column("lines").sum()) + blanks
        ahead *= 2


def _headless(start: int, rules: RecordRules) -> pl.Expr:
    """Continuations with nothing before them in the file: no head tells whose they are, so the first range has them."""
    if start > 0 or not rules.continuation:
        return pl.lit(False)
    first = pl.col("offset") == pl.col("offset").min()
    return first & pl.col("raw").str.contains(rules.continuation)


def _complete(mine: pl.DataFrame, records: pl.DataFrame, until: int, rules: RecordRules) -> bool:
    """Whether no line after `until` can belong to a record of mine."""
    if rules.join and until < cast(int, mine.get_column("last").max()) + JOIN_WINDOW:
        return False
    return not rules.continuation or records.get_column("offset")[-1] > mine.get_column("offset")[-1]


def _back(file: BinaryIO, start: int, rules: RecordRules) -> int:
    """Where to begin reading: the first line start at or after `start`, or JOIN_WINDOW earlier where lines are joined by key."""
    position = max(0, start - JOIN_WINDOW) if rules.join else start
    if position == 0:
        return 0
    file.seek(position - 1)
    while chunk := file.read(65536):
        newline = chunk.find(b"\n")
        if newline >= 0:
            return file.tell() - len(chunk) + newline + 1
    return file.tell()


def _line_end(file: BinaryIO, end: int, size: int, ahead: int) -> int:
    """The end of the line that contains byte `end - 1`, plus `ahead` bytes to the end of a line."""
    position = max(0, end - 1 + ahead)
    if position >= size:
        return size
    file.seek(position)
    while chunk := file.read(65536):
        newline = chunk.find(b"\n")
        if newline >= 0:
            return file.tell() - len(chunk) + newline + 1
    return size


def _assemble(lines: pl.DataFrame, rules: RecordRules, start: int) -> pl.DataFrame:
    """Lines to records. Adds `lines` (how many) and `last` (offset of the last line)."""
    records = lines.with_columns(pl.lit(1, pl.UInt32).alias("lines"), pl.col("offset").alias("last"))
    if rules.continuation and records.height:
        head = ~pl.col("raw").str.contains(rules.continuation)
        if start > 0:
            # Continuations before the first head belong to a record of the range before.
            records = records.with_columns(head.alias("_head")).with_columns(pl.col("_head").cast(pl.UInt32).cum_sum().alias("_group"))
            records = records.filter(pl.col("_group") > 0).drop("_head")
        else:
            records = records.with_columns(head.cast(pl.UInt32).cum_sum().alias("_group"))
        records = _merge(records)
    if rules.join and records.height:
        records = _merge(_join_groups(records, rules.join))
    return records


def _join_groups(records: pl.DataFrame, join: tuple[str, ...]) -> pl.DataFrame:
    key = pl.coalesce(pl.col("raw").str.extract(regex, 1) for regex in join)
    keyed = records.with_columns(key.alias("_key"), pl.int_range(pl.len(), dtype=pl.UInt32).alias("_row"))
    chains = keyed.filter(pl.col("_key").is_not_null()).with_columns(
        (pl.col("offset") - pl.col("offset").shift().over("_key") <= JOIN_WINDOW).fill_null(False).alias("_chained")
    )
    groups = chains.with_columns(pl.when(~pl.col("_chained")).then(pl.col("_row")).forward_fill().over("_key").alias("_group")).select(
        "_row", "_group"
    )
    return (
        keyed.join(groups, on="_row", how="left", maintain_order="left")
        .with_columns(pl.coalesce("_group", "_row").alias("_group"))
        .drop("_key", "_row")
    )


def _merge(records: pl.DataFrame) -> pl.DataFrame:
    """Join the rows of each `_group` (in order) into one; groups of one row are left alone, for speed."""
    size = pl.len().over("_group")
    alone = records.filter(size == 1)
    if alone.height == records.height:
        return records.drop("_group")
    merged = (
        records.filter(size > 1)
        .group_by("_group", maintain_order=True)
        .agg(pl.col("raw").str.join("\n"), pl.col("offset").first(), pl.col("valid").all(), pl.col("lines").sum(), pl.col("last").last())
    )
    return pl.concat([alone.drop("_group"), merged.select(alone.drop("_group").columns)]).sort("offset")
