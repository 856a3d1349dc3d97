"""detections.lock: what changed under its old version is refused, by check and by the update."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.sigma.documents import Document
from pipeline.sigma.load import Places, load_rules
from pipeline.sigma.lock import NAME, check_lock, read_lock, update_lock

RULE = """\
title: T{number}
id: 70000000-0000-4000-8000-{number:012d}
level: low
logsource: {{product: vmware}}
detection: {{sel: {{event.action: stop}}, condition: sel}}
custom: {{threat: hardening}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in (1, 2):
        (tmp_path / f"rule{number}.yml").write_text(RULE.format(number=number))
    assert update_lock(tmp_path, documents(tmp_path)) == []
    assert check_lock(tmp_path, documents(tmp_path)) == []
    return tmp_path


def documents(folder: Path) -> tuple[Document, ...]:
    return load_rules(Places(folder)).ours


def check(folder: Path) -> list[str]:
    return [str(error).replace(f"{folder}/", "") for error in check_lock(folder, documents(folder))]


def edit(folder: Path, *pairs: tuple[str, str], name: str = "rule1.yml") -> None:
    text = (folder / name).read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    (folder / name).write_text(text)


def test_one_line_for_each_rule(folder: Path) -> None:
    lines = (folder / NAME).read_text().splitlines()
    assert len(lines) == 3 and lines[0].startswith("# ")
    assert lines[1].startswith('70000000-0000-4000-8000-000000000001: {name: "rule1", version: 1, hash: ')


@pytest.mark.parametrize("pair", [("event.action: stop", "event.action: kill"), ("level: low", "level: high"), ("title: T1", "title: New")])
def test_a_change_needs_a_new_version(folder: Path, pair: tuple[str, str]) -> None:
    before = (folder / NAME).read_text()
    edit(folder, pair)
    (error,) = check(folder)
    assert error.startswith("rule1.yml:6: rule ") and "changed since version 1 (hash " in error and "its version is 1" in error
    assert "(set custom.version: 2, then hypervigil check --update-lock)" in error
    (refused,) = update_lock(folder, documents(folder))
    assert "changed since version 1" in refused.message
    assert (folder / NAME).read_text() == before, "what is refused is not recorded"
    edit(folder, ("threat: hardening", "threat: hardening, version: 2"))
    assert check(folder) == [check(folder)[0]] and "detections.lock has it as rule1 1, it is rule1 2 (hypervigil check" in check(folder)[0]
    assert update_lock(folder, documents(folder)) == [] == check(folder)
    edit(folder, ("version: 2", "version: 1"))
    assert "changed since version 2" in check(folder)[0], "a version does not go back"


def test_comments_and_layout_are_no_change(folder: Path) -> None:
    edit(folder, ("{sel: {event.action: stop}, condition: sel}", "\n  sel:  # a comment\n    event.action: 'stop'\n  condition: sel"))
    assert check(folder) == []


def test_new_gone_and_renamed_rules(folder: Path) -> None:
    (folder / "rule3.yml").write_text(RULE.format(number=3))
    (folder / "rule2.yml").unlink()
    (folder / "rule1.yml").rename(folder / "other.yml")
    assert check(folder) == [
        "other.yml:1: rule 'T1': detections.lock has it as rule1 1, it is other 1 (hypervigil check --update-lock)",
        "rule3.yml:1: rule 'T3': is not in detections.lock (hypervigil check --update-lock)",
        "detections.lock:3: rule 'rule2' is locked, and gone (restore it, or hypervigil check --update-lock)"]
    assert update_lock(folder, documents(folder)) == [] == check(folder)


def test_correlations_and_filters_are_locked_lists_are_not(folder: Path) -> None:
    (folder / "more.yml").write_text(
        "title: C\nname: c\nid: 70000000-0000-4000-8000-000000000008\n"
        "correlation: {type: event_count, rules: [70000000-0000-4000-8000-000000000001], timespan: 1h, condition: {gte: 2}}\n---\n"
        "title: F\nid: 70000000-0000-4000-8000-000000000009\nlogsource: {product: vmware}\n"
        "filter: {rules: any, sel: {user.name|expand: '%people%'}, condition: not sel}\n")
    (folder / "lists").mkdir()
    (folder / "lists" / "people.txt").write_text("anna\n")
    assert update_lock(folder, documents(folder)) == []
    assert {each.name for each in read_lock(folder).values()} == {"rule1", "rule2", "c", "more"}
    (folder / "lists" / "people.txt").write_text("bob\n")
    assert check(folder) == []
    edit(folder, ("timespan: 1h", "timespan: 2h"), ("not sel", "sel"), name="more.yml")
    assert [error.split(":")[1] for error in check(folder)] == ["1", "6"]


def test_no_lock_and_a_broken_one(folder: Path) -> None:
    (folder / NAME).write_text("<<<<<<< HEAD\n")
    assert check(folder)[0].startswith("detections.lock")
    (folder / NAME).unlink()
    assert check(folder) == []
