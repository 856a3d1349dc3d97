"""GeoIP files: what is understood, and what is refused with its name."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from pipeline.analytics.logins.geo import distance_km, geoip_files, located
from pipeline.errors import InputError
from tests.analytics.geoip import city, write, write_both


def place(address: str, *files: str) -> dict[str, object]:
    return located(pl.Series("address", [address]), files).to_dicts()[0]


def test_of_several_files_each_gives_what_it_has(tmp_path: Path) -> None:
    files = write_both(tmp_path)
    assert place("192.0.2.10", *files) == {
        "address": "192.0.2.10", "prefix": "192.0.2.0/24", "country": "DE", "asn": "AS64500", "latitude": 52.52, "longitude": 13.4,
        "radius_km": 20.0}
    assert place("2001:db8:a:1::7", *files) | {"latitude": 0} == {
        "address": "2001:db8:a:1::7", "prefix": "2001:db8:a::/48", "country": "AU", "asn": "AS64501", "latitude": 0, "longitude": 151.21,
        "radius_km": 50.0}


@pytest.mark.parametrize("record", [
    {"country_code": "de", "asn": "AS64500", "latitude": "52.52", "longitude": "13.4"},
    {"country": "DE", "asn": "64500", "latitude": 52.52, "longitude": 13.4},
    {"registered_country": {"iso_code": "DE"}, "autonomous_system_number": 64500, "location": {"latitude": 52.52, "longitude": 13.4}},
])
def test_flat_and_nested_records_are_understood(tmp_path: Path, record: dict[str, object]) -> None:
    found = place("192.0.2.10", write(tmp_path / "x.mmdb", "x", {"192.0.2.0/24": record}))
    assert (found["country"], found["asn"], found["latitude"], found["radius_km"]) == ("DE", "AS64500", 52.52, None)


def test_what_is_not_known_is_null(tmp_path: Path) -> None:
    files = write_both(tmp_path)
    assert set(list(place("10.1.2.3", *files).values())[2:]) == {None}
    assert place("10.1.2.3")["prefix"] == "10.1.2.0/24"
    assert set(list(place("no address", *files).values())[1:]) == {None}
    odd = write(tmp_path / "odd.mmdb", "x", {"192.0.2.0/24": {"country": {"iso_code": "Germany"}, "location": {"latitude": "north"}}})
    assert set(list(place("192.0.2.1", odd).values())[2:]) == {None}


def test_files_and_folders_are_found(tmp_path: Path) -> None:
    city_file, asn_file = write_both(tmp_path)
    assert geoip_files([str(tmp_path)]) == (asn_file, city_file)
    assert geoip_files([city_file]) == (city_file,)
    assert geoip_files([]) == ()


def test_what_is_no_such_file_is_named(tmp_path: Path) -> None:
    empty, wrong = tmp_path / "empty", tmp_path / "wrong.mmdb"
    empty.mkdir()
    wrong.write_text("ip,country\n")
    for given, said in ((empty, "no GeoIP file in this folder"), (wrong, "is not in MaxMind's format"),
                        (tmp_path / "absent.mmdb", "cannot be read")):
        with pytest.raises(InputError, match=said) as error:
            geoip_files([str(given)])
        assert str(given) in str(error.value)


def test_distance_is_that_of_a_globe() -> None:
    berlin, sydney = (city(*values)["location"] for values in (("DE", 52.52, 13.405, 1), ("AU", -33.8688, 151.2093, 1)))
    spots = pl.DataFrame({"a": [berlin["latitude"]], "b": [berlin["longitude"]], "c": [sydney["latitude"]], "d": [sydney["longitude"]]})
    assert spots.select(distance_km(*map(pl.col, "abcd"))).item() == pytest.approx(16_094, abs=10)
    assert spots.select(distance_km(pl.col("a"), pl.col("b"), pl.col("a"), pl.col("b"))).item() == 0
    assert spots.select(distance_km(pl.lit(0.0), pl.lit(0.0), pl.lit(0.0), pl.lit(180.0))).item() == pytest.approx(20_015, abs=1)
