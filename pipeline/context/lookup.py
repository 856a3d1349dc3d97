"""As-of join: where a machine was when a row happened. One sort and one merge; cost grows with rows and intervals, never their product."""

from __future__ import annotations

import polars as pl

from .columns import PLACE

c = pl.col
_END = 2**63 - 1


def as_of(rows: pl.DataFrame, intervals: pl.DataFrame, key: str, into: str) -> pl.DataFrame:
    """The rows, in their order, with the columns `<into>.<name>` for each name of PLACE, as of the row's `time`.

    `key` is the column of `rows` that names what is looked up: a canonical VM, an IP or a MAC. `intervals` (columns.PLACEMENT) are of that
    kind and hold all intervals of the keys in `rows`, and may hold those of others. Everything is null where nothing is known, and where
    several VMs have the address at that time, in different segments.
    """
    table = disjoint(intervals).select(
        c("key").alias("_key"), "valid_from", "valid_to", *(c(name).alias(f"{into}.{name}") for name in PLACE))
    ordered = rows.with_row_index("_row").sort("time")
    joined = ordered.join_asof(table.sort("valid_from"), left_on="time", right_on="valid_from", by_left=key, by_right="_key",
                               check_sortedness=False)
    valid = c("valid_to").is_null() | (c("time") < c("valid_to"))
    located = joined.with_columns(pl.when(valid).then(c(f"{into}.{name}")).alias(f"{into}.{name}") for name in PLACE)
    return located.sort("_row").drop("_row", "valid_from", "valid_to")


def disjoint(intervals: pl.DataFrame) -> pl.DataFrame:
    """Intervals of a key that do not overlap: while several VMs hold it at once, nothing is known of it.

    A sweep over the bounds: the sums of +1 and -1, and of the row numbers with those signs, say how many intervals are open and, where it
    is one, which.
    """
    ordered = intervals.sort("key", "valid_from")
    runs_on = c("valid_to").fill_null(_END).shift(1).over("key") > c("valid_from")
    if not ordered.select(runs_on.any()).item():
        return ordered
    numbered = ordered.with_row_index("_row").with_columns(c("_row").cast(pl.Int64))
    opened = numbered.select("key", c("valid_from").alias("at"), pl.lit(1).alias("sign"), "_row")
    closed = numbered.filter(c("valid_to").is_not_null()).select("key", c("valid_to").alias("at"), pl.lit(-1).alias("sign"), "_row")
    bounds = pl.concat([opened, closed]).sort("key", "at").with_columns(
        c("sign").cum_sum().over("key").alias("open"), (c("sign") * c("_row")).cum_sum().over("key").alias("which"),
        c("at").shift(-1).over("key").alias("next"))
    alone = bounds.filter((c("open") == 1) & (c("next").is_null() | (c("next") > c("at"))))
    known = alone.select(c("which").alias("_row"), c("at").alias("valid_from"), c("next").alias("valid_to"))
    parts = known.join(numbered.drop("valid_from", "valid_to"), on="_row", how="left", maintain_order="left")
    return parts.select(intervals.columns).sort("key", "valid_from")
