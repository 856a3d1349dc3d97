"""Ctrl-C on a real terminal, and two runs on one lake."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline import locking
from pipeline.config import Settings
from pipeline.errors import LakeError
from pipeline.run import run
from pipeline.stopping import stoppable
from tests.conftest import ROOT
from tests.lakes import strays, tables

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

LINE = "<166>2026-03-01T10:{:02d}:{:02d}.000Z esx01.example.org Hostd[2099]: info hostd[2100] [Originator@6876 sub=Default opID=a{}] {}\n"
KILL = "<166>2026-03-01T11:05:00.000Z esx01.example.org shell[2099]: [root]: esxcli vm process kill --type=force --world-id=1234\n"
HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
SECONDS = 15  # that a stopped run may take to end on a machine that is busy; one or two are usual, eight the most it waits itself


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, *args: str | Path) -> None:
        self.end, inside = pty.openpty()
        command = [sys.executable, "-m", "pipeline", *map(str, args)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=inside, stdout=inside, stderr=inside, start_new_session=True,
                                        preexec_fn=_own_terminal, env=os.environ | {"TERM": "xterm", "COLUMNS": "100"})
        os.close(inside)
        self.said = ""

    def wait(self, pattern: str | None, seconds: float) -> None:
        """Wait for a text, or for the end."""
        limit = time.monotonic() + seconds
        while pattern is None or not re.search(pattern, self.said):
            ready = select.select([self.end], [], [], max(limit - time.monotonic(), 0))[0]
            assert ready, f"waited {seconds} s for {pattern or 'the end'}: {self.lines()}"
            try:
                data = os.read(self.end, 65536)
            except OSError:  # closed by the other side
                data = b""
            if not data:
                assert pattern is None, f"ended without {pattern}: {self.lines()}"
                return
            self.said += data.decode("utf-8", "replace")

    def lines(self) -> list[str]:
        """What was said, without the signs that move the cursor and without frames of a spinner, which would hide it from a reader."""
        text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.said).replace("\r", "\n")
        return [line for line in text.splitlines() if line.strip() and not re.match(r"[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏] |reading ", line)]

    def press_ctrl_c(self) -> None:
        os.write(self.end, b"\x03")


def _own_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough to be stopped in the middle of."""
    folder = tmp_path_factory.mktemp("logs")
    for part in range(2):
        lines = (LINE.format(n // 60 % 60, n % 60, n, f"part {part}") for n in range(20_000))
        (folder / f"esx{part}.log").write_text("".join(lines) + KILL.replace("1234", str(part)))
    return folder


@pytest.fixture(scope="module")
def expected(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The tables of a run that nothing disturbs."""
    lake = tmp_path_factory.mktemp("expected") / "lake"
    done = subprocess.run([sys.executable, "-m", "pipeline", *map(str, arguments(logs, lake))], cwd=ROOT, capture_output=True, text=True,
                          check=False, timeout=600)
    assert (done.returncode, done.stderr) == (0, "")
    return tables(lake)


def arguments(logs: Path, lake: Path) -> list[str | Path]:
    return ["run", logs, "--lake", lake, "--no-quality", "--range-bytes", "1000000", "--batch-bytes", "3000000"]


@pytest.mark.spark
@pytest.mark.parametrize("moment", ["starting Spark", r"[1-9][0-9,]* lines, [0-9,]+/s", "committing", "correlations"])
def test_ctrl_c(moment: str, logs: Path, expected: dict[str, Any], tmp_path: Path, spark: SparkSession) -> None:
    """It ends soon with one line; what is in the lake is whole, and a second run makes it that of an undisturbed one."""
    lake = tmp_path / "lake"
    terminal = Terminal(*arguments(logs, lake))
    terminal.wait(moment, 180)
    terminal.press_ctrl_c()
    pressed = time.monotonic()
    terminal.wait(None, SECONDS)
    assert terminal.process.wait(SECONDS) == 130
    assert time.monotonic() - pressed < SECONDS
    (line,) = terminal.lines()
    assert re.fullmatch(r"stopped: (run again to go on|(nothing new|[\d,]+ lines of \d+ files) kept in the lake; the next run .+)", line)
    assert terminal.said.rfind(SHOW_CURSOR) >= terminal.said.rfind(HIDE_CURSOR)
    run(Settings(inputs=(str(logs),), lake=str(lake), quality=False), quiet=True, spark=spark)
    assert tables(lake) == expected
    assert strays(lake) == []


def test_a_second_run_on_a_lake_is_refused_before_spark_starts(tmp_path: Path) -> None:
    with locking.held(str(tmp_path / "lake")):
        command = [sys.executable, "-m", "pipeline", "replay", "--lake", str(tmp_path / "lake")]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ | {"JAVA_HOME": "/none"})
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert re.search(rf"pid {os.getpid()} on \S+, since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d UTC, is writing to this lake", done.stderr)


def test_the_lock_goes_with_its_holder(tmp_path: Path) -> None:
    """Also when that is killed."""
    code = f"import time\nfrom pipeline import locking\nwith locking.held({str(tmp_path)!r}):\n print('held', flush=True)\n time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    with pytest.raises(LakeError, match=f"pid {holder.pid} on"), locking.held(str(tmp_path)):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    with locking.held(str(tmp_path)):
        pass
    with locking.held(str(tmp_path)):
        pass


def test_work_that_is_not_stopped_gives_its_result_or_error() -> None:
    def fails() -> None:
        raise LakeError("broken")

    assert stoppable(lambda: 7) == 7
    with pytest.raises(LakeError, match="broken"):
        stoppable(fails)
