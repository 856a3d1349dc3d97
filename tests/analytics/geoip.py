"""Tiny GeoIP files over the networks for documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmdb_writer import MMDBWriter
from netaddr import IPSet

BERLIN, SYDNEY, POTSDAM = "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/25"
VAGUE = "203.0.113.128/25"
CITIES: dict[str, tuple[str, float, float, int]] = {
    BERLIN: ("DE", 52.52, 13.40, 20), SYDNEY: ("AU", -33.87, 151.21, 50), POTSDAM: ("DE", 52.40, 13.06, 20),
    VAGUE: ("AU", -25.0, 134.0, 1000), "2001:db8:a::/48": ("AU", -33.87, 151.21, 50)}
NUMBERS = {BERLIN: 64500, SYDNEY: 64501, POTSDAM: 64502, VAGUE: 64501, "2001:db8:a::/48": 64501}


def write(path: Path, kind: str, records: dict[str, Any]) -> str:
    writer = MMDBWriter(ip_version=6, database_type=kind, ipv4_compatible=True)
    for network, record in records.items():
        writer.insert_network(IPSet([network]), record)
    writer.to_db_file(str(path))
    return str(path)


def city(country: str, latitude: float, longitude: float, radius: int) -> dict[str, Any]:
    return {"country": {"iso_code": country}, "location": {"latitude": latitude, "longitude": longitude, "accuracy_radius": radius}}


def write_both(folder: Path) -> tuple[str, ...]:
    """A file of cities and one of autonomous systems, as MaxMind has them."""
    return (write(folder / "City.mmdb", "GeoLite2-City", {network: city(*values) for network, values in CITIES.items()}),
            write(folder / "ASN.mmdb", "GeoLite2-ASN", {network: {"autonomous_system_number": n} for network, n in NUMBERS.items()}))
