"""`python -m tests.bench.jobs --events 2000000 --events 20000000`: what each job costs over 30 days of a large site (jobs_lake.py).

Each row of jobs.json (`job`, `events`, `seconds`, `cpu_s`, `peak_mib`, `findings`) is a process of its own, on CORES cores: from its start,
Spark's included, to the findings; CPU (what the time would be on one core that nobody else uses) and resident memory of it and all its
children. The row `placement` is the fold of the moves to intervals, which a run does once, before its jobs. `events` are the hits of the
lake; a job reads those of its rules. Of several sizes it prints by how much a figure grew, over by how much the events did.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from pipeline.analytics import JOBS
from pipeline.analytics.documents import ready
from pipeline.analytics.engine import findings
from pipeline.analytics.signals import Setting
from pipeline.config import Settings
from pipeline.context import tables
from pipeline.context.document import roles
from pipeline.context.files import read_context
from pipeline.lake import Lake
from pipeline.session import session
from pipeline.sigma.catalogue import load_catalogue
from tests.bench import jobs_lake
from tests.bench.run import CORES, ROOT, Memory

RESULTS = Path(__file__).parent / "jobs.json"
PLACEMENT = "placement"
Row = dict[str, Any]


def work(job: str, folder: Path, events: int) -> int:
    """One measurement, or (`write`) what is measured; returns how many findings there are."""
    settings = Settings(lake=str(folder / "lake"), spark_master=f"local[{CORES}]")
    spark, catalogue = session(settings), load_catalogue()
    lake = Lake(spark, settings.lake_url)
    if job == "write":
        jobs_lake.write(lake, catalogue, events)
        jobs_lake.write_context(folder / "context")
        return 0
    context = read_context(folder / "context")
    days = {(jobs_lake.START + timedelta(days=day)).date() for day in range(jobs_lake.DAYS)}
    if job == PLACEMENT:
        shutil.rmtree(folder / "lake" / "placement")
        lake.create()
        tables.refresh(lake, roles(catalogue.jobs), context, days, "bench")
        return 0
    (one,) = (each for each in ready(catalogue.jobs, context.policies) if each.job.type == job)
    setting = Setting(jobs_lake.START + timedelta(days=jobs_lake.DAYS), {rule.id: rule.name or rule.path.stem for rule in catalogue.rules},
                      placement=tables.placed(lake), principals=context.identities.principals, inventory=context.inventory)
    return sum(found.height for found in findings(lake.read("hits"), [one], setting).values())


def measure(job: str, folder: Path, events: int) -> Row:
    """One row of jobs.json."""
    cores = sorted(os.sched_getaffinity(0))[:CORES]
    command = ["taskset", "--cpu-list", ",".join(map(str, cores)), sys.executable, "-m", "tests.bench.jobs", "--events", str(events),
               "--work", job, "--folder", str(folder)]
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE)
    memory = Memory(process.pid)
    memory.start()
    told = process.communicate()[0]
    seconds = time.perf_counter() - began
    memory.stop()
    if process.returncode:
        raise SystemExit(f"{job} ended with {process.returncode}")
    return {"job": job, "events": events, "seconds": round(seconds, 1), "cpu_s": round(memory.cpu, 1), "peak_mib": round(memory.peak),
            "findings": json.loads(told)}


def growth(rows: Sequence[Row], figure: str) -> dict[str, float]:
    """By job, from its smallest to its largest lake: by how much a figure became more, over by how much the events did."""
    found = {}
    for job in dict.fromkeys(row["job"] for row in rows):
        sizes = sorted((row["events"], row[figure]) for row in rows if row["job"] == job)
        (few, short), (many, long) = sizes[0], sizes[-1]
        if many > few:
            found[job] = round(long / short / (many / few), 2)
    return found


def save(row: Row) -> list[Row]:
    """The file with one row more, or in place of that of the same job and size."""
    old = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    kept = {(each["job"], each["events"]): each for each in (*old, row)}
    rows = [kept[key] for key in sorted(kept)]
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return rows


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, action="append", help="how many; may be repeated (default 2000000)")
    parser.add_argument("--job", action="append", choices=[PLACEMENT, *(job.type for job in JOBS)], help="only these; placement is needed")
    parser.add_argument("--folder", type=Path, help="where lakes are kept for another time (default: they are not)")
    parser.add_argument("--no-save", action="store_true", help="leave jobs.json as it is")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes = options.events or [2_000_000]
    if options.work:
        print(work(options.work, options.folder, sizes[0]))
        return
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as temporary:
        for events in sizes:
            folder = (options.folder or Path(temporary)) / str(events)
            if not folder.exists():
                measure("write", folder, events)
            for job in options.job or [PLACEMENT, *(job.type for job in JOBS)]:
                row = measure(job, folder, events)
                rows = [*rows, row] if options.no_save else save(row)
                print("{job}: {events:,} events, {seconds} s, {cpu_s} s of CPU, {peak_mib:,} MiB, {findings:,} findings".format(**row),
                      flush=True)
    for figure in ("seconds", "cpu_s"):
        for job, times in growth(rows, figure).items():
            print(f"{job}: {figure} grows {times} x linearly")


if __name__ == "__main__":
    main()
