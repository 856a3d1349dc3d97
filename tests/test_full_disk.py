"""A disk that gets full, at every point of a run: one clear message, and after space is made the tables of a run that never failed.

The disk is a real one, of memory; only when it gets full is staged.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline import run as spine
from pipeline.config import Settings
from pipeline.errors import LakeError
from pipeline.lake import Lake
from pipeline.progress import Progress
from tests.conftest import ROOT
from tests.lakes import strays, tables
from tests.test_bad_input import assert_no_stack_trace

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

HEAD = "<166>2026-03-0{}T10:00:{:02d}.000Z esx01.example.org "
LINE = HEAD + "Hostd[2099]: info hostd[2100] [Originator@6876 sub=Default opID=a] Message {}\n"
KILL = HEAD + "shell[2099]: [root]: esxcli vm process kill --type=force --world-id=1234\n"


class Disk:
    """A small disk that can be filled and freed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fill(self, left: int = 0) -> None:
        """Leave some bytes free."""
        free = os.statvfs(self.path).f_bavail * os.statvfs(self.path).f_frsize
        (self.path / "ballast").write_bytes(bytes(max(free - left, 0)))

    def free(self) -> None:
        (self.path / "ballast").unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(path)], capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no disk to fill: {mounted.stderr.strip() or 'mount failed'} (needs root)")
    yield Disk(path)
    subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Events of two days, hits, a quarantined line; in two files, so that two tasks write."""
    folder = tmp_path_factory.mktemp("logs")
    for day in (1, 2):
        text = "".join(LINE.format(day, n, n) for n in range(40)) + KILL.format(day, 50) + "x\x00y\n"
        (folder / f"esx{day}.log").write_text(text)
    return folder


def settings(logs: Path, lake: Path, quality: bool = False) -> Settings:
    return Settings(inputs=(str(logs),), lake=str(lake), range_bytes=2000, quality=quality)


@pytest.fixture(scope="module")
def expected(logs: Path, tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> dict[str, Any]:
    """The tables of a run that never failed."""
    lake = tmp_path_factory.mktemp("expected") / "lake"
    spine.run(settings(logs, lake), quiet=True, spark=spark)
    found = tables(lake)
    assert all(found.values()), "a table without rows proves nothing"
    return found


def before(patch: pytest.MonkeyPatch, owner: Any, name: str, act: Callable[[], None], table: str | None = None) -> None:
    """Do something before every call of a function (before those about one table, if one is given)."""
    original = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if table is None or table in args:
            act()
        return original(*args, **kwargs)

    patch.setattr(owner, name, wrapped)


def stage(patch: pytest.MonkeyPatch, wanted: str, act: Callable[[], None]) -> None:
    def wrapped(state: spine.State, work: spine.Stage) -> None:
        act()
        work(state)

    patch.setattr(spine, "STAGES", tuple(
        (name, (lambda state, work=work: wrapped(state, work)) if name == wanted else work) for name, work in spine.STAGES))


POINTS: dict[str, Callable[[pytest.MonkeyPatch, Callable[[], None]], None]] = {
    "the lake is made": lambda patch, act: before(patch, Lake, "create", act),
    "the run is noted": lambda patch, act: before(patch, Lake, "begin", act),
    "workers write": lambda patch, act: before(patch, Progress, "tasks", act),
    "a commit begins": lambda patch, act: before(patch, Lake, "commit", act),
    "the first table is committed": lambda patch, act: before(patch, Lake, "_add", act, "events"),
    "the ledger is committed": lambda patch, act: before(patch, Lake, "_add", act, "files"),
    "alerts are committed": lambda patch, act: before(patch, Lake, "_add", act, "alerts"),
    "quality is documented": lambda patch, act: stage(patch, "quality", act),
    "the run is recorded": lambda patch, act: before(patch, Lake, "_add", act, "runs"),
    "the report is written": lambda patch, act: before(patch, spine, "write_report", act),
}


@pytest.mark.parametrize("points", [tuple(POINTS)[:5], tuple(POINTS)[5:]], ids=["until a commit", "from a commit on"])
def test_a_disk_that_is_full_at(points: Sequence[str], disk: Disk, logs: Path, expected: dict[str, Any], spark: SparkSession) -> None:
    """Every run mends what the one before left, and fails further on: if it did not, it would not come there."""
    lake = disk.path / "lake"
    for point in points:
        with pytest.MonkeyPatch.context() as patch:
            POINTS[point](patch, disk.fill)
            with pytest.raises(LakeError, match="No space left on device") as failed:
                spine.run(settings(logs, lake, quality="quality" in point), quiet=True, spark=spark)
        assert str(failed.value).count("\n") == 0 and len(str(failed.value)) < 400, point
        assert "in the lake" in failed.value.__notes__[0], point
        assert all(row in expected[table] for table, found in tables(lake).items() for row in found), point
        disk.free()
    spine.run(settings(logs, lake), quiet=True, spark=spark)
    assert tables(lake) == expected
    assert strays(lake) == []
    assert (lake / "report.html").read_text(encoding="utf-8").rstrip().endswith("</html>")


def test_the_command_says_it_in_a_line_and_exits_1(disk: Disk, logs: Path, expected: dict[str, Any], spark: SparkSession) -> None:
    """Whatever is full first, in processes of their own, with what Java would print."""
    command = [sys.executable, "-m", "pipeline", "run", str(logs), "--lake", str(disk.path / "lake"), "--range-bytes", "2000"]
    for left in (0, 60_000, 200_000):
        disk.fill(left)
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 1, done.stdout + done.stderr
        assert "No space left on device" in done.stderr and done.stderr.startswith("error: ") and done.stderr.count("\n") <= 2
        assert_no_stack_trace(done.stderr)
        disk.free()
    spine.run(settings(logs, disk.path / "lake"), quiet=True, spark=spark)
    assert tables(disk.path / "lake") == expected


def test_no_room_for_sparks_own_files(disk: Disk, logs: Path, tmp_path: Path) -> None:
    disk.fill()
    done = subprocess.run([sys.executable, "-m", "pipeline", "run", str(logs), "--lake", str(tmp_path / "lake")], cwd=ROOT, check=False,
                          capture_output=True, text=True, env=os.environ | {"SPARK_LOCAL_DIRS": str(disk.path)})
    assert done.returncode == 1
    told, kept = done.stderr.splitlines()
    assert told.startswith("error: ") and "No space left on device" in told
    assert kept == "nothing new kept in the lake; the next run goes on from there"
