"""Bad input through the command: each ends in a clear message or a quarantine row, and stops nothing else."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.lakes import rows

LINE = "<166>2026-03-01T10:00:{:02d}.000Z esx01.example.org Hostd[2099]: info hostd[2100] [Originator@6876 sub=Default opID=a] {}\n"
KILL = "<166>2026-03-01T10:05:00.000Z esx01.example.org shell[2099]: [root]: esxcli vm process kill --type=force --world-id=1234\n"
CLOUD = ('{"Records":[{"eventVersion":"1.08","eventName":"StopInstances","eventSource":"ec2.amazonaws.com","awsRegion":"eu-west-1",'
         '"eventTime":"2026-03-01T10:00:00Z","userIdentity":{"type":"Root"}},{"eventVersion":"1.08","eventNa')
RULE = """title: {title}
id: {id}
status: test
logsource: {{product: vmware, service: esxi}}
detection:
  sel:
    {selection}
  condition: sel
level: high
"""


def text(name: str) -> str:
    """Five lines that say which file they are of, so that no file is another's copy."""
    return "".join(LINE.format(n, f"{name} {n}") for n in range(5))


def squeezed(lines: int) -> bytes:
    """A gzip file that does not get small."""
    return gzip.compress("".join(LINE.format(n % 60, random.Random(n).random()) for n in range(lines)).encode())


# name -> its bytes, how many events it gives at least, and the reason in problems or quarantine (None: nothing to complain of)
FILES: dict[str, tuple[bytes, int, str | None]] = {
    "good.log": (text("good").encode() + KILL.encode(), 6, None),
    "program": (bytes(range(256)) * 100, 0, "binary file"),
    "zeros.log": (bytes(5000), 0, "binary file"),
    "truncated.log.gz": (squeezed(300)[:2000], 20, "damaged gzip file: ends before its end mark"),
    "header-only.log.gz": (squeezed(300)[:10], 0, "damaged gzip file: ends before its end mark"),
    "not-gzip.log.gz": (b"\x1f\x8b is how gzip begins", 0, "damaged gzip file"),
    "not-zstd.log.zst": (b"\x28\xb5\x2f\xfd is how zstd begins", 0, "damaged zstd file"),
    "latin1.log": (text("caf\xe9").encode("latin-1"), 5, None),
    "nul.log": (text("nul").encode() + b"x\x00y\n", 5, "binary: NUL bytes"),
    "empty.log": (b"", 0, "empty file"),
    "empty.log.gz": (gzip.compress(b""), 0, "empty file"),
    "blank.log": (b"\n\n\n", 0, None),
    "long.log": (text("long").encode() + b"A" * (1 << 20) + b"\n" + LINE.format(9, "after").encode(), 7, None),
    "crlf.log": (text("crlf").replace("\n", "\r\n").encode(), 5, None),
    "bom.log": (b"\xef\xbb\xbf" + text("bom").encode(), 5, None),
    "utf16.log": (text("utf-16").encode("utf-16"), 5, None),
    "utf16-cut.log": (text("utf-16 cut").encode("utf-16")[:-3], 5, None),
    "broken.json": (CLOUD.encode(), 1, "broken JSON"),
    "[odd] name #%41?\n.log": (text("odd name").encode(), 5, None),
}
# What is wrong with the file system and not with the bytes.
ODD: dict[str, tuple[Callable[[Path], object], str]] = {
    "locked.log": (lambda path: [path.touch(), path.chmod(0)], "Permission denied"),  # type: ignore[func-returns-value]
    "locked": (lambda path: path.mkdir(mode=0), "Permission denied"),
    "memory.log": (lambda path: path.symlink_to("/proc/self/mem"), "Input/output error"),  # opens, and fails at the first read
    "pipe.log": (os.mkfifo, "neither a file nor a folder"),
    "circle.log": (lambda path: path.symlink_to(path.name), "Too many levels of symbolic links"),
    "name\udcff.log": (lambda path: path.write_text(text("name")), "not UTF-8"),
}
BAD_RULES = {
    "syntax.yml": ("title: [never closed\nid: x\n", "not valid YAML"),
    "field.yml": (RULE.format(title="Unknown field", id="10000000-0000-4000-8000-0000000000f1", selection="user.nmae: root"),
                  "unknown field 'user.nmae'"),
    "binary.yml": ("title: \x00\x01\n", "not valid YAML"),
}
GOOD_RULE = RULE.format(title="Says good", id="10000000-0000-4000-8000-0000000000f2", selection="event.original|contains: good 3")
POWERS = "-dac_override,-dac_read_search"  # with which root reads and writes what it has no permission for


def as_anybody() -> list[str]:
    """What to put before a command so that permissions hold for it, also where the tests run as root."""
    if os.geteuid() != 0:
        return []
    command = ["setpriv", f"--bounding-set={POWERS}", f"--inh-caps={POWERS}"]
    if not shutil.which("setpriv") or subprocess.run([*command, "true"], check=False).returncode:
        pytest.skip("root without setpriv: there is nothing it may not read")
    return command


def hypervigil(*args: str | Path, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*as_anybody(), sys.executable, "-m", "pipeline", *map(str, args)], cwd=cwd, capture_output=True, text=True,
                          check=False, env=os.environ | environment, errors="replace")


def assert_no_stack_trace(said: str) -> None:
    for sign in ("Traceback", '  File "', "\tat ", "Exception", "Caused by"):
        assert sign not in said, said


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with wrong rules among the right ones."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "pipeline", folder / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "detections", folder / "detections")
    (folder / "parsers").symlink_to(ROOT / "parsers")
    for name, (rule, _) in BAD_RULES.items():
        (folder / "detections/hardening" / name).write_text(rule)
    (folder / "detections/hardening/good.yml").write_text(GOOD_RULE)
    return folder


@dataclass
class Run:
    """One run over everything bad."""

    logs: Path
    lake: Path
    done: subprocess.CompletedProcess[str]

    @property
    def result(self) -> dict[str, Any]:
        result: dict[str, Any] = json.loads(self.done.stdout)
        return result

    def said_of(self, name: str) -> str:
        """Every reason given for a path, in problems and in quarantine."""
        path = str(self.logs / name).encode(errors="surrogateescape").decode(errors="replace")
        return "; ".join(row["reason"] for row in [*self.result["problems"], *self.result["quarantine"]] if row["path"] == path)


@pytest.fixture(scope="module")
def run(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("bad")
    logs = folder / "logs"
    logs.mkdir()
    for name, (data, *_) in FILES.items():
        (logs / name).write_bytes(data)
    for name, (make, _) in ODD.items():
        make(logs / name)
    (logs / "again").symlink_to(logs)  # a folder that holds itself
    done = hypervigil("run", logs, folder / "missing", "--lake", folder / "lake", "--json", "--no-quality", cwd=checkout)
    return Run(logs, folder / "lake", done)


@pytest.mark.spark
def test_a_run_over_everything_bad_ends_well(run: Run) -> None:
    assert run.done.returncode == 0, run.done.stderr
    assert_no_stack_trace(run.done.stderr)
    numbers = run.result["run"]
    assert numbers["lines"] == numbers["events"] + numbers["quarantined"] + numbers["joined"]


@pytest.mark.spark
@pytest.mark.parametrize("name", FILES)
def test_each_file_gives_what_it_has_and_says_what_it_lacks(run: Run, name: str) -> None:
    _, events, reason = FILES[name]
    said = run.said_of(name)
    assert (reason or "") in said and bool(said) == bool(reason), said
    found = [row for row in rows(run.lake, "events") if str(row[0]).rsplit("-", 1)[0] in {r[0] for r in rows(run.lake, "files") if
             r[1] == str(run.logs / name)}]
    assert len(found) >= events and (len(found) == events or name == "truncated.log.gz")


@pytest.mark.spark
@pytest.mark.parametrize("name", ODD)
def test_what_the_system_refuses_is_said_of_each_path(run: Run, name: str) -> None:
    assert ODD[name][1] in run.said_of(name)


@pytest.mark.spark
def test_a_missing_input_and_wrong_rules_are_named_and_the_others_work(run: Run) -> None:
    problems = {Path(p["path"]).name: p["reason"] for p in run.result["problems"]}
    assert problems["missing"] == "no such file or folder"
    for name, (_, message) in BAD_RULES.items():
        ((said, reason),) = [(path, reason) for path, reason in problems.items() if path.startswith(name)]
        assert message in reason
        assert said != name or name == "binary.yml", "the line is named"
    assert {"Says good"} <= {alert["rule"]["name"] for alert in run.result["alerts"]}


def test_strict_refuses_a_wrong_rule(checkout: Path, tmp_path: Path) -> None:
    done = hypervigil("run", ROOT / "sample_logs", "--lake", tmp_path / "lake", "--strict", cwd=checkout)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert_no_stack_trace(done.stderr)


def test_check_names_every_wrong_rule_with_its_line(checkout: Path) -> None:
    done = hypervigil("check", cwd=checkout)
    assert done.returncode == 1
    assert_no_stack_trace(done.stderr)
    for name, (_, message) in BAD_RULES.items():
        assert any(f"hardening/{name}" in line and message in line for line in done.stderr.splitlines()), done.stderr


def test_parse_leaves_wrong_rules_out(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "esx.log").write_text(text("good"))
    done = hypervigil("parse", "--hits", tmp_path / "esx.log", cwd=checkout)
    assert done.returncode == 0
    assert [json.loads(line).get("hits", []) for line in done.stdout.splitlines()][3] == ["Says good"]
    assert done.stderr.count("left out") == len(BAD_RULES)


@pytest.mark.parametrize(("args", "message"), [
    (["/nonexistent/logs"], "no such file or folder"),
    (["/proc/1/root"], "Permission denied"),
    ([ROOT / "sample_logs", "--lake", ROOT / "LICENSE"], "a file, where the folder of the lake should be"),
    ([ROOT / "sample_logs", "--lake", "/proc/lake"], "No such file or directory"),
    ([ROOT / "sample_logs", "--lake", "nosuch://bucket/lake"], "Unrecognized filesystem type"),
    ([ROOT / "sample_logs", "--since", "yesterday"], "since = 'yesterday'"),
    ([ROOT / "sample_logs", "--timezone", "Nowhere/Land"], "no such zone"),
    ([ROOT / "sample_logs", "--geoip", ROOT / "README.md"], "is not in MaxMind's format"),
    ([ROOT / "sample_logs", "--parser", "nothing"], "unknown parser 'nothing'"),
])
def test_what_cannot_work_is_one_line_before_spark_starts(tmp_path: Path, args: list[str | Path], message: str) -> None:
    lake: list[str | Path] = [] if "--lake" in args else ["--lake", tmp_path / "lake"]
    done = hypervigil("run", *args, *lake, JAVA_HOME="/nonexistent", PATH="/usr/bin:/bin")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert message in done.stderr and "Spark does not start" not in done.stderr
    assert_no_stack_trace(done.stderr)


def test_a_lake_that_is_not_writable(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir(mode=0o555)
    done = hypervigil("run", ROOT / "sample_logs", "--lake", tmp_path / "lake")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "Permission denied" in done.stderr


def test_wrong_settings_in_environment_and_file(tmp_path: Path) -> None:
    done = hypervigil("run", tmp_path, HYPERVIGIL_RANGE_BYTES="many")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1) and "range_bytes = 'many'" in done.stderr
    (tmp_path / "hypervigil.toml").write_text("lake = [\n")
    done = hypervigil("run", tmp_path, cwd=tmp_path, PYTHONPATH=str(ROOT))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1) and "hypervigil.toml: not valid TOML" in done.stderr
