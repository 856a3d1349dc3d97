"""`python -m tests.bench.correlate --lines 1000000`: what correlations cost as hits grow and as one group holds most of them.

The events are generated ESXi lines on which no rule fires; the hits among them are the lines of the cases of our own base rules, spread
over a day, hosts and machines (`even`), or half of them on one host (`hot`). Each row of correlate.json (`events`, `hits`, `shape`,
`correlate_s`, `run_s`) is one `hypervigil run` into an empty lake: seconds of its stage "correlations", and of the whole process.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.kernel.engine import Engine
from pipeline.sigma.cases import load_cases
from pipeline.sigma.catalogue import load_catalogue
from tests.bench.generate import generate

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "correlate.json"
SOURCE = "vmware-esxi"
START = datetime(2026, 3, 1, 10, tzinfo=UTC)
HOSTS, MACHINES, USERS = 200, 5000, 50
_LINE = re.compile(r"^(<\d+>)?(?:1 )?\d{4}-\d\d-\d\dT[\d:.]+Z (\S+) ")


def templates() -> list[str]:
    """Single lines on which a base rule of an ESXi correlation fires, with slots for time, host, machine and user."""
    catalogue = load_catalogue()
    bases = {rule for correlation in catalogue.correlations for rule in correlation.refers_to}
    lines = [case.raw.strip() for rule in catalogue.rules if rule.id in bases for case in load_cases(rule.cases_path)
             if case.fires and case.parser == SOURCE and "\n" not in case.raw.strip() and _LINE.match(case.raw)]
    return [_with_slots(line) for line in sorted(set(lines))]


def _with_slots(line: str) -> str:
    head = _LINE.match(line)
    assert head
    text = line.replace("{", "{{").replace("}", "}}").replace(head[2], "{host}")
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "{time}", text)
    return re.sub(r"\bweb01\b", "{vm}", text).replace('subject="root"', 'subject="{user}"')


def write_hits(path: Path, number: int, hot: bool, span: timedelta) -> None:
    """Lines in order of time."""
    chance = random.Random(number + hot)
    shapes = templates()
    with path.open("w", encoding="utf-8") as file:
        for n in range(number):
            when = START + span * (n / number)
            host = "esx000.example.org" if hot and n % 2 else f"esx{chance.randrange(HOSTS):03d}.example.org"
            file.write(chance.choice(shapes).format(
                time=when.isoformat(timespec="milliseconds").replace("+00:00", "Z"), host=host, vm=f"vm{chance.randrange(MACHINES):04d}",
                user=f"admin{chance.randrange(USERS)}") + "\n")


def write_quiet(path: Path, number: int) -> None:
    """Generated lines on which no rule fires."""
    engine = Engine()
    detector = engine.detector(load_catalogue().rules)
    with tempfile.TemporaryDirectory() as folder, path.open("w", encoding="utf-8") as file:
        generate(SOURCE, number * 6 // 5, Path(folder) / "all.log", 1)
        left = number
        for batch in engine.process_file(f"{folder}/all.log"):
            found = detector.detect(batch.events).get_column("event_index").unique()
            originals = batch.events.get_column("event.original")
            quiet = originals.filter(~pl.int_range(batch.events.height, eager=True).is_in(found.implode())).head(left)
            file.writelines(f"{line}\n" for line in quiet)
            left -= quiet.len()
    assert not left


def measure(quiet: Path, lines: int, share: float, hot: bool) -> dict[str, Any]:
    """One row of correlate.json."""
    with tempfile.TemporaryDirectory() as folder:
        logs, number = Path(folder) / "logs", round(lines * share)
        logs.mkdir()
        with quiet.open("rb") as file, (logs / "quiet.log").open("wb") as out:
            out.writelines(itertools.islice(file, lines - number))
        write_hits(logs / "hits.log", number, hot, timedelta(days=1))
        began = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "pipeline", "run", str(logs), "--lake", f"{folder}/lake", "--json"],
                              cwd=ROOT, env=dict(os.environ), stdout=subprocess.PIPE, check=True)
        seconds = time.perf_counter() - began
        hits = pl.scan_parquet(f"{folder}/lake/hits/**/*.parquet", hive_partitioning=False).select(pl.len()).collect().item()
    result = json.loads(done.stdout)
    return {"events": result["run"]["events"], "hits": hits, "shape": "hot" if hot else "even",
            "correlate_s": result["seconds"]["correlations"], "run_s": round(seconds, 3), "alerts": len(result["alerts"])}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1_000_000)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        quiet = Path(folder) / "quiet.log"
        write_quiet(quiet, options.lines)
        for share, hot in ((0.01, False), (0.1, False), (0.01, True), (0.1, True)):
            row = measure(quiet, options.lines, share, hot)
            rows.append(row)
            spent = f"correlations {row['correlate_s']:.1f} s of {row['run_s']:.1f} s"
            print(f"{row['events']:,} events, {row['hits']:,} hits, {row['shape']}: {spent}", flush=True)
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
