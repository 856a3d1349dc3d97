"""Parsed text columns to typed ECS columns: times, numbers, addresses, users, `related.*`; and flat columns to the schema's structs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from ..schema import BY_NAME, ECS_VERSION, Column
from ..shapes import arrow_schema, tree
from .facts import Fact, with_fact_ids
from .ops import constant
from .patterns import IPV6
from .scatter import Patches
from .spec import ParserSpec
from .times import UTC_US, parse_times

c = pl.col
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IP = rf"^(?:(?:::ffff:)?{_OCTET}(?:\.{_OCTET}){{3}}|{IPV6})$".replace(r"\d", "[0-9]")
_RELATED = {
    "related.ip": ("source.ip", "destination.ip", "host.ip"),
    "related.user": ("user.name", "user.effective.name", "user.target.name"),
    "related.hosts": ("host.name", "observer.name", "source.domain", "destination.domain"),
}
_TYPES: dict[str, Any] = {
    "keyword": pl.String,
    "text": pl.String,
    "ip": pl.String,
    "long": pl.Int64,
    "double": pl.Float64,
    "boolean": pl.Boolean,
    "date": UTC_US,
}


def normalise(events: pl.DataFrame, spec: ParserSpec, reference: datetime, facts: dict[str, Fact]) -> pl.DataFrame:
    """Typed ECS columns from the text that the stages left. Scratch columns (`_x`) are dropped, but for the kernel's own."""
    events = _times(events, spec.timezone, reference)
    events = _users(_addresses(_syslog(events)))
    events = _typed(events)
    defaults = {"ecs.version": ECS_VERSION, "event.kind": "event", "event.dataset": spec.dataset} | spec.set
    missing = {k: v for k, v in defaults.items() if k not in events.columns}
    partial = {k: v for k, v in defaults.items() if k in events.columns}
    events = events.with_columns(
        *(constant(v).cast(dtype(BY_NAME[k])).alias(k) for k, v in missing.items()),
        *(c(k).fill_null(constant(v)).alias(k) for k, v in partial.items()),
    )
    return _related(with_fact_ids(events, facts))


def _times(events: pl.DataFrame, timezone: str, reference: datetime) -> pl.DataFrame:
    """@timestamp is the innermost time of the record; the header's, where it differs, is event.created; without any, the file's time."""
    none = pl.lit(None, UTC_US)
    outer = parse_times(events.get_column("_header_time"), timezone, reference) if "_header_time" in events.columns else None
    inner = parse_times(events.get_column("@timestamp"), timezone, reference) if "@timestamp" in events.columns else None
    times = events.with_columns((none if inner is None else inner).alias("_inner"), (none if outer is None else outer).alias("_outer"))
    known = pl.coalesce("_inner", "_outer")
    tags = pl.when(known.is_null()).then(constant(["time_missing"]))
    out = times.with_columns(known.fill_null(pl.lit(reference).cast(UTC_US)).alias("@timestamp"), tags.alias("tags"))
    if inner is not None and outer is not None and "event.created" not in events.columns:
        out = out.with_columns(pl.when(c("_inner") != c("_outer")).then(c("_outer")).alias("event.created"))
    dates = [n for n in out.columns if n in BY_NAME and BY_NAME[n].type == "date" and out.schema[n] == pl.String]
    out = out.with_columns(parse_times(out.get_column(n), timezone, reference).alias(n) for n in dates)
    return out.drop("_inner", "_outer", "_header_time", strict=False)


def _syslog(events: pl.DataFrame) -> pl.DataFrame:
    columns = []
    if "log.syslog.priority" in events.columns:
        priority = c("log.syslog.priority").cast(pl.Int64, strict=False)
        columns += [
            priority.alias("log.syslog.priority"),
            (priority // 8).alias("log.syslog.facility.code"),
            (priority % 8).alias("log.syslog.severity.code"),
        ]
    if "log.syslog.hostname" in events.columns:
        name = c("log.syslog.hostname")
        columns.append((pl.coalesce("host.name", name) if "host.name" in events.columns else name).alias("host.name"))
    if "log.syslog.procid" in events.columns:
        number = c("log.syslog.procid").str.extract(r"^([0-9]+)$")
        columns.append((pl.coalesce("process.pid", number) if "process.pid" in events.columns else number).alias("process.pid"))
    if "log.level" in events.columns:
        columns.append(c("log.level").str.to_lowercase())
    return events.with_columns(columns)


def _addresses(events: pl.DataFrame) -> pl.DataFrame:
    """`source.address` or `source.ip` as logged -> source.ip if it is one, else source.domain; `::ffff:` is stripped."""
    for side in ("source", "destination"):
        names = [f"{side}.{leaf}" for leaf in ("ip", "address") if f"{side}.{leaf}" in events.columns]
        if not names:
            continue
        logged = events.select(pl.coalesce(names).str.strip_chars("[]").alias("logged"), pl.row_index("row")).drop_nulls("logged")
        rows = logged.get_column("row").to_numpy()
        bare, is_ip = c("logged").str.replace(r"^::ffff:(\d)", "$1"), c("logged").str.contains(_IP)
        parts = {"address": bare, "ip": pl.when(is_ip).then(bare), "domain": pl.when(~is_ip).then(c("logged"))}
        found = Patches(events.height)
        for column in logged.select(value.alias(f"{side}.{leaf}") for leaf, value in parts.items()):
            if column.name.endswith(".domain") and column.name in events.columns:
                column = events.get_column(column.name).gather(pl.Series(rows)).fill_null(column)
            found.add(column.name, rows, column)
        events = found.over(events)
    return events


def _users(events: pl.DataFrame) -> pl.DataFrame:
    r"""`DOM\x`, `DOM<0x0B>x` (a collector that read `\v`) and `x@dom` -> name and domain. `<no user>` and `-` are no users."""
    for side in ("user", "user.target"):
        name, domain = f"{side}.name", f"{side}.domain"
        if name not in events.columns:
            continue
        odd = events.select(c(name).alias("value"), pl.row_index("row")).filter(c("value").str.contains(r"[\\@\x0b<]|^-?$"))
        if odd.is_empty():
            continue
        rows = odd.get_column("row").to_numpy()
        value = odd.get_column("value").str.replace(r"^<.*>$", "")
        parts = value.str.extract_groups(r"^(?:(?P<d>[^\\\x0b]+)(?:\\+|\x0b))?(?P<n>[^\\\x0b@]*)(?:@(?P<u>[^@]+))?$")
        user = parts.struct.field("n")
        given = parts.struct.field("d").fill_null(parts.struct.field("u"))
        if domain in events.columns:
            given = events.get_column(domain).gather(pl.Series(rows)).fill_null(given)
        found = Patches(events.height)
        plain = pl.DataFrame({"value": value, "user": user}).select(
            pl.when(c("user").is_null()).then(c("value")).when((c("user") != "") & (c("user") != "-")).then(c("user"))
        )
        found.add(name, rows, plain.to_series())
        found.add(domain, rows, given)
        events = found.over(events)
    return events


def dtype(column: Column) -> Any:
    """Polars type of a schema column."""
    return pl.List(_TYPES[column.type]) if column.many else _TYPES[column.type]


def _typed(events: pl.DataFrame) -> pl.DataFrame:
    """Cast to the schema's types; text that does not fit becomes null (the original keeps it). Commas in numbers ("1,234") are dropped."""
    columns = []
    for name, have in events.schema.items():
        if name not in BY_NAME:
            continue
        column = BY_NAME[name]
        want = dtype(column)
        if have == want:
            continue
        expr = c(name)
        if column.many and not isinstance(have, pl.List):
            expr = pl.when(expr.is_not_null()).then(pl.concat_list(expr))
        elif have == pl.String and column.type == "boolean":
            expr = expr.str.to_lowercase().replace_strict({"true": True, "false": False}, default=None, return_dtype=pl.Boolean)
        elif have == pl.String and column.type == "long":
            expr = expr.str.replace_all(",", "", literal=True)
        columns.append(expr.cast(want, strict=False).alias(name))
    return events.with_columns(columns)


def _related(events: pl.DataFrame) -> pl.DataFrame:
    """Every address, user and host of the event, each once."""
    for target, sources in _RELATED.items():
        columns = [events.get_column(n) for n in sources if n in events.columns]
        if columns:
            events = events.with_columns(_distinct(columns).alias(target))
    return events


def _distinct(columns: list[pl.Series]) -> pl.Series:
    """The different values of each row, as lists; null where there are none."""
    frame = pl.DataFrame(columns)
    lists = [column.name for column in columns if column.dtype == pl.List]
    plain = [column.name for column in columns if column.dtype != pl.List]
    different = _different(frame, plain)
    # Lists of one length are a reshape, where concat_list builds each list by itself: nearly every row has one value.
    whole = pl.DataFrame({"": different.select(_as_list(different, 1)).to_series()})
    found = Patches(frame.height)
    for size in range(2, different.width + 1):
        more = different.get_column(str(size)).is_not_null() if size < different.width else pl.repeat(False, frame.height, eager=True)
        rows = np.flatnonzero((different.get_column(str(size - 1)).is_not_null() & ~more).to_numpy())
        if rows.size:
            found.add("", rows, different[rows].select(_as_list(different, size)).to_series())
    if lists:
        rows = np.flatnonzero(frame.select(pl.any_horizontal(c(n).is_not_null() for n in lists)).to_series().to_numpy())
        values = [*(c(n) for n in plain), *(c(n).fill_null([]) for n in lists)]
        found.add("", rows, frame[rows].select(pl.concat_list(values).list.drop_nulls().list.unique(maintain_order=True)).to_series())
    return found.over(whole).to_series()


def _different(frame: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    """Columns `0`, `1`, ...: the first value of each row, the first that differs from it, and so on, as far as any row has one."""
    different = frame.select(pl.coalesce(names).alias("0") if names else pl.lit(None, pl.String).alias("0"))
    for number in range(1, len(names)):
        new = [pl.all_horizontal(c(n) != different.get_column(seen) for seen in different.columns) for n in names]
        column = frame.select(pl.coalesce(pl.when(is_new).then(c(n)) for n, is_new in zip(names, new, strict=True))).to_series()
        if not column.is_not_null().any():
            break
        different = different.with_columns(column.alias(str(number)))
    return different


def _as_list(different: pl.DataFrame, size: int) -> pl.Expr:
    """The first columns as a list; null where the first is."""
    return pl.when(c("0").is_not_null()).then(pl.concat_arr(different.columns[:size]).arr.to_list())


def to_schema(flat: pl.DataFrame) -> pl.DataFrame:
    """The nested struct frame with every field of the schema, in its order; absent columns are null."""

    def build(node: dict[str, Any], name: str) -> pl.Expr:
        leaves = [_leaf(child) if isinstance(child, Column) else build(child, key) for key, child in node.items()]
        return pl.struct(leaves).alias(name)

    def _leaf(column: Column) -> pl.Expr:
        short = column.name.rsplit(".", 1)[-1]
        if column.name in flat.columns:
            return c(column.name).alias(short)
        return pl.lit(None, dtype(column)).alias(short)

    return flat.select(_leaf(child) if isinstance(child, Column) else build(child, key) for key, child in tree().items())


def to_arrow(flat: pl.DataFrame) -> Any:
    """The events as an Arrow table with exactly the schema's types."""
    return to_schema(flat).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(arrow_schema())
