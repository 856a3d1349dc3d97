"""`python -m tests.bench.rules --lines 1000000`: what detection costs as the rules grow: 40, 120, 400 and 1,000 over the same events.

Ours come first; beyond them rules of the same style are made: copies of ours that compare other values. One thread; figures go to
rules.json, a list of `rules`, `events`, `detect_s` (seconds of processor time).
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from pipeline.kernel.engine import Engine
from pipeline.sigma.load import Rule, load_rules, load_text
from tests.bench.generate import FORMS, generate

RESULTS = Path(__file__).parent / "rules.json"
NUMBERS = (40, 120, 400, 1000)
KEPT = {"re", "cidr", "fieldref", "expand"}  # other values would not be valid


def rules_like_ours(number: int) -> list[Rule]:
    """Ours in the order of their ids, which mixes the sources, then copies with other values until there are enough."""
    ours = sorted(load_rules().rules, key=lambda rule: rule.id)
    return [*ours, *itertools.islice(_copies(ours), max(0, number - len(ours)))][:number]


def _copies(ours: list[Rule]) -> Iterator[Rule]:
    for turn in itertools.count(1):
        for rule in ours:
            data = copy.deepcopy(rule.document.data)
            data["id"] = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{rule.id}-{turn}"))
            data["name"] = f"{rule.path.stem}_{turn}"
            data["detection"] = {key: value if key == "condition" else _other(value, turn) for key, value in data["detection"].items()}
            yield from load_text(yaml.safe_dump(data, default_flow_style=False), rule.path).rules


def _other(value: Any, turn: int) -> Any:
    """The same selection over other values: every text ends differently."""
    if isinstance(value, dict):
        return {key: inner if KEPT & set(key.split("|")) else _other(inner, turn) for key, inner in value.items()}
    if isinstance(value, list):
        return [_other(inner, turn) for inner in value]
    return f"{value}{turn}" if isinstance(value, str) else value


def measure(path: Path) -> list[dict[str, Any]]:
    """Seconds of detection by number of rules; the events are parsed once."""
    engine = Engine()
    detectors = {number: engine.detector(rules_like_ours(number)) for number in NUMBERS}
    seconds = dict.fromkeys(NUMBERS, 0.0)
    events = 0
    for batch in engine.process_file(str(path)):
        events += batch.events.height
        for number, detector in detectors.items():
            began = time.process_time()
            detector.detect(batch.events)
            seconds[number] += time.process_time() - began
    return [{"rules": number, "events": events, "detect_s": round(spent, 3)} for number, spent in seconds.items()]


def main() -> None:
    """Command line. Polars sizes its thread pool once, so the measuring is done in a process of its own with one thread."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--source", choices=sorted(path.stem for path in FORMS.glob("*.tsv")), default="vmware-esxi")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.log"
        generate(options.source, options.lines, path, 1)
        command = [sys.executable, "-m", "tests.bench.rules", "--measure", str(path)]
        done = subprocess.run(command, env={**os.environ, "POLARS_MAX_THREADS": "1"}, stdout=subprocess.PIPE, check=True)
    rows = json.loads(done.stdout)
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    for row in rows:
        ratio = row["detect_s"] / rows[0]["detect_s"]
        print(f"{row['rules']:5} rules over {row['events']:,} events: {row['detect_s']:.2f} s, {ratio:.2f} x of 40")


if __name__ == "__main__":
    main()
