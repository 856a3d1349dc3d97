"""Runs the proofs that stand beside the content: every parser sample against its expected events, every rule case from its raw lines.

Needs no Spark. `hypervigil test` prints the results; `--fix-expected` rewrites the expected events.
"""

from __future__ import annotations

import io
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import orjson
import polars as pl

from . import content
from .errors import HypervigilError
from .events import flatten, to_dicts
from .judge import hits_of, judge
from .kernel import detector, files
from .kernel.detect import Detector
from .kernel.engine import Batch, Engine
from .kernel.framing import read_records
from .kernel.json_records import split_json
from .sigma.cases import Case, load_cases
from .sigma.catalogue import Catalogue, load_catalogue
from .sigma.correlations import Correlation, closure
from .sigma.load import Rule

# Samples and cases without a year in their lines are read as if their file had been written on this day.
WRITTEN = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Proof:
    """One result: `suite` (parser or rule), `name`, `problem` in words or None, `path` of the file that holds it, and seconds taken."""

    suite: str
    name: str
    path: Path
    problem: str | None
    seconds: float


def sample_files(only: str = "") -> list[Path]:
    """Every sample of the parsers whose path contains `only`, sorted."""
    return sorted(
        p
        for p in content.folder("parsers").glob("*/samples/*")
        if only in str(p)
        and p.suffix in (".log", ".json", ".ndjson") and not p.name.endswith(".expected.json")
    )


def check_samples(engine: Engine, only: str = "", *, fix: bool = False) -> Iterator[Proof]:
    """Compare each sample's events with `<sample>.expected.json`; conservation and detection by content are checked too."""
    for path in sample_files(only):
        started = time.perf_counter()
        spec = path.parent.parent.name
        try:
            problem = _check_sample(engine, path, spec, fix)
        except HypervigilError as error:
            problem = str(error)
        yield Proof(spec, path.name, path, problem, time.perf_counter() - started)


def _check_sample(engine: Engine, path: Path, parser: str, fix: bool) -> str | None:
    data = path.read_bytes()
    batches = list(engine.process_bytes(data, WRITTEN, path.name, parser))
    got = events_of(batches)
    expected_path = path.with_name(path.name.removesuffix(path.suffix) + ".expected.json")
    if fix:
        expected_path.write_bytes(orjson.dumps(got, option=orjson.OPT_INDENT_2) + b"\n")
    if not expected_path.exists():
        return "no expected events; run hypervigil test --fix-expected and read what it writes"
    expected = orjson.loads(expected_path.read_bytes())
    lines, kept = sum(b.lines for b in batches), sum(b.events.height + b.quarantine.height + b.joined for b in batches)
    counted = sum(
        int(b.events.get_column("_lines").sum()) + int(b.quarantine.get_column("lines").sum()) for b in batches if b.events.height
    )
    if lines != kept or counted > lines:
        return f"{lines} lines became {kept}"
    if detector.winners_of(data, engine.parsers) not in (parser, None):
        return f"its lines are taken for {detector.winners_of(data, engine.parsers)}"
    return difference(expected, got)


def events_of(batches: Iterable[Batch]) -> list[dict[str, Any]]:
    """The events of batches as nested dicts; quarantined records as {"quarantined": reasons, "raw": ...}."""
    out: list[dict[str, Any]] = []
    for batch in batches:
        out += to_dicts(batch.events) if batch.events.height else ()
        out += [{"quarantined": row["reasons"], "raw": row["raw"]} for row in batch.quarantine.to_dicts()]
    return out


def difference(expected: list[dict[str, Any]], got: list[dict[str, Any]]) -> str | None:
    """The first field that differs, in words, or None."""
    if len(expected) != len(got):
        return f"{len(expected)} events expected, {len(got)} found"
    for number, (want, have) in enumerate(zip(expected, got, strict=True), 1):
        a, b = flatten(want), flatten(have)
        for name in sorted(a.keys() | b.keys()):
            if a.get(name) != b.get(name):
                return f"event {number}: {name} expected {a.get(name)!r}, found {b.get(name)!r}"
    return None


def junit(proofs: Iterable[Proof], path: Path) -> None:
    """Write the results as JUnit XML."""
    rows = list(proofs)
    suites = ElementTree.Element("testsuites", tests=str(len(rows)), failures=str(sum(p.problem is not None for p in rows)))
    for name in sorted({p.suite for p in rows}):
        mine = [p for p in rows if p.suite == name]
        suite = ElementTree.SubElement(
            suites,
            "testsuite",
            name=name,
            tests=str(len(mine)),
            failures=str(sum(p.problem is not None for p in mine)),
            time=f"{sum(p.seconds for p in mine):.3f}",
        )
        for proof in mine:
            case = ElementTree.SubElement(suite, "testcase", classname=name, name=proof.name, time=f"{proof.seconds:.3f}")
            if proof.problem:
                ElementTree.SubElement(case, "failure", message=proof.problem).text = f"{proof.path}: {proof.problem}"
    ElementTree.ElementTree(suites).write(path, encoding="utf-8", xml_declaration=True)


def check_cases(engine: Engine, only: str = "") -> Iterator[Proof]:
    """Run every case of the rules and correlations whose path contains `only`: raw lines through the case's parser, then all rules in one
    pass, then the correlation.
    """
    catalogue = load_catalogue()
    detector_of_all = engine.detector(catalogue.rules)
    with_cases: tuple[Rule | Correlation, ...] = (*catalogue.rules, *catalogue.correlations)
    wanted = [rule for rule in with_cases if only in str(rule.path)]
    pairs = [(rule, case) for rule in wanted for case in load_cases(rule.cases_path)]
    started = time.perf_counter()
    events = _events_of_cases(engine, [case for _, case in pairs])
    seconds = (time.perf_counter() - started) / max(1, len(pairs))
    for (rule, case), found in zip(pairs, events, strict=True):
        began = time.perf_counter()
        problem = found if isinstance(found, str) else check_case(found, detector_of_all, catalogue, rule, case)
        yield Proof(rule.path.stem, case.name, rule.cases_path, problem, seconds + time.perf_counter() - began)


def _events_of_cases(engine: Engine, cases: list[Case]) -> list[pl.DataFrame | str]:
    """The events of each case, or what is wrong with its lines. All lines of one parser are parsed together."""
    by_parser: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
    for number, case in enumerate(cases):
        for log in case.sources:
            by_parser[log.parser].append((number, log.raw.encode()))
    found: list[list[pl.DataFrame]] = [[] for _ in cases]
    problems: dict[int, str] = {}
    for parser, texts in by_parser.items():
        try:
            frames = parse_apart(engine, [text for _, text in texts], parser)
        except HypervigilError as error:
            problems |= {number: str(error) for number, _ in texts}
            continue
        for (number, _), frame in zip(texts, frames, strict=True):  # ids hold offsets only: tell parsers apart
            named = frame.with_columns(pl.lit(f"{parser}-").add(pl.col("event.id")).alias("event.id")) if frame.height else frame
            found[number].append(named)
    return [problems.get(number) or pl.concat(frames, how="diagonal") for number, frames in enumerate(found)]


def parse_apart(engine: Engine, texts: list[bytes], parser: str) -> list[pl.DataFrame]:
    """The events of each text. Cut into records one by one, as files are, but parsed together: one line costs as much as many."""
    frames, starts, position = [], [], 0
    for text in texts:
        info = files.inspect("-", text, len(text), WRITTEN)
        if engine.is_document(info, parser):
            records = split_json(text)
        else:
            records, _ = read_records(io.BytesIO(text), len(text), 0, len(text), engine.record_rules(parser))
        frames.append(records.with_columns(pl.col("offset") + position))
        starts.append(position)
        position += len(text) + 1
    together = pl.concat(frames)
    info = files.inspect("cases", b"", position, WRITTEN)
    events = engine.process_records(together, int(together.get_column("lines").sum()), info, parser).events
    ends = [*starts[1:], position]
    inside = [pl.col("log.offset").is_between(start, end, closed="left") for start, end in zip(starts, ends, strict=True)]
    return [events.filter(place) for place in inside] if events.height else [events] * len(texts)


def check_case(events: pl.DataFrame, rules: Detector, catalogue: Catalogue, rule: Rule | Correlation, case: Case) -> str | None:
    """What is wrong with one case, in words, or None. `events` are those of its raw lines."""
    if events.is_empty():
        return "its lines gave no event"
    hits = rules.detect(events)
    if isinstance(rule, Correlation):
        mine = events.filter(pl.col("event.id").is_in(_finding_events(events, hits, catalogue, rule, case)))
    else:
        mine = events[hits.filter(pl.col("rule_id") == rule.id).get_column("event_index")]
    if case.fires != bool(mine.height):
        return "does not fire" if case.fires else "fires"
    for name, want in case.expect.items():
        values = mine.get_column(name).to_list() if name in mine.columns else []
        if want not in values:
            return f"{name} expected {want!r}, found {values}"
    return None


def _finding_events(events: pl.DataFrame, hits: pl.DataFrame, catalogue: Catalogue, correlation: Correlation, case: Case) -> list[str]:
    """Ids of the events behind the findings of a correlation."""
    until = case.until or events.get_column("@timestamp").max()
    assert isinstance(until, datetime)
    horizon = (until - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    needed = closure(catalogue.correlations, correlation)
    found = judge(hits_of(events, hits), needed, horizon).filter(pl.col("correlation") == correlation.id)
    return found.get_column("events").explode().drop_nulls().to_list()
