"""The row contract: what every event must satisfy. A record that breaks it goes to quarantine with reasons, and can be replayed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import polars as pl

c = pl.col
EARLIEST = datetime(1995, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)
MAX_BYTES = 8 * 1024 * 1024

QUARANTINE_SCHEMA: dict[str, Any] = {
    "id": pl.String,
    "path": pl.String,
    "offset": pl.Int64,
    "raw": pl.String,
    "reasons": pl.List(pl.String),
    "parser": pl.String,
    "lines": pl.UInt32,
}


def split_broken(records: pl.DataFrame, *, json: bool) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Records fit for parsing, and those that are not (with `_reasons`): binary, not UTF-8 beyond repair, too long, cut-off JSON."""
    size = c("raw").str.len_bytes()
    suspicious = records.filter(~c("valid") | (size > MAX_BYTES))
    if suspicious.is_empty():
        return _split(records, {})
    rules = {
        "binary: NUL bytes": ~c("valid") & c("raw").str.contains("\x00", literal=True),
        "binary: control bytes": ~c("valid") & (c("raw").str.count_matches("[\x01-\x08\x0e-\x1a\ufffd]") * 10 > size),
        f"longer than {MAX_BYTES} bytes": size > MAX_BYTES,
    }
    if json:
        rules["broken JSON"] = ~c("valid") | ~c("raw").str.contains(r"^\s*[\[{]")
    return _split(records, rules)


def split_contract(events: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Events that keep the contract, and rows that do not (with `_reasons`)."""
    rules = {"@timestamp out of range": ~c("@timestamp").is_between(EARLIEST, LATEST)}
    return _split(events, rules)


def _split(frame: pl.DataFrame, rules: dict[str, pl.Expr]) -> tuple[pl.DataFrame, pl.DataFrame]:
    if not rules:
        return frame, frame.clear().with_columns(pl.lit(None, pl.List(pl.String)).alias("_reasons"))
    flags = frame.select(rule.fill_null(False).alias(name) for name, rule in rules.items())
    broken = flags.select(pl.any_horizontal(pl.all())).to_series()
    if not broken.any():
        return frame, frame.clear().with_columns(pl.lit(None, pl.List(pl.String)).alias("_reasons"))
    reasons = flags.filter(broken).select(pl.concat_list(pl.when(c(n)).then(pl.lit(n)) for n in rules).list.drop_nulls().alias("_reasons"))
    return frame.filter(~broken), frame.filter(broken).hstack(reasons)
