"""Where addresses are: country, autonomous system and position, from files in MaxMind's format (.mmdb) that the user supplies.

GeoLite2 and GeoIP2 (City, Country, ASN), DB-IP, IPinfo and the flat databases of the npm packages @ip-location-db are understood; of
several files that know an address, the first that has a value gives it. No network is asked. What they say is as of their making, not of
the event.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import maxminddb
import polars as pl

from ...errors import InputError

# `prefix`: the network of 256 IPv4 addresses (/24), or the site of IPv6 (/48). `radius_km`: how far off the position may be.
PLACE: Mapping[str, Any] = {"prefix": pl.String, "country": pl.String, "asn": pl.String, "latitude": pl.Float64, "longitude": pl.Float64,
                            "radius_km": pl.Float64}
EARTH_KM = 6371.0088  # mean radius (IUGG)


def geoip_files(given: Iterable[str]) -> tuple[str, ...]:
    """The files that the user named, those of folders in order of name. Raises InputError for what is no such file."""
    found: list[str] = []
    for path in map(Path, given):
        files = sorted(path.glob("*.mmdb")) if path.is_dir() else [path]
        if not files:
            raise InputError("no GeoIP file in this folder", path, hint="their names end in .mmdb")
        found += [str(file.resolve()) for file in files]
    for file in found:
        _opened(file).metadata()
    return tuple(found)


@cache
def _opened(file: str) -> maxminddb.Reader:
    """One reader a process: the file is mapped into memory, so that tasks of a machine share it."""
    try:
        return maxminddb.open_database(file)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file, hint="every worker must be able to read it") from None
    except (maxminddb.InvalidDatabaseError, ValueError):
        raise InputError("is not in MaxMind's format", file, hint="GeoLite2-City.mmdb, for instance, unpacked") from None


def located(addresses: pl.Series, files: tuple[str, ...]) -> pl.DataFrame:
    """Where some different addresses are: the column of addresses and those of PLACE, null where it is not known."""
    rows = [(text, *_place(text, files)) for text in addresses.to_list()]
    return pl.DataFrame(rows, schema={addresses.name: pl.String, **PLACE}, orient="row")


def _place(text: str, files: tuple[str, ...]) -> tuple[str | float | None, ...]:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return (None,) * len(PLACE)
    prefix = f"{text.rpartition('.')[0]}.0/24" if address.version == 4 else str(ip_network(f"{address}/48", strict=False))
    records: list[Mapping[str, Any]] = []
    for reader in map(_opened, files):
        if address.version == 4 or reader.metadata().ip_version == 6:
            record = reader.get(address)
            records += [record] if isinstance(record, dict) else []
    position = next(filter(None, map(_position, records)), (None, None, None))
    return (prefix, _first(records, _country), _first(records, _asn), *position)


def _first(records: Iterable[Mapping[str, Any]], read: Any) -> str | None:
    return next((value for record in records if (value := read(record))), None)


def _country(record: Mapping[str, Any]) -> str | None:
    """ISO 3166-1, two letters: nested as MaxMind has it, or flat."""
    for given in (record.get("country"), record.get("registered_country"), record.get("country_code")):
        code = given.get("iso_code") if isinstance(given, dict) else given
        if isinstance(code, str) and len(code) == 2:
            return code.upper()
    return None


def _asn(record: Mapping[str, Any]) -> str | None:
    number = record.get("autonomous_system_number") or record.get("asn")
    digits = str(number or "").upper().removeprefix("AS")
    return f"AS{digits}" if digits.isdigit() else None


def _position(record: Mapping[str, Any]) -> tuple[float, float, float | None] | None:
    """Degrees north and east, and the radius in km."""
    spot = record.get("location", record)
    if not isinstance(spot, dict):
        return None
    try:
        latitude, longitude = float(spot["latitude"]), float(spot["longitude"])
    except (KeyError, TypeError, ValueError):
        return None
    radius = spot.get("accuracy_radius")
    return latitude, longitude, float(radius) if isinstance(radius, (int, float)) else None


def distance_km(latitude: pl.Expr, longitude: pl.Expr, latitude2: pl.Expr, longitude2: pl.Expr) -> pl.Expr:
    """Great-circle distance of two positions in degrees, by the haversine formula."""
    north, north2 = latitude.radians(), latitude2.radians()
    half = ((north2 - north) / 2).sin() ** 2 + north.cos() * north2.cos() * ((longitude2.radians() - longitude.radians()) / 2).sin() ** 2
    return 2 * EARTH_KM * half.clip(0, 1).sqrt().arcsin()
