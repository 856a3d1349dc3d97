"""The benchmark measures what it says: the same bytes for a seed, allowed addresses, and a baseline that does its work."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

import orjson
import pytest

from tests.bench import baseline, jobs
from tests.bench.generate import FORMS, generate

SOURCES = sorted(path.stem for path in FORMS.glob("*.tsv"))
ALLOWED = [ipaddress.ip_network(net) for net in ("10.0.0.0/8", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")]


@pytest.mark.parametrize("source", SOURCES)
def test_same_seed_same_bytes(source: str, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a", "b", "c")]
    sizes = [generate(source, 3000, path, seed) for path, seed in zip(files, (1, 1, 2), strict=True)]
    texts = [path.read_bytes() for path in files]
    assert texts[0] == texts[1] != texts[2]
    assert (len(texts[0]), texts[0].count(b"\n")) == (sizes[0], 3000)


@pytest.mark.parametrize("source", SOURCES)
def test_times_increase_and_addresses_are_free(source: str, tmp_path: Path) -> None:
    generate(source, 3000, tmp_path / "log")
    text = (tmp_path / "log").read_text(encoding="utf-8")
    times = [next(iter(re.findall(r"2026-[0-9T:.-]+|audit\(([0-9.]+)", line)), "") for line in text.splitlines()]
    assert times == sorted(times)
    found = {ipaddress.ip_address(text) for text in re.findall(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])", text)}
    assert [str(ip) for ip in found if not any(ip in net for net in ALLOWED)] == []


def test_esxi_lines_are_like_those_of_a_host(tmp_path: Path) -> None:
    size = generate("vmware-esxi", 20_000, tmp_path / "log")
    assert 200 < size / 20_000 < 240
    events: list[bytes] = []
    assert 0.85 < baseline.run(tmp_path / "log", events.append) / 20_000 < 0.97
    assert len({orjson.loads(event)["event"]["id"] for event in events}) == 20_000


def test_growth_compares_the_smallest_with_the_largest_lake() -> None:
    figures = [("a", 20, 60.0), ("a", 2, 5.0), ("b", 2, 1.0)]
    rows = [dict(zip(("job", "events", "seconds"), each, strict=True)) for each in figures]
    assert jobs.growth(rows, "seconds") == {"a": 1.2}
