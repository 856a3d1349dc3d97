"""The small operations of an `ops` stage: each a function from its options to a list of Polars expressions.

They read and write flat columns; a column that is absent reads as null. Text operations only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl

from ..errors import ContentError
from ..schema import BY_NAME
from .patterns import compile_pattern

# (options, reader of a column) -> new columns
Op = Callable[[Any, Callable[[str], pl.Expr]], dict[str, pl.Expr]]


def constant(value: Any) -> pl.Expr:
    """A literal column; lists become list columns, everything else text as the kernel keeps it until typing."""
    if isinstance(value, list):
        return pl.lit(pl.Series([value], dtype=pl.List(pl.String))).first()
    if value is None:
        return pl.lit(None, dtype=pl.String)
    if isinstance(value, bool):
        return pl.lit(str(value).lower())
    return pl.lit(str(value))


def _set(options: dict[str, Any], read: Callable[[str], pl.Expr]) -> dict[str, pl.Expr]:
    return {field: constant(value) for field, value in options.items()}


def _copy(options: dict[str, Any], read: Callable[[str], pl.Expr]) -> dict[str, pl.Expr]:
    force = options.get("overwrite", False)
    pairs = {k: v for k, v in options.items() if k != "overwrite"}
    return {to: read(source) if force else pl.coalesce(read(to), read(source)) for to, source in pairs.items()}


def _map(options: dict[str, Any], read: Callable[[str], pl.Expr]) -> dict[str, pl.Expr]:
    source = read(options.get("from", options["field"]))
    default = options["default"] if "default" in options else None
    keys = [str(k).lower() if isinstance(k, bool) else str(k) for k in options["values"]]
    mapped = source.replace_strict(keys, list(options["values"].values()), default=default, return_dtype=_value_type(options["values"]))
    return {options["field"]: mapped if "default" in options else pl.coalesce(mapped, read(options["field"]))}


def _value_type(values: dict[str, Any]) -> pl.DataType:
    return pl.List(pl.String()) if any(isinstance(v, list) for v in values.values()) else pl.String()


def _format(options: dict[str, Any], read: Callable[[str], pl.Expr]) -> dict[str, pl.Expr]:
    parts: list[str] = options["template"].replace("}", "{").split("{")
    pieces = [read(part) if i % 2 else pl.lit(part) for i, part in enumerate(parts) if part]
    return {options["field"]: pl.coalesce(pl.concat_str(pieces), read(options["field"]))}


def _extract(options: dict[str, Any], read: Callable[[str], pl.Expr]) -> dict[str, pl.Expr]:
    pattern = compile_pattern(options["pattern"])
    text = read(options["from"])
    groups = text.str.extract_groups(pattern.regex)
    return {field: pl.coalesce(read(field), *(pattern.value(text, groups, g) for g in names)) for field, names in pattern.fields.items()}


def _extract_all(options: dict[str, Any], read: Callable[[str], pl.Expr]) -> dict[str, pl.Expr]:
    pattern = compile_pattern(options["pattern"]).regex
    found = read(options["from"]).str.extract_all(pattern).list.eval(pl.element().str.extract(pattern, 1))
    if options.get("unique", True):
        found = found.list.unique(maintain_order=True)
    return {options["field"]: pl.when(found.list.len() > 0).then(found)}


def _replace(options: dict[str, Any], read: Callable[[str], pl.Expr]) -> dict[str, pl.Expr]:
    return {options["field"]: read(options["field"]).str.replace_all(options["pattern"], options["with"])}


def _lower(options: str, read: Callable[[str], pl.Expr]) -> dict[str, pl.Expr]:
    return {options: read(options).str.to_lowercase()}


def _upper(options: str, read: Callable[[str], pl.Expr]) -> dict[str, pl.Expr]:
    return {options: read(options).str.to_uppercase()}


def _hex(options: str, read: Callable[[str], pl.Expr]) -> dict[str, pl.Expr]:
    """Hex text to UTF-8 where the whole value is hex of even length; NULs become blanks (auditd PROCTITLE, names with blanks)."""
    value = read(options)
    if _many(options):
        return {options: value.map_batches(_hex_lists, return_dtype=pl.List(pl.String))}
    pure = value.str.contains(r"^(?:[0-9A-Fa-f]{2}){2,}$")
    decoded = pl.when(pure).then(value).str.decode("hex", strict=False).map_batches(_utf8, return_dtype=pl.String)
    return {options: pl.coalesce(decoded, value)}


def _many(field: str) -> bool:
    return field in BY_NAME and BY_NAME[field].many


def _hex_lists(values: pl.Series) -> pl.Series:
    """`hex` for lists, all elements of the batch at once; only upper-case digits, as the kernel's audit code writes them."""
    flat = pl.DataFrame({"list": values}).with_row_index("row").explode("list")
    pure = pl.when(pl.col("list").str.contains("^(?:[0-9A-F]{2})+$")).then(pl.col("list"))
    text = pl.coalesce(pure.str.decode("hex", strict=False).map_batches(_utf8, return_dtype=pl.String), pl.col("list"))
    lists = flat.with_columns(text.alias("list")).group_by("row", maintain_order=True).agg("list").get_column("list")
    return pl.select(pl.when(values.is_not_null()).then(lists)).to_series()


def _utf8(values: pl.Series) -> pl.Series:
    """Bytes to text. Whole batch at once; a batch with invalid UTF-8 falls back to value by value, lossy."""
    try:
        text = values.cast(pl.String)
    except pl.exceptions.PolarsError:
        text = pl.Series([None if v is None else v.decode("utf-8", "replace") for v in values.to_list()], dtype=pl.String)
    return text.str.strip_chars_end("\x00").str.replace_all("\x00", " ", literal=True)


def _strip(options: dict[str, Any], read: Callable[[str], pl.Expr]) -> dict[str, pl.Expr]:
    value = read(options["field"])
    if _many(options["field"]):
        return {options["field"]: value.list.eval(pl.element().str.strip_chars(options["chars"]))}
    return {options["field"]: value.str.strip_chars(options["chars"])}


def _split(options: dict[str, Any], read: Callable[[str], pl.Expr]) -> dict[str, pl.Expr]:
    return {options["field"]: read(options["from"]).str.split(options["sep"])}


def _join(options: dict[str, Any], read: Callable[[str], pl.Expr]) -> dict[str, pl.Expr]:
    """The values of a list as one text; only for rows of a stage whose `when` makes sure the list is there."""
    return {options["field"]: read(options["from"]).list.join(options["sep"])}


_EPOCH = {"s": 1_000_000, "ms": 1_000, "us": 1, "ns": 1e-3}


def _epoch(options: dict[str, Any], read: Callable[[str], pl.Expr]) -> dict[str, pl.Expr]:
    micros = read(options["from"]).cast(pl.Float64, strict=False) * _EPOCH[options["unit"]]
    text = micros.round().cast(pl.Int64, strict=False).cast(pl.Datetime("us")).dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
    return {options["field"]: pl.coalesce(text, read(options["field"]))}


OPS: dict[str, Op] = {
    "set": _set,
    "copy": _copy,
    "map": _map,
    "format": _format,
    "extract": _extract,
    "extract_all": _extract_all,
    "replace": _replace,
    "lower": _lower,
    "upper": _upper,
    "hex": _hex,
    "strip": _strip,
    "split": _split,
    "join": _join,
    "epoch": _epoch,
}


def check_op(op: dict[str, Any]) -> None:
    """Raise ValueError unless `op` is one known operation (beside an optional `when`)."""
    names = [name for name in op if name != "when"]
    if len(names) != 1 or names[0] not in OPS:
        raise ValueError(f"an op is one of {', '.join(OPS)}; this has {names}")
    if names[0] in ("extract", "extract_all"):
        try:
            pl.Series([""]).str.extract_groups(compile_pattern(op[names[0]]["pattern"]).regex)
        except (ContentError, pl.exceptions.ComputeError) as error:
            raise ValueError(f"{names[0]}: {error}") from None
