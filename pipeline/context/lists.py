"""Large lists of the user (inventory*.csv, addresses*.csv): read as columns and checked as columns; an error names file and row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from ..errors import InputError, did_you_mean
from . import names
from .columns import ADDRESS_FACTS, INVENTORY, empty
from .moves import state_name

c = pl.col
VIEWS = ("manager", "registered", "running", "wire")
_CELLS = [name for name in INVENTORY if name not in ("snapshot", "row")]
_SPAN = ("vm", "address", "valid_from", "valid_to", "segment")
# A row that says that a host was looked at and is empty: nothing in it is about a machine.
_EMPTY_HOST = c("host").is_not_null() & pl.all_horizontal(
    c(name).is_null() for name in ("uuid", "state", "tenant", "segment", "zone", "role"))
_ZONED = r"(?:[Zz]|[+-]\d{2}:?\d{2})$"
_END = 2**63 - 1


def inventories(paths: Sequence[Path], tenants: frozenset[str]) -> tuple[pl.DataFrame, list[str]]:
    """Rows of inventories (columns.INVENTORY), and what was repaired. `tenants`: those that are known; none: no names are checked."""
    frames = [_inventory(path, tenants) for path in paths]
    if not frames:
        return empty(INVENTORY), []
    return _without_repetitions(pl.concat(frames))


def addresses(paths: Sequence[Path]) -> pl.DataFrame:
    """Facts (columns.ADDRESS_FACTS) of lists of who had which address when."""
    parts = [_addresses(path) for path in paths]
    return pl.concat(parts) if parts else empty(ADDRESS_FACTS)


def _inventory(path: Path, tenants: frozenset[str]) -> pl.DataFrame:
    cells = _cells(path, _CELLS, ("time",))
    cells = cells.with_columns(c("view").fill_null("manager").str.to_lowercase(), c("source").fill_null(path.stem).str.to_lowercase())
    rows = cells.with_columns(
        _micros(path, cells, "time").alias("time"), names.vm_name(c("vm")).alias("vm"), names.host_name(c("host")).alias("host"),
        names.mac(c("mac")).alias("mac"), names.address(c("ip")).alias("ip"), state_name(c("state")).alias("state"),
        *(c(name).str.to_lowercase().alias(name) for name in ("uuid", "cluster", "tenant", "segment", "zone", "role")))
    _refuse(path, cells, ~c("view").is_in(VIEWS), "view", "is none of " + ", ".join(VIEWS))
    for name, words in (("state", "is none of running, stopped, poweredOn, poweredOff, suspended"), ("mac", "is no MAC address"),
                        ("ip", "is no IP address")):
        _refuse(path, cells, c(name).is_not_null() & rows.get_column(name).is_null(), name, words)
    _refuse(path, cells, c("vm").is_null() & c("mac").is_null() & c("ip").is_null() & ~_EMPTY_HOST, "vm", "is empty, and so are ip and mac")
    if tenants:
        unknown = rows.filter(c("tenant").is_not_null() & ~c("tenant").is_in(list(tenants))).select("tenant", "_line").head(1).rows()
        for name, line in unknown:
            raise InputError(f"unknown tenant {name!r}", path, line, did_you_mean(name, tenants, "tenants.csv names the tenants"))
    snapshot = pl.concat_str("source", "view", "time", separator="|")
    row = pl.concat_str(pl.lit(f"{path.name}:"), c("_line").cast(pl.String))
    placed = rows.with_columns(snapshot.alias("snapshot"), row.alias("row"))
    _refuse_two_places(path, placed)
    return placed.select(INVENTORY.keys()).cast(dict(INVENTORY))  # type: ignore[arg-type]


def _refuse_two_places(path: Path, rows: pl.DataFrame) -> None:
    """A VM that one list has on two hosts, unless a uuid tells the two apart."""
    named = rows.filter(c("vm").is_not_null() & c("host").is_not_null()).sort("snapshot", "vm", "uuid", "_line")
    first = {name: c(name).first().over("snapshot", "vm", "uuid") for name in ("host", "_line")}
    twice = named.with_columns(first["_line"].alias("_first")).filter(c("host") != first["host"]).sort("_line").head(1)
    for row in twice.to_dicts():
        raise InputError(f"{row['vm']!r} is on {row['host']!r} here and elsewhere on line {row['_first']}, at the same time", path,
                         row["_line"], "intervals of one machine must not overlap; give machines of one name their `uuid`")


def _without_repetitions(rows: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Rows that say the same twice count once; machines of one name in one list cannot be told apart in logs, so neither is placed."""
    once = rows.unique([name for name in INVENTORY if name != "row"], keep="first", maintain_order=True)
    repaired = [f"{rows.height - once.height:,} rows of inventories repeat another and count once"] if once.height < rows.height else []
    shared = (c("uuid").n_unique() > 1).over("snapshot", "vm") & c("vm").is_not_null() & c("uuid").is_not_null()
    doubtful = once.filter(shared & (c("view") == "manager"))
    for row in doubtful.unique("vm", keep="first", maintain_order=True).head(5).to_dicts():
        repaired.append(f"{row['row']}: several machines are named {row['vm']!r}: where they are stays unknown")
    unplaced = pl.when(shared & (c("view") == "manager")).then(None).otherwise("host")
    return once.with_columns(unplaced.alias("host")), repaired


def _addresses(path: Path) -> pl.DataFrame:
    cells = _cells(path, _SPAN, ("vm", "address", "valid_from"))
    rows = cells.with_columns(
        names.vm_name(c("vm")).alias("vm"), names.mac(c("address")).alias("mac"), names.address(c("address")).alias("ip"),
        _micros(path, cells, "valid_from").alias("valid_from"), _micros(path, cells, "valid_to").alias("valid_to"),
        c("segment").str.to_lowercase())
    kept = rows.with_columns(pl.coalesce(pl.when(c("ip").is_not_null() & ~c("address").str.contains(r"^(?:[0-9A-Fa-f]{2}[:-]){5}"))
                                         .then("ip"), "mac").alias("address"))
    for name in ("vm", "address"):
        _refuse(path, cells, kept.get_column(name).is_null(), name, "is no machine" if name == "vm" else "is neither an IP nor a MAC")
    _refuse(path, cells, kept.get_column("valid_to") <= kept.get_column("valid_from"), "valid_to", "is not after valid_from")
    _refuse_overlap(path, kept)
    said = kept.with_columns(
        pl.when(c("address").str.len_chars().eq(17) & c("mac").is_not_null()).then(pl.lit("mac")).otherwise(pl.lit("ip")).alias("kind"),
        pl.lit(path.stem).alias("source"), pl.concat_str(pl.lit(f"{path.name}:"), c("_line").cast(pl.String)).alias("event"))
    has = said.with_columns(c("valid_from").alias("time"), pl.lit("has").alias("act"))
    lost = said.filter(c("valid_to").is_not_null()).with_columns(c("valid_to").alias("time"), pl.lit("lost").alias("act"))
    return pl.concat([each.select(ADDRESS_FACTS.keys()) for each in (has, lost)])


def _refuse_overlap(path: Path, rows: pl.DataFrame) -> None:
    ordered = rows.sort("address", "segment", "valid_from", "_line").with_columns(
        *(c(name).shift(1).over("address", "segment").alias(f"_{name}_before") for name in ("vm", "_line")),
        c("valid_to").fill_null(_END).shift(1).over("address", "segment").alias("_end"))
    for row in ordered.filter(c("valid_from") < c("_end")).head(1).to_dicts():
        raise InputError(f"{row['address']} is of {row['vm']!r} while it is still of {row['_vm_before']!r} on line {row['__line_before']}",
                         path, row["_line"], "intervals of one address must not overlap: end the earlier one with valid_to")


# --- cells ------------------------------------------------------------------------------------------------------------------------


def _cells(path: Path, columns: Sequence[str], required: Sequence[str]) -> pl.DataFrame:
    """All cells of a CSV file as stripped text, null where empty, with `_line` (of files without line feeds inside cells)."""
    try:
        raw = pl.read_csv(path, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError, UnicodeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"not a CSV file in UTF-8: {reason}", path) from None
    for problem in _header(raw.columns, columns, required):
        raise InputError(problem[0], path, 1, problem[1])
    missing = [pl.lit(None, pl.String).alias(name) for name in columns if name not in raw.columns]
    text = raw.with_columns(missing).select(pl.when(c(name).str.strip_chars() != "").then(c(name).str.strip_chars()).alias(name)
                                            for name in columns)
    return text.with_row_index("_line", offset=2).with_columns(c("_line").cast(pl.Int64))


def _header(found: Sequence[str], known: Sequence[str], required: Sequence[str]) -> Iterator[tuple[str, str]]:
    said = "columns: " + ", ".join(known)
    for name in found:
        if name not in known:
            yield f"unknown column {name!r}", did_you_mean(name, known, said)
    for name in required:
        if name not in found:
            yield f"column {name!r} is missing", said


def _micros(path: Path, cells: pl.DataFrame, name: str) -> pl.Series:
    """Times with a zone as microseconds UTC."""
    _refuse(path, cells, c(name).is_not_null() & ~c(name).str.contains(_ZONED), name,
            "has no time zone", "write 2026-03-01T10:00:00Z or 2026-03-01T11:00:00+01:00")
    spelt = c(name).str.replace(" ", "T", literal=True).str.replace(r"[Zz]$", "+00:00").str.replace(r"([+-]\d{2})(\d{2})$", "${1}:${2}")
    whole = spelt.str.replace(r"T(\d{2}:\d{2})([+-])", "T${1}:00${2}")
    times = cells.select(whole.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%:z", time_unit="us", time_zone="UTC", strict=False).dt.epoch("us"))
    read = times.to_series()
    _refuse(path, cells, c(name).is_not_null() & read.is_null(), name, "is no time", "write 2026-03-01T10:00:00Z")
    if name != "valid_to":
        _refuse(path, cells, c(name).is_null(), name, "is empty")
    return read


def _refuse(path: Path, cells: pl.DataFrame, wrong: pl.Expr | pl.Series, name: str, words: str, hint: str | None = None) -> None:
    for value, line in cells.filter(wrong).select(name, "_line").head(1).rows():
        said = f"{name} {value!r} {words}" if value is not None else f"{name} {words}"
        raise InputError(said, path, line, hint)
