"""Value lists: read from a folder, written out in place of placeholders; an empty one makes its term false."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline.kernel.detect import Detector
from pipeline.sigma.compile import compile_rule
from pipeline.sigma.explain import explain
from pipeline.sigma.lists import Lists, ValueList, placeholders, read_lists
from pipeline.sigma.load import Loaded, Reading, load_text
from pipeline.sigma.terms import matches

LISTS = Lists({name: ValueList(name, values, Path(f"{name}.txt")) for name, values in {
    "bastions": ("192.0.2.1", "198.51.100.0/28"), "people": ("anna", "b*b"), "ports": ("22", "443"), "nobody": ()}.items()})


def load(selection: str, condition: str = "sel") -> Loaded:
    text = (f"title: T\nid: 40000000-0000-4000-8000-000000000001\nlevel: low\nlogsource: {{product: vmware}}\n"
            f"detection:\n  sel: {selection}\n  condition: {condition}\n")
    return load_text(text, Path("rule.yml"), Reading(LISTS))


def matched(selection: str, events: list[dict[str, Any]], condition: str = "sel") -> list[bool]:
    loaded = load(selection, condition)
    assert not loaded.errors, loaded.errors
    names = sorted({name for event in events for name in event})
    frame = pl.DataFrame({name: [event.get(name) for event in events] for name in names})
    found = matches(compile_rule(loaded.rules[0]), frame).to_list()
    hits = Detector(loaded.rules).detect(frame)["event_index"].to_list()
    assert hits == [number for number, hit in enumerate(found) if hit], "the detector agrees"
    assert [explain(loaded.rules[0], event).matched for event in events] == found, "and the explanation"
    return found


USERS = [{"user.name": name} for name in ("ANNA", "bob", "carol", None)]


@pytest.mark.parametrize(("selection", "wanted"), [
    ("{user.name|expand: '%people%'}", [True, True, False, False]),
    ("{user.name|expand: ['%people%', '%nobody%']}", [True, True, False, False]),
    ("{user.name|expand|neq: '%people%'}", [False, False, True, True]),
    ("{user.name|contains|expand: 'nn%people%'}", [False] * 4),
    ("{user.name|endswith|expand: '%people%'}", [True, True, False, False]),
    ("{user.name|expand: '%nobody%'}", [False] * 4),
    ("{user.name|expand|neq: '%nobody%'}", [True] * 4),
    ("{user.name|contains|all|expand: ['%people%', '%nobody%']}", [False] * 4),
    ("{user.name|re|expand: '%nobody%'}", [False] * 4)])
def test_a_list_stands_for_its_values(selection: str, wanted: list[bool]) -> None:
    assert matched(selection, USERS) == wanted


def test_a_filter_over_an_empty_list_filters_nothing() -> None:
    assert matched("{user.name|expand: '%nobody%'}", USERS, "not sel") == [True] * 4


def test_networks_numbers_and_text_around_a_placeholder() -> None:
    addresses = [{"source.ip": address} for address in ("192.0.2.1", "198.51.100.9", "198.51.100.99")]
    assert matched("{source.ip|cidr|expand: '%bastions%'}", addresses) == [True, True, False]
    assert matched("{source.port|expand: '%ports%'}", [{"source.port": 443}, {"source.port": 80}]) == [True, False]
    assert matched("{process.command_line|expand: 'ssh %people%@*'}", [{"process.command_line": "ssh anna@h"}]) == [True]


def test_an_explanation_names_the_empty_list() -> None:
    (rule,) = load("{user.name|expand: '%nobody%'}").rules
    assert explain(rule, {"user.name": "x"}).why() == ["user.name is '%nobody% (an empty list)': no, it is 'x'"]


@pytest.mark.parametrize(("selection", "message"), [
    ("{user.name|expand: '%bastion%'}", "rule.yml:6: rule 'T': user.name|expand: unknown list %bastion% (did you mean bastions?"),
    ("{user.name|expand: '%x%'}", "unknown list %x% (lists: bastions, nobody, people, ports;"),
    ("{user.name|expand: anna}", "user.name|expand: 'anna' has no placeholder"),
    ("{user.name|expand: 5}", "user.name|expand: 5 has no placeholder"),
    ("{user.name|expand: '%people%', user.name: x}", "user.name: a second 'user.name' in one selection")])
def test_what_is_wrong_is_said_with_file_and_line(selection: str, message: str) -> None:
    loaded = load(selection)
    assert not loaded.rules
    assert message in str(loaded.errors[0])


def test_a_value_that_does_not_suit_the_field_is_refused() -> None:
    assert "cidr" in str(load("{source.ip|cidr|expand: '%people%'}").errors[0])


def test_lists_are_read_from_files_and_replaced_by_name(tmp_path: Path) -> None:
    ours, users = tmp_path / "ours", tmp_path / "users"
    ours.mkdir()
    users.mkdir()
    (ours / "lists.yml").write_text("admins: [root, 7]\nempty:\nbackup: []\n")
    (ours / "jump.txt").write_text("# jump hosts\n192.0.2.1  # the first\n\n192.0.2.2\n192.0.2.1\n")
    (ours / "people.csv").write_text('name,team\n"a, b",x\nc,y\n')
    (users / "backup.txt").write_text("veeam\n")
    lists = read_lists([ours, users, tmp_path / "none"])
    assert not lists.errors
    assert {name: found.values for name, found in lists.by_name.items()} == {
        "admins": ("root", 7), "empty": (), "backup": ("veeam",), "jump": ("192.0.2.1", "192.0.2.2"), "people": ("a, b", "c")}


@pytest.mark.parametrize(("name", "text", "message"), [
    ("lists.yml", "a: {b: c}\n", "lists.yml:1: a"), ("lists.yml", "a: [1]\nb c: [1]\n", "lists.yml:2: 'b c' is no name of a list"),
    ("lists.yml", "a: [1]\na: [2]\n", "lists.yml:2: duplicate key 'a'"),
    ("more.yml", "a: [1]\n", "more.yml:1: not read: lists in YAML are in"),
    ("b-c.txt", "x\n", "b-c.txt:1: 'b-c' is no name"), ("twice.csv", "h\nx\n", "list 'twice' is also in")])
def test_wrong_files_of_lists(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "twice.txt").write_text("x\n")
    (tmp_path / name).write_text(text)
    errors = [str(error) for error in read_lists([tmp_path]).errors]
    assert any(message in error for error in errors), errors


def test_placeholders_of_a_rule_are_known_after_they_are_written_out() -> None:
    (rule,) = load("[{user.name|expand: ['%people%', 'x%nobody%']}, {host.name: '%not%'}]").rules
    assert placeholders(rule.document) == {"people", "nobody"}
