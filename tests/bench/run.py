"""`python -m tests.bench.run --lines 1000000 --source vmware-esxi`: what a file of that size costs, against the committed baseline.json.

frame_s, baseline_s, parse_s and detect_s are seconds of one thread; run_s is the whole `hypervigil run` on two cores, from the start
of the process to tables and report written; peak_mib is the resident memory of that process and all its children, the Java machine
of Spark included (peak_jvm_mib of it). Figures go to results.json, one object per source and size.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from tests.bench.generate import FORMS, generate

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
RESULTS, BASELINE = HERE / "results.json", HERE / "baseline.json"
MEASURED = ("frame_s", "baseline_s", "parse_s", "detect_s", "run_s", "peak_mib", "peak_jvm_mib")
CORES = 2
PAGE, TICKS = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")

Row = dict[str, Any]


def one_thread(source: str, path: Path) -> Row:
    """The measurements of measure.py."""
    command = [sys.executable, "-m", "tests.bench.measure", source, str(path)]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "POLARS_MAX_THREADS": "1"}, stdout=subprocess.PIPE, check=True)
    figures: Row = json.loads(done.stdout)
    return figures


class Memory(threading.Thread):
    """Samples the resident memory of a process and its descendants until told to stop; keeps the peaks in MiB, and the seconds of CPU that
    they had by then.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid, self._ended = pid, threading.Event()
        self.peak = self.peak_jvm = self.cpu = 0.0

    def run(self) -> None:
        while not self._ended.wait(0.1):
            found = family(self._pid)
            self.peak = max(self.peak, sum(each.mib for each in found))
            self.peak_jvm = max(self.peak_jvm, sum(each.mib for each in found if each.name == "java"))
            self.cpu = max(self.cpu, sum(each.cpu for each in found))

    def stop(self) -> None:
        self._ended.set()
        self.join()


class Process(NamedTuple):
    """A process: its resident memory, and the seconds of CPU that it and its children that have ended had."""

    parent: int
    name: str
    mib: float
    cpu: float


def family(root: int) -> list[Process]:
    """A process and all its descendants."""
    found: dict[int, Process] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                before, _, after = (folder / "stat").read_text().rpartition(") ")
            except OSError:  # it has just ended
                continue
            fields = after.split()
            name, cpu = before.partition("(")[2], sum(map(int, fields[11:15])) / TICKS
            found[int(folder.name)] = Process(int(fields[1]), name, int(fields[21]) * PAGE / 2**20, cpu)
    members, size = {root}, 0
    while len(members) > size:
        size = len(members)
        members |= {pid for pid, each in found.items() if each.parent in members}
    return [found[pid] for pid in members if pid in found]


def whole_run(path: Path) -> Row:
    """`hypervigil run` on CORES cores into an empty lake."""
    cores = sorted(os.sched_getaffinity(0))[:CORES]
    with tempfile.TemporaryDirectory() as lake:
        pinned = ["taskset", "--cpu-list", ",".join(map(str, cores))]
        command = [*pinned, sys.executable, "-m", "pipeline", "run", str(path), "--lake", lake, "--json"]
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        memory = Memory(process.pid)
        memory.start()
        code = process.wait()
        seconds = time.perf_counter() - began
        memory.stop()
    if code:
        raise SystemExit(f"hypervigil run ended with {code}")
    return {"run_s": seconds, "peak_mib": memory.peak, "peak_jvm_mib": memory.peak_jvm}


def measure(source: str, lines: int, seed: int, with_run: bool) -> Row:
    """One row of results.json."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{source}.log"
        size = generate(source, lines, path, seed)
        figures = one_thread(source, path) | (whole_run(path) if with_run else {})
    print(f"{source}: {figures['events']:,} events, {figures['recognised']:,} recognised, {figures['hits']:,} hits", file=sys.stderr)
    return {"source": source, "lines": lines, "bytes": size} | {
        name: None if figures.get(name) is None else round(figures[name], 3 if name.endswith("_s") else 0) for name in MEASURED}


def read_rows(path: Path) -> dict[tuple[str, int], Row]:
    """Rows by source and size; none when there is no such file."""
    rows = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return {(row["source"], row["lines"]): row for row in rows}


def table(rows: list[Row], before: dict[tuple[str, int], Row]) -> Table:
    """Every figure, and how it compares with the committed one."""
    result = Table("source", "lines", "MB", *MEASURED, title="against tests/bench/baseline.json")
    for row in rows:
        old = before.get((row["source"], row["lines"]), {})
        figures = (cell(row[name], old.get(name)) for name in MEASURED)
        result.add_row(row["source"], f"{row['lines']:,}", f"{row['bytes'] / 1e6:.0f}", *figures)
    return result


def cell(value: float | None, old: float | None) -> str:
    """A figure and its change in per cent; red from 10 per cent worse."""
    if value is None:
        return "-"
    if not old:
        return f"{value:g}"
    change = value / old - 1
    return f"{value:g} [{'red' if change > 0.1 else 'green' if change < -0.1 else 'dim'}]{change:+.0%}[/]"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", action="append", choices=sorted(path.stem for path in FORMS.glob("*.tsv")), help="may be repeated")
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-run", action="store_true", help="leave out the whole run on Spark")
    parser.add_argument("--save-baseline", action="store_true", help="make these figures the new baseline.json")
    options = parser.parse_args()
    rows = [measure(source, options.lines, options.seed, not options.no_run) for source in options.source or ["vmware-esxi"]]
    kept = read_rows(RESULTS) | {(row["source"], row["lines"]): row for row in rows}
    RESULTS.write_text(json.dumps([kept[key] for key in sorted(kept)], indent=1) + "\n", encoding="utf-8")
    Console(width=200 if not sys.stdout.isatty() else None).print(table(rows, read_rows(BASELINE)))
    if options.save_baseline:
        shutil.copy(RESULTS, BASELINE)


if __name__ == "__main__":
    main()
