"""Text to UTC time, in the forms that hypervisor logs use.

A time without zone is taken in the parser's zone; one without year gets the newest year that does not put it after the file's reference
time (the first complete time in the file, else its modification time) and the month that a file may go on from there.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

c = pl.col
AHEAD = timedelta(days=31)
UTC_US = pl.Datetime("us", "UTC")

# (shape of the text, chrono formats to try, whether the zone is in the text)
_OTHER: tuple[tuple[str, tuple[str, ...], bool], ...] = (
    (r"^\d{1,2}/[A-Z][a-z]{2}/\d{4}:", ("%d/%b/%Y:%H:%M:%S %z",), True),  # 11/May/2023:10:22:24 +0000
    (r"^\d{1,2}/\d{1,2}/\d{4} .* (?:UTC|GMT)$", ("%m/%d/%Y %H:%M:%S UTC", "%m/%d/%Y %H:%M:%S GMT"), False),  # 04/06/2019 12:47:50 UTC
    (r"^\d{1,2}/\d{1,2}/\d{4},? .*[AP]M$", ("%m/%d/%Y, %I:%M:%S%.f %p", "%m/%d/%Y %I:%M:%S%.f %p"), False),  # 11/13/2020, 2:07:03.477 PM
    (r"^\d{1,2}/\d{1,2}/\d{4} ", ("%m/%d/%Y %H:%M:%S%.f", "%d/%m/%Y %H:%M:%S%.f"), False),  # ausearch -i
    (r"^\d{1,2}/\d{1,2}/\d{2} ", ("%m/%d/%y %H:%M:%S%.f", "%d/%m/%y %H:%M:%S%.f"), False),
    (r"^\d{1,2}\.\d{1,2}\.\d{4} ", ("%d.%m.%Y %H:%M:%S%.f",), False),  # 13.10.2022 10:00:00.123
    (r"^\d{4}/\d{1,2}/\d{1,2} ", ("%Y/%m/%d %H:%M:%S%.f",), False),
    (r"^[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4}", ("%a, %d %b %Y %H:%M:%S %z",), True),
    (r"^[A-Z][a-z]+, \d{1,2} [A-Z][a-z]+, \d{4}", ("%A, %d %B, %Y %I:%M:%S %p",), False),  # Tuesday, 18 April, 2023 07:14:36 AM
)


def parse_times(text: pl.Series, timezone: str, reference: datetime) -> pl.Series:
    """Times as UTC microseconds; null where the text is no time in a known form."""
    frame = pl.DataFrame({"t": text})
    zulu = frame.select(_is_zulu().fill_null(False)).to_series()
    if zulu.all():  # nearly every batch
        return frame.select(_zulu().alias("time")).to_series()
    frame = frame.with_row_index("i").filter(~zulu).drop_nulls("t")
    iso = c("t").str.slice(4, 1).is_in(["-"]) & c("t").str.slice(13, 1).is_in([":"])
    done = [_iso(frame.filter(iso), timezone)]
    rest = frame.filter(~iso)
    if rest.height:
        done.append(_syslog(rest.filter(c("t").str.contains(r"^[A-Z][a-z]{2} +\d")), timezone, reference))
        rest = rest.filter(~c("t").str.contains(r"^[A-Z][a-z]{2} +\d"))
    for shape, formats, zoned in _OTHER:
        if rest.height == 0:
            break
        mine = c("t").str.contains(shape)
        done.append(_formats(rest.filter(mine), formats, zoned, timezone))
        rest = rest.filter(~mine)
    times = pl.concat(done)
    others = (
        pl.DataFrame({"i": pl.int_range(len(text), dtype=pl.get_index_type(), eager=True)})
        .join(times, on="i", how="left", maintain_order="left")
        .get_column("time")
    )
    return (
        pl.DataFrame({"t": text, "others": others})
        .select(pl.when(pl.lit(zulu)).then(_zulu()).otherwise(c("others")).alias("time"))
        .to_series()
    )


def _is_zulu() -> pl.Expr:
    """2026-03-01T10:00:00Z, with or without a fraction."""
    return (c("t").str.slice(10, 1) == "T") & c("t").str.slice(19, 1).is_in([".", "Z"]) & c("t").str.ends_with("Z")


def _zulu() -> pl.Expr:
    """Fixed places, so one cheap format for the whole seconds (a format with a fraction takes fourteen times as long)."""
    micros = c("t").str.slice(20, 6).str.strip_suffix("Z").str.pad_end(6, "0").cast(pl.Int64, strict=False)
    whole = c("t").str.head(19).str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us", time_zone="UTC", strict=False)
    return whole + pl.duration(microseconds=micros.fill_null(0))


def _iso(frame: pl.DataFrame, timezone: str) -> pl.DataFrame:
    """`YYYY-MM-DD[T ]HH:MM:SS[.,:]fraction zone`: fixed places for the date, the tail split by hand, which is faster."""
    stamp = pl.concat_str(c("t").str.slice(0, 10), c("t").str.slice(11, 8), separator="T")
    whole = stamp.str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us", strict=False)
    parts = frame.select("i", whole.alias("whole"), c("t").str.slice(19).alias("tail"))
    fraction = c("tail").str.extract(r"^[.,:](\d{1,9})")
    micros = (pl.lit("0.") + fraction).cast(pl.Float64).mul(1e6).round().cast(pl.Int64).fill_null(0)
    parts = parts.with_columns((c("whole") + pl.duration(microseconds=micros)).alias("local"))
    utc = (
        c("tail").str.ends_with("Z") | c("tail").str.ends_with("UTC") | c("tail").str.ends_with("+00:00") | c("tail").str.ends_with("+0000")
    )
    zulu, rest = parts.filter(utc), parts.filter(~utc)
    offset = c("tail").str.extract_groups(r"([+-])(\d\d):?(\d\d)$")
    minutes = (offset.struct.field("2").cast(pl.Int64) * 60 + offset.struct.field("3").cast(pl.Int64)) * pl.when(
        offset.struct.field("1") == "-"
    ).then(-1).otherwise(1)
    return pl.concat(
        [
            zulu.select("i", c("local").dt.replace_time_zone("UTC").alias("time")),
            rest.select(
                "i",
                pl.when(minutes.is_not_null())
                .then((c("local") - pl.duration(minutes=minutes)).dt.replace_time_zone("UTC"))
                .otherwise(_zone(c("local"), timezone))
                .alias("time"),
            ),
        ]
    )


def _zone(local: pl.Expr, timezone: str) -> pl.Expr:
    """A local time to UTC. In the hour that a clock change repeats the earlier one is meant; a time it skips is null."""
    return local.dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null").dt.convert_time_zone("UTC")


def _syslog(frame: pl.DataFrame, timezone: str, reference: datetime) -> pl.DataFrame:
    """`Mar  4 2026 10:00:00` and `Mar  4 10:00:00`, which gets the newest year that is not after the file's reference time."""
    text = c("t").str.replace(r" +", " ")
    year = text.str.extract(r"^\S+ \d+ (\d{4}) ")
    clock = text.str.replace(r"^(\S+ \d+) \d{4} ", "$1 ")

    def at(value: pl.Expr) -> pl.Expr:
        return pl.concat_str(value.cast(pl.String), clock, separator=" ").str.to_datetime(
            "%Y %b %d %H:%M:%S%.f", time_unit="us", strict=False
        )

    latest = pl.lit((reference + AHEAD).replace(tzinfo=None))
    guesses = [at(pl.lit(reference.year + shift)) for shift in (1, 0, -1, -2, -3, -4)]  # five years back: 29 February
    newest = pl.coalesce(pl.when(guess <= latest).then(guess) for guess in guesses)
    return frame.select("i", _zone(pl.coalesce(at(year), newest), timezone).alias("time"))


def _formats(frame: pl.DataFrame, formats: tuple[str, ...], zoned: bool, timezone: str) -> pl.DataFrame:
    if zoned:
        return frame.select("i", c("t").str.to_datetime(formats[0], time_unit="us", strict=False, time_zone="UTC").alias("time"))
    local = pl.coalesce(c("t").str.to_datetime(f, time_unit="us", strict=False) for f in formats)
    return frame.select("i", _zone(local, timezone).alias("time"))
