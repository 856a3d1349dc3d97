"""Times: every form the sources use, zones, missing years and zones."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from pipeline.kernel.times import parse_times

REFERENCE = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(text: str, timezone: str = "UTC", reference: datetime = REFERENCE) -> str | None:
    value = parse_times(pl.Series([text]), timezone, reference)[0]
    return None if value is None else value.isoformat().replace("+00:00", "")


@pytest.mark.parametrize(("text", "want"), [
    ("2022-11-04T15:01:58.230Z", "2022-11-04T15:01:58.230000"),
    ("2021-09-06T14:40:13.26309Z", "2021-09-06T14:40:13.263090"),
    ("2021-09-06T14:40:13.263383+00:00", "2021-09-06T14:40:13.263383"),
    ("2020-05-11T22:32:09Z", "2020-05-11T22:32:09"),
    ("2016-01-04T16:19:46.611-08:00", "2016-01-05T00:19:46.611000"),
    ("2023-10-23 17:32:19.957+0000", "2023-10-23T17:32:19.957000"),
    ("2017-03-06 14:49:05,167+0200", "2017-03-06T12:49:05.167000"),
    ("2026-01-01T05:30:00+05:30", "2026-01-01T00:00:00"),
    ("2021-09-06T14:40:25:001Z", "2021-09-06T14:40:25.001000"),
    ("2021-09-06T14:40:05.802", "2021-09-06T14:40:05.802000"),
    ("2011-12-05 07:04:56,101", "2011-12-05T07:04:56.101000"),
    ("11/May/2023:10:22:24 +0000", "2023-05-11T10:22:24"),
    ("04/06/2019 12:47:50 UTC", "2019-04-06T12:47:50"),
    ("01/29/2025 08:49:33 GMT", "2025-01-29T08:49:33"),
    ("11/13/2020, 2:07:03.477 PM", "2020-11-13T14:07:03.477000"),
    ("08/05/2014 17:01:05.891", "2014-08-05T17:01:05.891000"),
    ("25/06/2025 17:01:05.891", "2025-06-25T17:01:05.891000"),
    ("13.10.2022 10:00:00.123", "2022-10-13T10:00:00.123000"),
    ("01/15/26 10:00:00.123", "2026-01-15T10:00:00.123000"),
    ("Tuesday, 18 April, 2023 07:14:36 AM", "2023-04-18T07:14:36"),
    ("Mar  4 2025 10:00:00", "2025-03-04T10:00:00"),
    ("not a time", None),
    ("2026-13-45T99:00:00Z", None),
])
def test_forms(text: str, want: str | None) -> None:
    assert at(text) == want


@pytest.mark.parametrize(("text", "want"), [
    ("Feb 28 10:00:00", "2026-02-28T10:00:00"),
    ("Dec 31 23:59:59", "2025-12-31T23:59:59"),
    ("Feb  5 01:02:03.456", "2026-02-05T01:02:03.456000"),
    ("May 12 12:48:00", "2025-05-12T12:48:00"),
    ("Mar 20 00:00:00", "2026-03-20T00:00:00"),
])
def test_a_missing_year_is_never_in_the_files_future(text: str, want: str) -> None:
    assert at(text) == want


def test_leap_day_finds_its_year() -> None:
    assert at("Feb 29 10:00:00", reference=datetime(2025, 1, 2, tzinfo=UTC)) == "2024-02-29T10:00:00"


def test_zone_of_the_parser_is_used_where_the_text_has_none() -> None:
    assert at("2026-03-01 10:00:00", "Europe/Berlin") == "2026-03-01T09:00:00"
    assert at("Mar  1 10:00:00", "Europe/Berlin") == "2026-03-01T09:00:00"


def test_an_hour_that_a_clock_change_skips_is_no_time_and_a_repeated_one_is_the_earlier() -> None:
    assert at("2026-03-29 02:30:00", "Europe/Berlin") is None
    assert at("2026-10-25 02:30:00", "Europe/Berlin") == "2026-10-25T00:30:00"
