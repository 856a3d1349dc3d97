"""The kernel as a whole: conservation on everything, the same events in any ranges, bad input never fatal."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.kernel.engine import Batch, Engine
from pipeline.kernel.normalise import to_arrow
from pipeline.proofs import WRITTEN, events_of, sample_files
from pipeline.shapes import arrow_schema

ENGINE = Engine()
ESXI = (
    "<166>2026-03-01T10:00:00.123Z esx01 Hostd: info hostd[2099656] [Originator@6876 sub=Vimsvc.ha-eventmgr opID=a-1] "
    "Event 12 : User root@192.0.2.9 logged in as x\n"
)
CLOUD = (
    '{"Records":[{"eventVersion":"1.08","userIdentity":{"type":"Root"},"eventTime":"2026-03-01T10:00:00Z","eventSource":"ec2.amazonaws.com",'
    '"eventName":"StopInstances","awsRegion":"eu-west-1","sourceIPAddress":"192.0.2.9"},{"eventVersion":"1.08",'
)


def accounts(batches: list[Batch]) -> tuple[int, int]:
    """Raw lines read, and raw lines that events, quarantine and blank or joined lines account for."""
    lines = sum(b.lines for b in batches)
    return lines, sum(b.events.height + b.quarantine.height + b.joined for b in batches)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=80) | st.just(ESXI.encode()), max_size=12))
def test_random_bytes_are_conserved(parts: list[bytes]) -> None:
    data = b"\n".join(parts)
    batches = list(ENGINE.process_bytes(data, WRITTEN))
    lines, kept = accounts(batches)
    assert lines == kept
    assert all(b.joined >= 0 for b in batches)
    for batch in batches:
        if batch.events.height:
            raw = int(batch.events.get_column("_lines").sum()) + int(batch.quarantine.get_column("lines").sum())
            assert raw <= batch.lines


@pytest.mark.parametrize("path", sample_files(), ids=lambda p: f"{p.parent.parent.name}/{p.name}")
def test_samples_are_conserved_and_fit_the_schema(path: Path) -> None:
    batches = list(ENGINE.process_bytes(path.read_bytes(), WRITTEN, path.name, path.parent.parent.name))
    lines, kept = accounts(batches)
    assert lines == kept > 0
    for batch in batches:
        if batch.events.height:
            assert to_arrow(batch.events).schema == arrow_schema()
            assert batch.events.get_column("event.id").n_unique() == batch.events.height


@pytest.mark.parametrize(("step", "times"), [(1, 1), (97, 3), (1000, 3)])
def test_ranges_give_the_same_events(tmp_path: Path, step: int, times: int) -> None:
    path = tmp_path / "mixed.log"
    path.write_text((ESXI + "-->  more of it\n" + ESXI.replace("Event 12", "Event 13") + "\n") * times)
    whole = events_of(list(ENGINE.process_file(str(path))))
    size = path.stat().st_size
    parts = [b for a in range(0, size, step) for b in ENGINE.process_file(str(path), a, min(a + step, size))]
    assert events_of(parts) == whole
    assert sum(b.lines for b in parts) == 4 * times


def test_two_identical_lines_stay_two_events() -> None:
    events = events_of(list(ENGINE.process_bytes((ESXI * 2).encode(), WRITTEN)))
    assert len({e["event"]["id"] for e in events}) == 2


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("empty", b""),
        ("only newlines", b"\n\n\n"),
        ("binary", bytes(range(256)) * 20),
        ("NUL bytes", b"\x00" * 500 + b"\n" + ESXI.encode()),
        ("1 MiB line", b"x" * (1 << 20) + b"\n" + ESXI.encode()),
        ("CRLF", ESXI.replace("\n", "\r\n").encode()),
        ("BOM", b"\xef\xbb\xbf" + ESXI.encode()),
        ("UTF-16", ESXI.encode("utf-16")),
        ("invalid UTF-8", ESXI.replace("root", "r\udcffot").encode("utf-8", "surrogateescape")),
        ("truncated gzip", gzip.compress(ESXI.encode() * 200)[:-20]),
        ("broken JSON", CLOUD.encode()),
    ],
)
def test_bad_input_is_never_fatal_and_loses_nothing(name: str, data: bytes) -> None:
    batches = list(ENGINE.process_bytes(data, WRITTEN, name))
    lines, kept = accounts(batches)
    assert lines == kept
    if name in ("CRLF", "BOM", "UTF-16", "invalid UTF-8", "1 MiB line", "NUL bytes", "truncated gzip"):
        users = pl.concat([b.events for b in batches if b.events.height], how="diagonal").get_column("user.name").drop_nulls()
        assert users.len() >= 1
    if name in ("binary", "NUL bytes", "truncated gzip", "broken JSON"):
        assert sum(b.quarantine.height for b in batches) >= 1


def test_a_record_without_time_takes_the_files_and_says_so() -> None:
    event = events_of(list(ENGINE.process_bytes(b"no time here\n", datetime(2026, 3, 1, tzinfo=UTC))))[0]
    assert event["@timestamp"] == "2026-03-01T00:00:00.000Z"
    assert event["tags"] == ["time_missing", "unparsed"]
