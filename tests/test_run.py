"""The spine on Spark: one run, the same run again, a file that grew, an interrupted commit, replay."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from pipeline import ingest, sources
from pipeline import run as spine
from pipeline.config import Settings
from pipeline.errors import ContentError
from pipeline.lake import Lake
from pipeline.progress import Progress
from tests.lakes import strays

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

LINE = "<166>2026-03-01T10:00:{:02d}.000Z esx01.example.org Hostd[2099]: info hostd[2100] [Originator@6876 sub=Default opID=a] Message {}\n"
SHELL = "<166>2026-03-01T10:05:00.000Z esx01.example.org shell[2099]: [root]: esxcli vm process kill --type=force --world-id=1234\n"


class Place:
    """A folder of logs and its lake."""

    def __init__(self, folder: Path, spark: SparkSession) -> None:
        self.logs, self.spark = folder / "logs", spark
        self.logs.mkdir(parents=True)
        self.settings = Settings(inputs=(str(self.logs),), lake=str(folder / "lake"), quality=False)
        self.lake = Lake(spark, self.settings.lake_url)

    def run(self, **changes: Any) -> spine.Result:
        return spine.run(self.settings.model_copy(update=changes), quiet=True, spark=self.spark)

    def ids(self, table: str) -> list[str]:
        key = "id" if table in ("quarantine", "alerts") else "event.id"
        return sorted(row[0] for row in self.lake.read(table).select(key).collect())


@pytest.fixture(scope="module")
def done(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, spine.Result]]:
    """A lake after one run over good, broken and useless files."""
    place = Place(tmp_path_factory.mktemp("run"), spark)
    (place.logs / "esx.log").write_text("".join(LINE.format(n, n) for n in range(20)) + LINE.format(1, 1) * 2 + "--> joined\n" + SHELL)
    (place.logs / "broken.log").write_bytes(LINE.format(3, 99).encode() + b"x\x00y\n" + LINE.format(4, 99).encode())
    (place.logs / "empty.log").write_text("")
    (place.logs / "program").write_bytes(bytes(range(256)) * 100)
    yield place, place.run(quality=True)


def test_lines_are_events_joined_or_quarantined(done: tuple[Place, spine.Result]) -> None:
    place, result = done
    numbers = result.figures["run"]
    assert (numbers["lines"], numbers["events"], numbers["joined"], numbers["quarantined"]) == (27, 25, 1, 1)
    assert len(place.ids("events")) == len(set(place.ids("events"))) == 25
    assert [q["reason"] for q in result.figures["quarantine"]] == ["binary: NUL bytes"]
    assert [Path(p["path"]).name for p in result.figures["problems"]] == ["empty.log", "program"]
    for row in result.figures["sources"]:
        assert row["lines"] == row["events"] + row["joined"] + row["quarantined"]


def test_alerts_report_and_quality(done: tuple[Place, spine.Result]) -> None:
    place, result = done
    assert result.alerts
    assert place.ids("alerts") == sorted(alert.id for alert in result.alerts)
    assert set(place.ids("hits")) <= set(place.ids("events"))
    assert result.report is not None and "<html" in result.report.read_text(encoding="utf-8")
    assert result.figures["quality"]["suites"]["vmware.esxi"]["checks"] == 9
    assert Path(result.figures["quality"]["docs"]).exists()
    assert orjson.loads(orjson.dumps(result.as_dict()))["alerts"][0]["id"] == result.alerts[0].id


def test_event_columns_can_be_read_and_dates_prune(done: tuple[Place, spine.Result]) -> None:
    place, _ = done
    rows = place.lake.read("events").where("date = '2026-03-01' and event.dataset = 'vmware.esxi'")
    assert rows.select("`@timestamp`", "vm.name", "tags").count() == 25


def test_second_run_and_growth(done: tuple[Place, spine.Result], tmp_path: Path, spark: SparkSession) -> None:
    place = Place(tmp_path, spark)
    shutil.copy(done[0].logs / "esx.log", place.logs / "esx.log")
    place.run()
    before = {table: place.ids(table) for table in ("events", "hits", "alerts")}
    assert place.run().figures["run"]["lines"] == 0
    assert {table: place.ids(table) for table in before} == before
    with (place.logs / "esx.log").open("a") as file:
        file.write("--> of the last record\n" + LINE.format(30, 30))
    grown = place.run().figures["run"]
    assert (grown["lines"], grown["events"], grown["joined"]) == (2, 1, 1)
    assert len(place.ids("events")) == len(before["events"]) + 1
    assert place.lake.read("events").where("event.original like '%of the last record%'").count() == 1


def test_an_interrupted_commit_is_finished_by_the_next_run(tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(tmp_path, spark)
    (place.logs / "esx.log").write_text(LINE.format(1, 1) + "a\x00b\n" + SHELL)
    add = Lake._add

    def dies_at_the_ledger(self: Lake, table: str, *rest: Any) -> None:
        if table == "files":
            raise KeyboardInterrupt
        add(self, table, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "_add", dies_at_the_ledger)
        with pytest.raises(KeyboardInterrupt):
            place.run()
    assert place.run().figures["run"]["lines"] == 0
    assert (len(place.ids("events")), len(place.ids("quarantine"))) == (2, 1)


def test_replay_moves_what_passes(tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(tmp_path, spark)
    (place.logs / "esx.log").write_text(LINE.format(1, 1) + "a\x00b\n" + "\x01\x02\n")
    place.run()
    refused = place.ids("quarantine")
    from pipeline.kernel import gate

    def only_nul(records: Any, *, json: bool) -> Any:
        import polars as pl

        return gate._split(records, {"binary: NUL bytes": pl.col("raw").str.contains("\x00", literal=True)})

    monkeypatch.setattr(gate, "split_broken", only_nul)
    numbers = spine.replay(place.settings, quiet=True, spark=spark)
    assert (numbers["replayed"], numbers["events"], numbers["quarantined"]) == (2, 1, 1)
    assert set(place.ids("quarantine")) < set(refused)
    assert set(refused) - set(place.ids("quarantine")) <= set(place.ids("events"))


def test_wrong_settings_are_refused(tmp_path: Path, spark: SparkSession) -> None:
    place = Place(tmp_path, spark)
    with pytest.raises(ContentError, match="unknown parser"):
        place.run(parser="nothing")


def test_the_data_source_gives_the_same_events(done: tuple[Place, spine.Result], spark: SparkSession) -> None:
    from pipeline.sources import HypervigilSource

    spark.dataSource.register(HypervigilSource)
    rows = spark.read.format("hypervigil").option("rangeBytes", 400).load(str(done[0].logs))
    assert sorted(row[0] for row in rows.select("event.id").collect()) == done[0].ids("events")


class Failing:
    """A file on a disk with a bad block."""

    def __init__(self, file: Any, good: int) -> None:
        self.file, self.good = file, good

    def read(self, size: int = -1) -> bytes:
        data: bytes = self.file.read(size)
        if self.file.tell() > self.good:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return data

    def __enter__(self) -> Failing:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def test_a_file_that_fails_half_way_is_left_out_whole_and_stops_no_other(
        tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first ranges are read and written beside the rows of others before the bad block comes."""
    place = Place(tmp_path, spark)
    (place.logs / "a.log").write_text("".join(LINE.format(n, f"a{n}") for n in range(20)))
    (place.logs / "bad.log").write_text("".join(LINE.format(n, f"bad{n}") for n in range(50)))
    (place.logs / "c.log").write_text("".join(LINE.format(n, f"c{n}") for n in range(20)))

    def opens(piece: sources.Piece) -> Any:
        info, opened = sources.open_piece(piece)
        if info.path.endswith("bad.log") and piece.start >= 3000:  # the kernel reads far ahead: earlier ranges must not see the block
            failing: Any = Failing(opened.file, 5000)
            opened = replace(opened, file=failing)
        return info, opened

    def in_this_process(_self: Progress, _spark: SparkSession, tasks: list[list[sources.Piece]], job: Any, *_: Any) -> Any:
        results = [ingest.work(job.value, pieces) for pieces in tasks]
        read.append(results)
        return results

    read: list[Any] = []
    with monkeypatch.context() as patch:
        patch.setattr(ingest, "open_piece", opens)
        patch.setattr(Progress, "tasks", in_this_process)
        result = place.run(range_bytes=1000)
    assert result.figures["run"]["events"] == len(place.ids("events")) == 40
    ((problem,)) = result.figures["problems"]
    assert problem["path"].endswith("bad.log") and "Input/output error" in problem["reason"]
    assert len(read) == 2, "read again without it"
    assert strays(tmp_path / "lake") == []
    assert place.run().figures["run"]["events"] == 50
    assert len(set(place.ids("events"))) == len(place.ids("events")) == 90
