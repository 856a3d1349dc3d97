"""The suite through this engine: the detector in one pass, and the explanation of every event. And the suite itself is sound."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.conformance import check_single, deviations, frame_of, judge, name_of, read_topics, rule_of
from pipeline.events import flatten
from pipeline.schema import BY_NAME
from pipeline.sigma.explain import explain, to_text

README = Path(__file__).parent / "README.md"
FILES = sorted(Path(__file__).parent.glob("*/*.yml"))  # both halves
TOPICS = read_topics()
CASES = [(path, case) for path, topic in TOPICS.items() for case in topic.cases]

# pySigma compiles regexes by Python's `re`, which warns of what a later Python might read otherwise.
pytestmark = pytest.mark.filterwarnings("ignore:Possible (nested set|set):FutureWarning")


def test_every_case_passes() -> None:
    problems = [f"{proof.path.stem}: {proof.name}: {proof.problem}" for proof in check_single() if proof.problem]
    assert not problems, "\n".join(problems)


def test_explanations_agree() -> None:
    known = {deviation.case for deviation in deviations()}
    for path, case in CASES:
        if name_of(path, case) in known:
            continue
        rule = rule_of(case)
        for event in case.events:
            explanation = explain(rule, {name: value for name, value in event.items() if name != "id"})
            assert explanation.matched == (event["id"] in case.hits), f"{name_of(path, case)}: {event['id']}\n{to_text(rule, explanation)}"


def test_a_failure_is_told_in_words() -> None:
    case = next(case for path, case in CASES if path.stem == "equality")
    turned = case.model_copy(update={"hits": ("other", "lower")})
    assert judge([turned]) == [
        "does not find other and finds upper, mixed. All values are treated as case-insensitive strings. "
        "(sigma-rules-specification.md, General)"]
    refused = case.model_copy(update={"rule": case.rule | {"detection": {"sel": {"user.nam": "x"}, "condition": "sel"}}})
    assert judge([refused, case]) == ["the rule is refused: rule 'Case': user.nam: unknown field 'user.nam'", None]


def test_the_command_line_runs_it() -> None:
    command = [sys.executable, "-m", "pipeline", "test", "--conformance", "--only", "null_empty_exists", "--json"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    answer = json.loads(result.stdout)
    assert (result.returncode, answer["passed"], answer["failed"]) == (0, 32, 0), result.stderr
    assert [r["name"] for r in answer["results"] if r["name"].endswith("(known deviation)")] == [
        "exists true finds a field that is null (known deviation)", "exists false does not find a field that is null (known deviation)"]


# --- the data -----------------------------------------------------------------------------------------------------------------


def test_deviations_are_cases() -> None:
    assert {deviation.case for deviation in deviations()} <= {name_of(path, case) for path, case in CASES}


def test_names_are_unique_and_every_case_has_events_of_both_kinds() -> None:
    assert len({name_of(path, case) for path, case in CASES}) == len(CASES) >= 300
    one_sided = [name_of(path, case) for path, case in CASES if len(case.hits) in (0, len(case.events))]
    assert all(re.search("always|never|cannot be", name) for name in one_sided), one_sided


@pytest.mark.parametrize("path", TOPICS, ids=[path.stem for path in TOPICS])
def test_fields_are_declared_with_the_types_of_the_schema(path: Path) -> None:
    topic = TOPICS[path]
    assert topic.fields == {name: BY_NAME[name].type + "[]" * BY_NAME[name].many for name in topic.fields}
    used = {name for case in topic.cases for event in case.events for name in flatten(dict(event))} - {"id"}
    assert used <= set(topic.fields)
    assert topic.sentences and all(sentence in [case.spec for case in topic.cases] for sentence in topic.sentences)


@pytest.mark.parametrize("path", FILES, ids=[f"{path.parent.name}-{path.stem}" for path in FILES])
def test_every_reader_of_yaml_reads_the_same(path: Path) -> None:
    """Words that versions of YAML read otherwise (yes, 1:30, 0x1f, 2026-01-01) are quoted; what is left is plain in all of them."""
    for node in _scalars(yaml.compose(path.read_text(encoding="utf-8"), yaml.CSafeLoader)):
        if not node.style:
            assert node.tag in ("tag:yaml.org,2002:str", *_plain_tags(node.value)), (node.value, node.start_mark.line + 1)
            assert not re.fullmatch("(?i)y|n|yes|no|on|off|~", node.value), node.start_mark.line + 1


def _scalars(node: yaml.Node | None) -> Iterator[yaml.ScalarNode]:
    if isinstance(node, yaml.ScalarNode):
        yield node
    elif node is not None:
        for child in node.value:
            for part in child if isinstance(child, tuple) else (child,):
                yield from _scalars(part)


def _plain_tags(text: str) -> list[str]:
    try:
        value: Any = json.loads(text)
    except ValueError:
        return []
    kinds = {bool: "bool", int: "int", float: "float", type(None): "null"}
    return [f"tag:yaml.org,2002:{kinds[type(value)]}"]


def test_the_frame_holds_events_as_their_fields_are_typed() -> None:
    frame = frame_of([{"id": "a", "user": {"name": 7}, "event.category": "x", "source.port": 1}, {"id": "b", "event.category": [True]}])
    assert frame.drop("event.id").to_dicts() == [
        {"event.category": ["x"], "source.port": 1, "user.name": "7"}, {"event.category": ["true"], "source.port": None, "user.name": None}]


def test_readme_counts_the_cases() -> None:
    table = [f"| [{path.stem}](single/{path.name}) | {len(topic.cases)} | {topic.topic} |" for path, topic in TOPICS.items()]
    table.append(f"| all | {len(CASES)} | |")
    assert "\n".join(table) in README.read_text(encoding="utf-8"), "\n".join(table)
