"""How good the four jobs are: recall, precision, false alerts and time to alert over seeded data centres, and what each signal is worth.

`python -m tests.scenarios.evaluate` (`make eval`) takes the tuning seeds 0-19 and the held-out seeds 1000-1009, which nothing may be tuned
on (`--tuning` leaves them out), and writes tests/scenarios/results.json. Jobs run as pure functions over the kernel's hits, without Spark.
What each signal is worth is asked of the tuning seeds only: each is judged again without it, from the same signals.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path

import polars as pl

from pipeline.analytics.documents import Ready

from . import generate, memory
from .figures import results, show
from .parts import START
from .scoring import Finding, Planted, Score, Worth, meets, score, worth
from .variants import variants
from .world import World

RESULTS = Path(__file__).parent / "results.json"
TUNING, HELD_OUT = range(20), range(1000, 1010)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
VMS, DAYS = 400, 28
SETTLING = (6, 15, 30, 61)  # minutes after an attack at which to look again: some things are judged by what does not follow
HOUR = 3_600_000_000


@dataclass
class Judged:
    """What is said of one job: its score, and what each of its signals is worth. It adds up."""

    score: Score = field(default_factory=Score)
    worth: dict[str, Worth] = field(default_factory=dict)

    def __iadd__(self, other: Judged) -> Judged:
        self.score += other.score
        for name, one in other.worth.items():
            self.worth.setdefault(name, Worth()).__iadd__(one)
        return self


@cache
def reader() -> memory.Reader:
    """One a process: it compiles rules."""
    return memory.Reader.of(generate.JOBS)


def evaluate_seed(seed: int, quick: bool) -> dict[str, Judged]:
    """What is said of each job over one data centre."""
    world = generate.generate(seed, vms=VMS, days=DAYS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generate.write(world, folder)
        logs, context = sorted((folder / "logs").iterdir()), folder / "context"
        found = memory.read(logs, context, reader(), (context / "geo.mmdb",))
        cases = [Planted.of(label) for label in json.loads((folder / "labels.json").read_text(encoding="utf-8"))]
        return {each.job.type: _job(each, found, cases, world, quick) for each in found.jobs}


def _job(ready: Ready, found: memory.Found, cases: list[Planted], world: World, quick: bool) -> Judged:
    rows = found.signals[ready.job.type]

    def scored(job: Ready, signals: pl.DataFrame) -> tuple[list[Finding], Score]:
        said = list(findings(memory.judged(signals, job, micros(world.end)), found))
        return said, score(ready.job.type, said, cases, VMS, world.end - world.start, world.seed)

    said, whole = scored(ready, rows)
    if quick:
        return Judged(whole)
    for case in cases:
        if case.job == ready.job.type and not case.negative and any(meets(one, case) and one.loud for one in said):
            whole.waits.append(_wait(ready, found, rows, case))
    off = variants(ready, rows, reader().names.values()) if world.seed in TUNING else ()
    return Judged(whole, {name: worth(whole, scored(job, signals)[1]) for name, job, signals in off})


def findings(said: pl.DataFrame, found: memory.Found) -> Iterator[Finding]:
    """Findings with the names of all that they rest on."""
    for row in said.iter_rows(named=True):
        names = {name for event in row["events"] for name in found.names.get(event, ())}
        for step in json.loads(row["steps"] or "[]"):
            names |= {step[key].lower() for key in ("source", "target", "host") if step.get(key)}
        names |= {name.rsplit("\\", 1)[-1] for name in names}
        yield Finding(moment(row["first"]), moment(row["last"]), row["severity"], frozenset(names), row["explanation"])


def _wait(ready: Ready, found: memory.Found, rows: pl.DataFrame, case: Planted) -> float:
    """Seconds from the start of an attack to the first moment at which all that was logged by then makes a loud finding of it."""
    start, until = micros(case.start), int(rows.get_column("time").max())  # type: ignore[arg-type]
    near = rows.filter(pl.col("time") >= start).get_column("time").unique().sort()
    end = micros(case.end)
    later = {end + minutes * 60_000_000 for minutes in SETTLING} | {at + HOUR for at in found.looks if at > end} | {until}
    times = [at for at in near if at <= end + 1] + sorted(at for at in later if at <= until)
    low, high = 0, len(times) - 1
    while low < high:
        middle = (low + high) // 2
        said = memory.judged(rows.filter(pl.col("time") <= times[middle]), ready, times[middle])
        if any(one.loud and meets(one, case) for one in findings(said, found)):
            high = middle
        else:
            low = middle + 1
    return float(times[low] - start) / 1e6


def micros(at: datetime) -> int:
    return int((at - EPOCH).total_seconds() * 1_000_000)


def moment(us: int) -> datetime:
    return datetime.fromtimestamp(us / 1e6, UTC)


def evaluate(seeds: Iterable[int], quick: bool, processes: int) -> dict[str, Judged]:
    """Sums over seeds."""
    total: dict[str, Judged] = {}
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for each in pool.imap_unordered(partial(evaluate_seed, quick=quick), seeds):
            for job, one in each.items():
                total.setdefault(job, Judged()).__iadd__(one)
    return total


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tuning", action="store_true", help="seeds 0-19 only, the held-out ones stay untouched; nothing is written")
    parser.add_argument("--seeds", type=int, nargs="*", help="these seeds; nothing is written")
    parser.add_argument("--quick", action="store_true", help="neither time to alert nor what each signal is worth; nothing is written")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    os.environ.setdefault("POLARS_MAX_THREADS", "1")  # for the processes that are started
    began = time.perf_counter()
    seeds = options.seeds or [*TUNING, *(() if options.tuning else HELD_OUT)]
    found = evaluate(seeds, options.quick, options.processes)
    rows = results({job: (one.score, one.worth) for job, one in found.items()}, seeds)
    print(show(rows))
    print(f"\n{len(seeds)} data centres from {START:%Y-%m-%d} of {VMS} machines and {DAYS} days in {time.perf_counter() - began:.0f} s")
    if not (options.tuning or options.seeds or options.quick):
        RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
