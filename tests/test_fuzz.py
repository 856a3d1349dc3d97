"""Random rules over random events: the engine, a plain evaluator (plain_sigma.py) and sqlite find the same; and so does the detector, all
rules at once behind its gates, as every rule alone on every event.

A set is a rule and EVENTS events; each example is RULES sets. More of them, and other seeds: `python -m tests.test_fuzz 10000 1`.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.conformance import SingleCase, frame_of, name_of, read_topics
from pipeline.events import flatten
from pipeline.kernel.detect import Detector
from pipeline.sigma.compile import compile_rule
from pipeline.sigma.load import Rule, load_text
from pipeline.sigma.terms import matches
from tests import plain_sigma
from tests.conformance.test_sqlite import opinion
from tests.random_sigma import EVENTS, FIELDS, RULES, detection, events_of, why_not_sqlite

pytestmark = pytest.mark.filterwarnings("ignore:Possible (nested set|set):FutureWarning")  # of Python's `re`
Found = set[tuple[int, int]]  # numbers of a rule and of an event


def typed(event: dict[str, Any]) -> dict[str, Any]:
    """As the plain evaluator reads it: dates are dates."""
    return {name: datetime.fromisoformat(value) if value and FIELDS[name] == "date" else value for name, value in event.items()}


def read(detections: list[dict[str, Any]]) -> list[Rule]:
    documents = [{"title": f"R{n}", "id": str(UUID(int=n)), "logsource": {"category": "test"}, "detection": each}
                 for n, each in enumerate(detections)]
    loaded = load_text("\n---\n".join(json.dumps(document, ensure_ascii=False) for document in documents), Path("fuzz.yml"))
    assert not loaded.errors, loaded.errors
    return list(loaded.rules)


def compare(seed: int) -> Counter[str]:
    """How many sets were compared with what."""
    chance = random.Random(seed)
    events = events_of(chance)
    detections = [detection(chance, events) for _ in range(RULES)]
    rules, frame = read(detections), frame_of(events)
    trees = [compile_rule(rule) for rule in rules]
    alone: Found = {(n, index) for n, tree in enumerate(trees) for index, hit in enumerate(matches(tree, frame)) if hit}
    plain: Found = {(n, index) for n, each in enumerate(detections) for index, event in enumerate(events)
                    if plain_sigma.matches(each, typed(event))}
    _same("alone", alone, "plain", plain, seed, detections, events)
    together: Found = {(UUID(rule).int, index) for rule, index in Detector(rules).detect(frame).iter_rows()}
    _same("alone", alone, "together", together, seed, detections, events)
    asked = [n for n, each in enumerate(detections) if not why_not_sqlite(each, events)]
    second: Found = {(n, index) for n in asked for index in _sqlite(detections[n], events)}
    _same("alone", {pair for pair in alone if pair[0] in asked}, "sqlite", second, seed, detections, events)
    return Counter(plain=RULES, together=RULES, sqlite=len(asked), hits=len(alone))


def _sqlite(rule: dict[str, Any], events: list[dict[str, Any]]) -> list[int]:
    case = SingleCase(name="fuzz", rule={"title": "R", "logsource": {"category": "test"}, "detection": rule},
                      events=tuple({"id": str(n), **event} for n, event in enumerate(events)), hits=(), spec="silent", why="-")
    found = opinion(case, FIELDS)
    assert isinstance(found, set), (found, rule)
    return sorted(map(int, found))


def _same(left: str, a: Found, right: str, b: Found, seed: int, detections: list[dict[str, Any]], events: list[dict[str, Any]]) -> None:
    for rule, event in sorted(a ^ b)[:1]:
        finder = left if (rule, event) in a else right
        raise AssertionError(f"seed {seed}: {left} and {right} differ, only {finder} finds\n{events[event]}\nby\n{detections[rule]}")


@settings(max_examples=20, deadline=None, derandomize=True, database=None)
@given(st.integers(0, 2**32))
def test_same_hits_as_the_obvious_way_as_sqlite_and_as_all_at_once(seed: int) -> None:
    compare(seed)


def test_the_obvious_way_passes_the_conformance_suite() -> None:
    for path, topic in read_topics().items():
        for case in topic.cases:
            kinds = {name: kind.removesuffix("[]") for name, kind in topic.fields.items()}
            found = set()
            for event in case.events:
                flat = {name: value for name, value in flatten(dict(event)).items() if name != "id"}
                dated = {name: datetime.fromisoformat(value) if value and kinds[name] == "date" else value for name, value in flat.items()}
                if plain_sigma.matches(case.rule["detection"], dated):
                    found.add(event["id"])
            assert found == set(case.hits), name_of(path, case)


if __name__ == "__main__":
    wanted, seed = int(sys.argv[1]), int(sys.argv[2])
    began, done = time.perf_counter(), Counter[str]()
    while done["plain"] < wanted:
        done += compare(seed)
        seed += 1
    print(f"{done['plain']} sets of {EVENTS} events, {done['sqlite']} of them with sqlite, {done['hits']} hits; seeds {sys.argv[2]} to "
          f"{seed - 1}, {time.perf_counter() - began:.0f} s, no difference")
