"""Files to events, without Spark: any cut gives the same events, a second run adds nothing, growth adds what is new, no line is lost."""

from __future__ import annotations

import gzip
import random
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline import figures, finding, ingest, ledger, sources
from pipeline.errors import InputError
from pipeline.kernel.engine import Engine
from pipeline.sigma.load import load_rules

ESX = "<14>2026-03-01T10:00:{:02d}.000Z esx01.example.org Hostd[2099]: info hostd[2100] [Originator@6876 sub=Default opID=a{}] Message {}\n"
AUDIT = "type={} msg=audit(1772359200.{:03d}:{}): pid=1 uid=0 auid=1000 ses=3 msg='op=start reason=booted vm=\"web01\" res=success'\n"


@cache
def engine() -> Engine:
    return Engine()


@cache
def detector() -> Any:
    return engine().detector(load_rules().rules)


class House:
    """A lake in memory: what workers write is read back, what a batch deletes is dropped, the ledger grows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tables: dict[str, pl.DataFrame] = {}
        self.runs = 0

    def run(self, *inputs: Path, range_bytes: int = 1 << 26, parser: str | None = None) -> tuple[dict[str, Any], list[finding.Problem]]:
        self.runs += 1
        name = f"run{self.runs:04d}"
        found, problems = finding.find(map(str, inputs), avoid=str(self.folder))
        known = ledger.Ledger(self.tables["files"].to_dicts() if "files" in self.tables else [])
        changed = [item for item in found if not known.unchanged(item)]
        infos, unread = finding.describe(changed)
        pieces, copies = ledger.plan(changed, infos, known, parser)
        by_path = {info.path: info for info in infos}
        cut = [part for piece in pieces for part in sources.cut(piece, by_path[piece.path], engine(), range_bytes)]
        job = ingest.Job(engine(), detector(), str(self.folder), name, "2026-03-01")
        results = [ingest.work(job, task) for task in sources.pack(cut, range_bytes)]
        done = figures.by_file([piece for result in results for piece in result.pieces])
        figures.check(done)
        self._commit(figures.batch(name, job, done, results))
        now = datetime.now(UTC)
        return figures.of_run(name, now, now, done, "x"), [*problems, *unread, *copies]

    def _commit(self, batch: Any) -> None:
        for table, keys in batch.deletes.items():
            if table in self.tables:
                key = pl.col("id") if table == "quarantine" else pl.col("event").struct.field("id")
                self.tables[table] = self.tables[table].filter(~key.is_in(keys))
        for table, adds in batch.adds.items():
            new = [pl.read_parquet(self.folder / table / add["path"], hive_partitioning=False) for add in adds]
            self.tables[table] = pl.concat([self.tables[table], *new] if table in self.tables else new)

    def events(self) -> list[tuple[str, str]]:
        if "events" not in self.tables:
            return []
        event = pl.col("event").struct
        return sorted(self.tables["events"].select(event.field("id").alias("i"), event.field("original").alias("o")).rows())

    def quarantined(self) -> list[tuple[str, str]]:
        return sorted(self.tables["quarantine"].select("id", "raw").rows()) if "quarantine" in self.tables else []


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path / "lake")


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs"


def esx(lines: range) -> str:
    return "".join(ESX.format(n % 60, n, n) + ("--> more\n" if n % 5 == 0 else "") + ("\n" if n % 7 == 0 else "") for n in lines)


def audit(events: range) -> str:
    return "".join(AUDIT.format("VIRT_CONTROL", n % 1000, n) + AUDIT.format("VIRT_RESOURCE", n % 1000, n) for n in events)


@pytest.mark.parametrize("range_bytes", [90, 700])
def test_one_range_or_many_give_the_same_events(tmp_path: Path, logs: Path, range_bytes: int) -> None:
    """Ranges shorter than a line, and ranges of a few lines."""
    (logs / "esx.log").write_text(esx(range(16)))
    (logs / "audit.log").write_text(audit(range(4)))
    whole, cut = House(tmp_path / "a"), House(tmp_path / "b")
    one, _ = whole.run(logs)
    many, _ = cut.run(logs, range_bytes=range_bytes)
    assert cut.events() == whole.events() != []
    assert one["sources"] == many["sources"]
    assert cut.tables["files"].drop("run").sort("path").to_dicts() == whole.tables["files"].drop("run").sort("path").to_dicts()


def test_the_same_input_twice_changes_nothing(house: House, logs: Path) -> None:
    (logs / "esx.log").write_text(esx(range(20)))
    (logs / "old.log.gz").write_bytes(gzip.compress(audit(range(5)).encode()))
    house.run(logs)
    before = house.events()
    again, _ = house.run(logs)
    assert (again["run"]["lines"], again["run"]["files"], house.events()) == (0, 0, before)


def test_touched_renamed_compressed_or_copied_files_are_known_again(house: House, logs: Path) -> None:
    text = esx(range(20))
    (logs / "esx.log").write_text(text)
    house.run(logs)
    before = house.events()
    (logs / "esx.log").rename(logs / "esx.log.1")
    assert house.run(logs)[0]["run"]["lines"] == 0
    (logs / "esx.log.1").unlink()
    (logs / "esx.log.1.gz").write_bytes(gzip.compress(text.encode()))
    assert house.run(logs)[0]["run"]["lines"] == 0
    (logs / "copy.log").write_text(text)
    (logs / "esx.log").write_text(text)
    assert house.run(logs)[0]["run"]["lines"] == 0
    assert house.events() == before


def test_an_older_copy_beside_the_grown_file_is_not_read(house: House, logs: Path) -> None:
    (logs / "now.log").write_text(esx(range(30)))
    (logs / "older.log").write_text(esx(range(20)))
    _, problems = house.run(logs)
    assert [(Path(p.path).name, p.reason) for p in problems] == [("older.log", f"the same text as {logs / 'now.log'}, which is read")]
    assert house.run(logs)[0]["run"]["lines"] == 0


def test_files_with_one_first_line_and_different_text_are_two(house: House, logs: Path) -> None:
    (logs / "a.log").write_text(esx(range(3)) + "a differs\n")
    (logs / "b.log").write_text(esx(range(3)) + "b differs\n")
    run, problems = house.run(logs)
    assert problems == []
    assert len({i for i, _ in house.events()}) == len(house.events()) == run["run"]["events"] == 8
    assert house.run(logs)[0]["run"]["lines"] == 0


def test_identical_lines_stay_two_events(house: House, logs: Path) -> None:
    (logs / "esx.log").write_text(ESX.format(1, 1, 1) * 2)
    run, _ = house.run(logs)
    assert run["run"]["events"] == len({i for i, _ in house.events()}) == 2


@pytest.mark.parametrize("text", [
    esx(range(12)), audit(range(6)), "plain\nlines\n\n\nwithout source\n", "<14>Mar  4 10:00:00 h a: b\n" * 9])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_that_grew_adds_what_is_new(tmp_path: Path, logs: Path, text: str, compressed: bool) -> None:
    """Whatever the place where the earlier run found the end: in a line, before a continuation, between records of one audit event."""
    file = logs / ("x.log.gz" if compressed else "x.log")
    data = text.encode()
    pack = gzip.compress if compressed else bytes
    for seed in range(2):
        cuts = sorted(random.Random(f"{seed}{text}").sample(range(1, len(data)), 3))
        grown, whole = House(tmp_path / f"grown{seed}"), House(tmp_path / f"whole{seed}")
        total = {"lines": 0, "events": 0, "joined": 0, "quarantined": 0}
        for cut in [*cuts, len(data)]:
            file.write_bytes(pack(data[:cut]))
            run, problems = grown.run(logs, range_bytes=500 if seed % 2 else 1 << 20, parser="vmware-esxi" if "Hostd" in text else None)
            assert problems == []
            total = {key: value + run["run"][key] for key, value in total.items()}
        file.unlink()
        (logs / "y.log").write_bytes(data)
        expected, _ = whole.run(logs, parser="vmware-esxi" if "Hostd" in text else None)
        (logs / "y.log").unlink()
        assert [o for _, o in grown.events()] == [o for _, o in whole.events()], (seed, cuts)
        assert total == {key: expected["run"][key] for key in total}, (seed, cuts)
        assert total["lines"] == total["events"] + total["joined"] + total["quarantined"]


@pytest.mark.parametrize("seed", range(4))
def test_random_bytes_lose_no_line(house: House, logs: Path, seed: int) -> None:
    random_bytes = random.Random(seed)
    kinds = [b"\n", b"\r\n", b"\x00\x01", b"\xff\xfe", esx(range(2)).encode(), audit(range(1)).encode(), b"-->", b"text "]
    parts = [random_bytes.choice(kinds) for _ in range(60)]
    (logs / "noise.log").write_bytes(b"start of text, long enough to be no binary file " * 20 + b"".join(parts))
    data = (logs / "noise.log").read_bytes()
    run, problems = house.run(logs, range_bytes=1500)
    assert problems == []
    assert run["run"]["lines"] == data.count(b"\n") + (not data.endswith(b"\n"))
    assert run["run"]["lines"] == run["run"]["events"] + run["run"]["joined"] + run["run"]["quarantined"]
    assert house.run(logs)[0]["run"]["lines"] == 0


def test_bad_files_beside_good_ones_are_reported(house: House, logs: Path) -> None:
    (logs / "good.log").write_text(esx(range(4)))
    (logs / "empty.log").write_text("")
    (logs / "program").write_bytes(bytes(range(256)) * 100)
    (logs / "notes.md").write_text("# not a log")
    (logs / ".hidden.log").write_text(esx(range(2)))
    (logs / "dangling.log").symlink_to(logs / "nowhere")
    run, problems = house.run(logs, logs / "missing.log")
    assert run["run"]["events"] == 4
    assert {Path(p.path).name: p.reason for p in problems} == {
        "missing.log": "no such file or folder", "program": "binary file", "empty.log": "empty file"}


def test_a_file_that_vanishes_after_discovery_is_reported(logs: Path) -> None:
    (logs / "esx.log").write_text(esx(range(3)))
    (info,), _ = finding.describe(finding.find([str(logs)])[0])
    (logs / "esx.log").unlink()
    job = ingest.Job(engine(), detector(), str(logs / "lake"), "r", "2026-03-01")
    (result,) = ingest.work(job, [sources.new_piece(info)]).pieces
    assert result.problem == "no such file"
    assert figures.by_file([result]) == []
    with pytest.raises(InputError):
        sources.open_piece(sources.new_piece(info))


def test_truncated_gzip_keeps_what_is_there_and_is_repaired(house: House, logs: Path) -> None:
    lines = "".join(ESX.format(n % 60, random.Random(n).random(), n) for n in range(300)).encode()
    whole = gzip.compress(lines)
    (logs / "esx.log.gz").write_bytes(whole[: len(whole) // 2])
    first, _ = house.run(logs)
    assert 0 < first["run"]["events"] < 300
    assert len(house.quarantined()) == 1
    (logs / "esx.log.gz").write_bytes(whole)
    second, _ = house.run(logs)
    assert len(house.events()) == first["run"]["events"] + second["run"]["events"] == 300
    assert house.quarantined() == []
    assert first["run"]["lines"] + second["run"]["lines"] == 300


def test_a_file_written_to_while_it_is_read_is_read_as_it_was(logs: Path) -> None:
    (logs / "esx.log").write_text(ESX.format(1, 1, 1))
    (info,), _ = finding.describe(finding.find([str(logs)])[0])
    with (logs / "esx.log").open("a") as file:
        file.write("--> late\n" + ESX.format(2, 2, 2))
    (batch,) = sources.read(sources.new_piece(info), engine())
    assert batch.events["event.original"].to_list() == [ESX.format(1, 1, 1).rstrip("\n")]


def test_small_files_share_a_task() -> None:
    pieces = [sources.Piece(f"f{n}", 10, "i", 0, 10, None) for n in range(10)]
    assert [len(task) for task in sources.pack(pieces, 35)] == [3, 3, 3, 1]
