"""The measurements of one thread, in a process of their own: Polars sizes its thread pool once, and `run.py` sets it to one thread."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from pipeline.kernel import files, framing
from pipeline.kernel.engine import BLOCK, Engine
from pipeline.kernel.framing import RecordRules
from pipeline.sigma.load import load_rules
from tests.bench import baseline


def frame_seconds(path: Path, engine: Engine, source: str) -> float:
    """Bytes to records with offsets."""
    spec = engine.spec(source).framing
    rules = RecordRules(spec.continuation, (spec.join,) if spec.join else ())
    began = time.perf_counter()
    text = files.open_text(files.describe(str(path)))
    with text.file:
        for start in range(0, text.size, BLOCK):
            framing.read_records(text.file, text.size, start, min(start + BLOCK, text.size), rules)
    return time.perf_counter() - began


def baseline_seconds(path: Path, source: str) -> float | None:
    """The hand-written loop, which knows one source."""
    if source != "vmware-esxi":
        return None
    began = time.perf_counter()
    with open("/dev/null", "wb") as sink:
        baseline.run(path, sink.write)
    return time.perf_counter() - began


def kernel_seconds(path: Path, engine: Engine) -> dict[str, float | int]:
    """Bytes to gated events, then all rules over them; and what came out, to see that the work was done."""
    detector = engine.detector(load_rules().rules)
    parse = detect = 0.0
    events = recognised = hits = 0
    began = time.perf_counter()
    for batch in engine.process_file(str(path)):
        parsed = time.perf_counter()
        parse += parsed - began
        hits += detector.detect(batch.events).height
        began = time.perf_counter()
        detect += began - parsed
        events += batch.events.height
        recognised += int(batch.events.get_column("_recognised").sum())
    return {"parse_s": parse, "detect_s": detect, "events": events, "recognised": recognised, "hits": hits}


def main(source: str, path: Path) -> None:
    """All figures of one file as JSON on stdout."""
    engine = Engine()
    figures = {"frame_s": frame_seconds(path, engine, source), "baseline_s": baseline_seconds(path, source), **kernel_seconds(path, engine)}
    print(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
