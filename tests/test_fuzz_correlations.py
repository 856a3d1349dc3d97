"""Random correlations over random events: the engine, all of them at once, and the obvious way (plain_correlation.py) find the same.

A set is a correlation and the events of one scenario; each example judges SCENARIOS of them with each of its correlations. More than the
tests run, and other seeds: `python -m tests.test_fuzz_correlations 10000 1`.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.judge import judge
from pipeline.sigma.correlation_reader import read_correlations
from pipeline.sigma.correlations import NUMERIC, OPERATORS, TEMPORAL, TYPES, Correlation, CorrelationType
from pipeline.sigma.documents import read_documents
from pipeline.sigma.metadata import Custom
from tests import plain_correlation

SECOND = 1_000_000
NAMES = ("ant", "bee", "cat")
RULES = [SimpleNamespace(id=f"id-{name}", name=name, custom=Custom()) for name in (*NAMES, "dog")]
SCENARIOS, CORRELATIONS = 40, 24
FIELDS = {"host.name": pl.String, "user.name": pl.String, "vm.name": pl.String, "network.bytes": pl.Int64, "destination.port": pl.Int64,
          "hypervisor.setting.value": pl.String}
GROUPS = (["host.name"], ["host.name", "user.name"], ["where", "who"], ["host.name", "destination.port"])
ALIASES = {"where": dict.fromkeys((*NAMES, "dog"), "host.name"), "who": {"ant": "user.name", "bee": "vm.name", "cat": "user.name",
                                                                         "dog": "vm.name"}}
Hit = tuple[str, dict[str, Any]]


# --- what is made up ----------------------------------------------------------------------------------------------------------


def scenario(chance: random.Random, number: int) -> list[Hit]:
    """Hits of up to twelve events of one host, many at one instant, some of several rules, some delivered twice."""
    hits: list[Hit] = []
    for n in range(chance.randrange(13)):
        event = {
            "id": f"{number}.{n}", "time": chance.randrange(chance.choice((4, 20, 40))) * SECOND + chance.choice((0, 0, 0, 1)),
            "host.name": chance.choice((f"h{number}", f"H{number}")), "user.name": chance.choice(("anna", "Anna", "ben", "änne", None)),
            "vm.name": chance.choice(("anna", "ben", None)), "network.bytes": chance.choice((None, *range(8))),
            "destination.port": chance.choice((22, 443, 443, None)),
            "hypervisor.setting.value": chance.choice(("1", "2.5", "-3", "many", "", None))}
        hits += [(rule.id, event) for rule in chance.sample(RULES, chance.choice((1, 1, 1, 2, 3)))] * chance.choice((1, 1, 1, 2))
    chance.shuffle(hits)
    return hits


def correlation(chance: random.Random, rules: list[str], spans: tuple[int, ...], group: list[str]) -> dict[str, Any]:
    """The body of a correlation over some rules, and what stands under `custom`."""
    kind = chance.choice(TYPES + TYPES[2:4] * 2)  # more of the temporal ones, which have words too
    body: dict[str, Any] = {"type": kind, "rules": rules, "group-by": group, "timespan": f"{chance.choice(spans)}s"}
    if set(group) & ALIASES.keys():
        body["aliases"] = {name: {rule: field for rule, field in fields.items() if rule in rules} | {
            rule: name for rule in rules if rule not in fields} for name, fields in ALIASES.items()}
    if kind in TEMPORAL and chance.random() < 0.5:
        body["condition"] = words(chance, rules)
    elif kind not in TEMPORAL or chance.random() < 0.7:
        body["condition"] = threshold(chance, kind)
    return {"correlation": body, "custom": known(chance)}


def threshold(chance: random.Random, kind: CorrelationType) -> dict[str, Any]:
    limits = [n / 2 for n in range(-4, 24)] if kind in NUMERIC else [0, 1, 1, 2, 2, 3, 4, 2.5]
    condition: dict[str, Any] = {name: chance.choice(limits) for name in chance.sample(OPERATORS, chance.choice((1, 1, 1, 2)))}
    if kind in NUMERIC:
        condition["field"] = chance.choice(("network.bytes", "hypervisor.setting.value"))
    if kind == "value_percentile":
        condition["percentile"] = chance.choice((0, 25, 50, 75, 100))
    if kind == "value_count":
        condition["field"] = chance.choice(("user.name", "network.bytes", ["user.name", "vm.name"]))
    return condition


def known(chance: random.Random) -> dict[str, Any]:
    return chance.choice(({}, {}, {"known_from": chance.sample((*NAMES, "dog"), chance.choice((1, 2)))}))


def words(chance: random.Random, rules: list[str], depth: int = 2) -> str:
    kind = chance.choice(("rule", "rule", "and", "or", "not", "of") if depth else ("rule", "rule", "of"))
    if kind == "rule":
        return chance.choice(rules)
    if kind == "of":
        return f"{chance.choice(('all', 'any', chance.randrange(1, len(rules) + 1)))} of {chance.choice(('them', '*'))}"
    parts = [words(chance, rules, depth - 1) for _ in range(1 if kind == "not" else 2)]
    bracketed = [f"({part})" if chance.random() < 0.7 else part for part in parts]
    return f"not {bracketed[0]}" if kind == "not" else f" {kind} ".join(bracketed)


def family(chance: random.Random, number: int) -> list[dict[str, Any]]:
    """A correlation, or one of another."""
    inner = {"title": "I", "id": f"i{number}", "name": f"eel{number}"} | correlation(
        chance, chance.sample(NAMES, chance.randrange(1, 4)), (2, 5, 10), chance.choice(GROUPS))
    if chance.random() < 0.5:
        return [inner]
    rules = [inner["name"], *chance.sample(NAMES, chance.randrange(3))]
    chance.shuffle(rules)
    outer = {"title": "O", "id": f"o{number}"} | correlation(chance, rules, (10, 20), chance.choice((GROUPS[0], GROUPS[0], GROUPS[1])))
    return [inner, outer]


def correlations(chance: random.Random) -> list[Correlation]:
    """Those that are no nonsense."""
    found: list[Correlation] = []
    while len(found) < CORRELATIONS:
        text = yaml.safe_dump_all(family(chance, len(found)))
        read, errors = read_correlations(list(read_documents(text, Path("f.yml"))), RULES)  # type: ignore[arg-type]
        found += read if not errors else ()
    return found


# --- comparing ----------------------------------------------------------------------------------------------------------------

Told = tuple[str, str, int, int, frozenset[str], float]


def told_by_engine(chosen: list[Correlation], hits: list[Hit], horizon: int) -> set[Told]:
    schema = {"rule_id": pl.String, "event": pl.String, "time": pl.Int64, "fact": pl.String, "channel": pl.String, **FIELDS}
    frame = pl.DataFrame([{"rule_id": rule, "event": event["id"], **event} for rule, event in hits], schema=schema)
    rows = judge(frame, chosen, horizon).to_dicts()
    assert all(row["count"] == len(row["events"]) for row in rows)
    return {(row["correlation"], row["key"], row["first"], row["last"], frozenset(row["events"]), round(row["value"], 6)) for row in rows}


def told_plainly(chosen: list[Correlation], hits: list[Hit], horizon: int) -> set[Told]:
    """Scenario by scenario, as every group has the host in it."""
    of: dict[str, list[Hit]] = {}
    for rule, event in hits:
        of.setdefault(event["host.name"].lower(), []).append((rule, event))
    numbered = [{**event, "hypervisor.setting.value": _number(event["hypervisor.setting.value"])} for _, event in hits]
    by_id = {str(event["id"]): event for event in numbered}
    return {(f.correlation, "\x1f".join(f.group), f.first, f.last, f.events, round(f.value, 6))
            for some in of.values() for f in plain_correlation.judge(chosen, [(rule, by_id[event["id"]]) for rule, event in some], horizon)}


def _number(text: str | None) -> float | None:
    return float(text) if text and text != "many" else None


def compare(seed: int) -> int:
    """The number of sets compared."""
    chance = random.Random(seed)
    hits = [hit for number in range(SCENARIOS) for hit in scenario(chance, number)]
    chosen, horizon = correlations(chance), chance.randrange(60) * SECOND
    found, expected = told_by_engine(chosen, hits, horizon), told_plainly(chosen, hits, horizon)
    for told in sorted(found ^ expected, key=str)[:1]:
        correlation = next(each for each in chosen if each.id == told[0])
        mine = [hit for hit in hits if hit[1]["host.name"].lower() == told[1].split("\x1f")[0]]
        below = [each.document.data for each in chosen if each.id in (correlation.id, *correlation.refers_to)]
        raise AssertionError("\n".join([
            f"seed {seed}, horizon {horizon}: {'found' if told in found else 'missed'} {told}", yaml.safe_dump(below),
            *(f"{rule} {event}" for rule, event in sorted(mine, key=lambda hit: int(hit[1]["time"])))]))
    return len(chosen) * SCENARIOS


@settings(max_examples=11, deadline=None, derandomize=True, database=None)
@given(st.integers(0, 2**32))
def test_same_findings_as_the_obvious_way(seed: int) -> None:
    compare(seed)


if __name__ == "__main__":
    wanted, seed = int(sys.argv[1]), int(sys.argv[2])
    began, sets = time.perf_counter(), 0
    while sets < wanted:
        sets += compare(seed)
        seed += 1
    print(f"{sets} sets, seeds {sys.argv[2]} to {seed - 1}, {time.perf_counter() - began:.0f} s, no difference")
