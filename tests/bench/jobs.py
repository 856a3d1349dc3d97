"""`python -m tests.bench.jobs --events 2000000`: what each job costs over 30 days of a large site (jobs_lake.py).

Each row of jobs.json (`job`, `events`, `seconds`, `peak_mib`, `findings`) is a process of its own, on CORES cores: from its start, Spark's
included, to the findings; resident memory of it and all its children. The row `placement` is the fold of the moves to intervals, which a
run does once, before its jobs. `events` are the hits of the lake; a job reads those of its rules.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
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
    return {"job": job, "events": events, "seconds": round(seconds, 1), "peak_mib": round(memory.peak), "findings": json.loads(told)}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, action="append", help="how many; may be repeated (default 2000000)")
    parser.add_argument("--job", action="append", choices=[PLACEMENT, *(job.type for job in JOBS)], help="only these; placement is needed")
    parser.add_argument("--no-save", action="store_true", help="leave jobs.json as it is")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes = options.events or [2_000_000]
    if options.work:
        print(work(options.work, options.folder, sizes[0]))
        return
    rows: list[Row] = []
    for events in sizes:
        with tempfile.TemporaryDirectory() as folder:
            measure("write", Path(folder), events)
            for job in options.job or [PLACEMENT, *(job.type for job in JOBS)]:
                rows.append(measure(job, Path(folder), events))
                print("{job}: {events:,} events, {seconds} s, {peak_mib:,} MiB, {findings:,} findings".format(**rows[-1]), flush=True)
    if not options.no_save:
        old = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
        kept = {(row["job"], row["events"]): row for row in (*old, *rows)}
        RESULTS.write_text(json.dumps([kept[key] for key in sorted(kept)], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
