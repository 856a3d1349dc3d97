"""The gates of the detector never hold back a hit: same hits as every rule evaluated alone on every event."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import polars as pl
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.kernel.detect import Detector
from pipeline.kernel.prefilter import EqualityGate, TextGate, gates_of
from pipeline.sigma.compile import compile_rule
from pipeline.sigma.load import Rule, load_text
from pipeline.sigma.terms import Node, matches

LOGSOURCES = {"vmware.esxi": {"product": "vmware", "service": "esxi"}, "vmware.vcenter": {"product": "vmware", "service": "vcenter"},
              "aws.cloudtrail": {"product": "aws", "service": "cloudtrail"}}
# KELVIN SIGN, dotted capital I and sigma lower-case in ways that ASCII folding does not know.
WORDS = ["abc", "ABC", "xabcx", "kill", "\u212aill", "\u0130ill", "i\u0307ill", "ΟΔΟΣ", "οδος", "", "a*c", "abcd", "straße"]
FIELDS = ["event.action", "event.code", "process.name", "user.name", "message", "event.original", "event.category"]
MODIFIERS = ["", "|contains", "|startswith", "|endswith", "|cased", "|contains|cased", "|contains|all", "|neq", "|contains|neq", "|re"]
CONDITIONS = ["a", "a and b", "a or b", "a and not b", "not a", "1 of them", "all of them", "not (a or b)", "a or (b and not a)"]

words = st.sampled_from(WORDS)
value = st.one_of(words, st.lists(words, min_size=1, max_size=3), st.none())
items = st.dictionaries(st.tuples(st.sampled_from(FIELDS), st.sampled_from(MODIFIERS)), value, min_size=1, max_size=3)
selection = st.one_of(items, st.lists(items, min_size=1, max_size=2))
logsource = st.sampled_from([{"product": "vmware"}, {"product": "vmware", "service": "esxi"}, {"product": "aws"}, {"product": "nobody"}])
event = st.fixed_dictionaries({}, optional={name: st.one_of(words, st.none()) for name in FIELDS[:-1]} | {
    "event.category": st.lists(words, max_size=2), "event.dataset": st.sampled_from([*LOGSOURCES, "other", None])})


def _plain(items: dict[tuple[str, str], Any]) -> dict[str, Any]:
    """Selections as YAML has them. Only plain and negated fields may be null; regexes and lists for `all` are made valid."""
    plain: dict[str, Any] = {}
    for (name, modifier), wanted in items.items():
        if wanted is None:
            plain[name] = None
        else:
            plain[name + modifier] = ["ab?c", "kill"] if modifier == "|re" else wanted
    return plain


@st.composite
def rules(draw: st.DrawFn) -> list[Rule]:
    texts = []
    for number in range(draw(st.integers(1, 4))):
        a, b = ([_plain(i) for i in s] if isinstance(s, list) else _plain(s) for s in (draw(selection), draw(selection)))
        texts.append(yaml.safe_dump({
            "title": f"R{number}", "id": f"00000000-0000-4000-8000-{number:012d}", "level": "low", "logsource": draw(logsource),
            "detection": {"a": a, "b": b, "condition": draw(st.sampled_from(CONDITIONS))}}, allow_unicode=True))
    loaded = load_text("\n---\n".join(texts), Path("rules.yml"))
    assert not loaded.errors, loaded.errors
    return list(loaded.rules)


def every_rule_on_every_event(rules: list[Rule], events: pl.DataFrame) -> set[tuple[str, int]]:
    datasets = events["event.dataset"].to_list() if "event.dataset" in events.columns else [None] * events.height
    hits = set()
    for rule in rules:
        for index, hit in enumerate(matches(compile_rule(rule), events)):
            if hit and rule.logsource.items() <= LOGSOURCES.get(datasets[index] or "", {}).items():
                hits.add((rule.id, index))
    return hits


@settings(max_examples=100, deadline=None)
@given(rules(), st.lists(event, min_size=1, max_size=8))
def test_gates_only_over_approximate(rules: list[Rule], events: list[dict[str, Any]]) -> None:
    names = sorted({name for e in events for name in e}) or ["event.id"]
    frame = pl.DataFrame({name: [e.get(name) for e in events] for name in names},
                         schema={name: pl.List(pl.String) if name == "event.category" else pl.String for name in names})
    hits = Detector(rules, LOGSOURCES).detect(frame)
    assert hits.is_unique().all()
    assert set(hits.iter_rows()) == every_rule_on_every_event(rules, frame)


def _rule(detection: str) -> Rule:
    text = f"title: T\nid: 00000000-0000-4000-8000-000000000001\nlevel: low\nlogsource: {{product: vmware}}\ndetection: {detection}\n"
    loaded = load_text(text, Path("rule.yml"))
    assert not loaded.errors
    return loaded.rules[0]


def _tree(detection: str) -> Node:
    return compile_rule(_rule(detection))


def test_which_gates_a_rule_gets() -> None:
    equality = gates_of(_tree("{a: {event.action: [X, y], message|contains: zzz}, b: {event.action: Z}, condition: a or b}"))
    assert equality == (EqualityGate("event.action", frozenset("xyz")),)
    branches = gates_of(_tree("{a: {event.action: x}, b: {message|contains: zzz}, c: {event.action: y}, condition: a or b or c}"))
    assert branches == (EqualityGate("event.action", frozenset("xy")), TextGate("message", frozenset({"zzz"})))
    assert gates_of(_tree("{a: {message|contains: [ABC, defg]}, condition: a}")) == (TextGate("message", frozenset({"abc", "defg"})),)
    assert gates_of(_tree("{a: {message|contains: ab}, condition: a}")) == (), "too short to narrow anything"
    assert gates_of(_tree("{a: {event.action: x}, condition: not a}")) == ()
    assert gates_of(_tree("{a: {event.action: x}, b: {user.name: null}, condition: a or b}")) == ()


def test_text_gates_know_how_unicode_lowers() -> None:
    """Found by removing the gate's clause for text beyond ASCII: a case-insensitive regex does not fold the dotted capital I."""
    events = pl.DataFrame({"message": ["x \u212aILL", "x \u0130ill", "plain"]})
    for wanted, hits in (("kill", [0]), ("i\u0307ill", [1])):
        assert Detector([_rule(f"{{a: {{message|contains: '{wanted}'}}, condition: a}}")]).detect(events)["event_index"].to_list() == hits


def test_hits_are_sorted_sparse_and_survive_pickling() -> None:
    detector = pickle.loads(pickle.dumps(Detector([_rule("{a: {user.name: root}, condition: a}")], LOGSOURCES)))
    events = pl.DataFrame({"event.dataset": ["vmware.esxi", "aws.cloudtrail", "vmware.vcenter"], "user.name": ["root", "root", "ROOT"]})
    hits = detector.detect(events)
    assert hits.schema == {"rule_id": pl.String, "event_index": pl.UInt32}
    assert hits["event_index"].to_list() == [0, 2]
    assert detector.hits_by_event(events)["rule_ids"].to_list() == [["00000000-0000-4000-8000-000000000001"]] * 2
    assert detector.detect(events.clear()).is_empty()
    assert Detector([]).detect(events).schema == hits.schema
