"""How good the four jobs are: recall, precision, false alerts and time to alert over seeded data centres, and what each signal is worth.

`python -m tests.scenarios.evaluate` (`make eval`) takes the tuning seeds 0-19 and the held-out seeds 1000-1009, which nothing may be tuned
on (`--tuning` leaves them out), and writes tests/scenarios/results.json. Jobs run as pure functions over the kernel's hits, without Spark.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.analytics.documents import Ready

from . import generate, memory
from .parts import START
from .scoring import Finding, Planted, Score, meets, score
from .variants import variants
from .world import World

RESULTS = Path(__file__).parent / "results.json"
TUNING, HELD_OUT = range(20), range(1000, 1010)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
VMS, DAYS = 400, 28
SETTLING = (6, 15, 30, 61)  # minutes after an attack at which to look again: some things are judged by what does not follow
HOUR = 3_600_000_000


@cache
def reader() -> memory.Reader:
    """One a process: it compiles rules."""
    return memory.Reader.of(generate.JOBS)


def evaluate_seed(seed: int, quick: bool) -> dict[str, dict[str, Score]]:
    """Scores of one data centre: job -> variant ("" is the job as it is) -> score."""
    world = generate.generate(seed, vms=VMS, days=DAYS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generate.write(world, folder)
        logs, context = sorted((folder / "logs").iterdir()), folder / "context"
        found = memory.read(logs, context, reader(), (context / "geo.mmdb",))
        cases = [Planted.of(label) for label in json.loads((folder / "labels.json").read_text(encoding="utf-8"))]
        return {each.job.type: _job(each, found, cases, world, quick) for each in found.jobs}


def _job(ready: Ready, found: memory.Found, cases: list[Planted], world: World, quick: bool) -> dict[str, Score]:
    rows = found.signals[ready.job.type]
    until = micros(world.end)
    every = [("", ready, rows), *(() if quick else variants(ready, rows))]
    whole = [(name, memory.judged(part, other, until)) for name, other, part in every]
    scores = {name: score(ready.job.type, list(findings(said, found)), cases, VMS, world.end - world.start, world.seed)
              for name, said in whole}
    said = list(findings(whole[0][1], found))
    for case in cases if not quick else ():
        if case.job == ready.job.type and not case.negative and any(meets(one, case) and one.loud for one in said):
            scores[""].waits.append(_wait(ready, found, rows, case))
    return scores


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


def evaluate(seeds: Iterable[int], quick: bool, processes: int) -> dict[str, dict[str, Score]]:
    """Sums over seeds."""
    total: dict[str, dict[str, Score]] = {}
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for scores in pool.imap_unordered(partial(evaluate_seed, quick=quick), seeds):
            for job, variant in scores.items():
                for name, one in variant.items():
                    total.setdefault(job, {}).setdefault(name, Score()).__iadd__(one)
    return total


def results(scores: dict[str, dict[str, Score]], seeds: list[int]) -> list[dict[str, Any]]:
    """One object a job, as results.json has them."""
    return [{"job": job, "seeds": seeds, "recall": round(one[""].recall, 4), "precision": round(one[""].precision, 4),
             "false_high_per_1000_vm_weeks": round(one[""].false_per_1000_vm_weeks, 3),
             "time_to_alert_s": round(statistics.median(one[""].waits), 1) if one[""].waits else None,
             "attacks": one[""].attacks, "found": one[""].found, "missed": sorted(one[""].missed), "noisy_negatives": sorted(one[""].noisy),
             "false": sorted(one[""].false),
             "ablation": [{"without": name, "recall": round(other.recall, 4), "precision": round(other.precision, 4),
                           "false_high_per_1000_vm_weeks": round(other.false_per_1000_vm_weeks, 3)}
                          for name, other in sorted(one.items()) if name]}
            for job, one in sorted(scores.items())]


def show(rows: list[dict[str, Any]]) -> str:
    """The figures in words."""
    lines = [f"{'job':16} {'recall':>7} {'precision':>9} {'false High/Critical':>20} {'time to alert':>14}",
             f"{'':16} {'':7} {'':9} {'per 1,000 VM-weeks':>20} {'median':>14}"]
    for row in rows:
        wait = f"{row['time_to_alert_s']:,.0f} s" if row["time_to_alert_s"] is not None else "-"
        lines.append(f"{row['job']:16} {row['recall']:7.3f} {row['precision']:9.3f} {row['false_high_per_1000_vm_weeks']:20.2f} {wait:>14}")
    for row in rows:
        lines += ["", f"{row['job']}: {row['found']} of {row['attacks']} attacks found"]
        lines += [f"  missed {each}" for each in row["missed"]] + [f"  negative told {each}" for each in row["noisy_negatives"]]
        lines += [f"  false {each[:150]}" for each in row["false"][:5]]
        lines += [f"  without {each['without']}: recall {each['recall'] - row['recall']:+.3f}, precision "
                  f"{each['precision'] - row['precision']:+.3f}" for each in row["ablation"]]
    return "\n".join(lines)


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
    rows = results(evaluate(seeds, options.quick, options.processes), seeds)
    print(show(rows))
    print(f"\n{len(seeds)} data centres from {START:%Y-%m-%d} of {VMS} machines and {DAYS} days in {time.perf_counter() - began:.0f} s")
    if not (options.tuning or options.seeds or options.quick):
        RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
