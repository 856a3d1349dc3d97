"""Sigma filters: part of the rules they name before those are compiled, and of no other."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline.kernel.engine import Engine
from pipeline.proofs import parse_apart
from pipeline.sigma.cases import load_cases
from pipeline.sigma.catalogue import Catalogue, load_catalogue, resolve
from pipeline.sigma.compile import compile_rule
from pipeline.sigma.lists import Lists, ValueList
from pipeline.sigma.load import Places, Reading, load_text
from pipeline.sigma.terms import matches

RULE = """\
title: {name}
name: {name}
id: 50000000-0000-4000-8000-{number:012d}
level: low
logsource: {logsource}
detection:
  selection: {{event.action: stop}}
  selection_more: {{event.action: kill}}
  condition: {condition}
"""
FILTER = """\
title: Not by the manager
id: 50000000-0000-4000-8000-0000000000ff
description: What vCenter does itself.
logsource: {product: vmware}
filter:
  rules: [esx]
  selection: {user.name: vpxuser}
  condition: not selection
"""


def rule(name: str = "esx", number: int = 1, condition: str = "selection", logsource: str = "{product: vmware, service: esxi}") -> str:
    return RULE.format(name=name, number=number, condition=condition, logsource=logsource)


def catalogue(*texts: str) -> Catalogue:
    return resolve(load_text("---\n".join(texts), Path("rules.yml"), Reading(Lists({"proxies": ValueList("proxies", (), Path("p.txt"))}))))


def fires(found: Catalogue, name: str, *events: dict[str, Any]) -> list[bool]:
    assert not found.errors, [str(error) for error in found.errors]
    wanted = next(rule for rule in found.rules if rule.name == name)
    names = sorted({name for event in events for name in event})
    return matches(compile_rule(wanted), pl.DataFrame({name: [event.get(name) for event in events] for name in names})).to_list()


STOP = {"event.action": "stop", "user.name": "root"}
OWN = STOP | {"user.name": "vpxuser"}


def test_the_named_rule_leaves_out_what_the_filter_says_and_others_do_not() -> None:
    found = catalogue(rule(), rule("other", 2), FILTER)
    assert fires(found, "esx", STOP, OWN) == [True, False]
    assert fires(found, "other", STOP, OWN) == [True, True]
    assert [each.name for each in found.rules if each.filters] == ["esx"]
    assert fires(catalogue(rule(), FILTER.replace("[esx]", "esx")), "esx", STOP, OWN) == [True, False], "one name without brackets"
    by_id = FILTER.replace("[esx]", "[50000000-0000-4000-8000-000000000001]")
    assert fires(catalogue(rule(), by_id), "esx", STOP, OWN) == [True, False]


@pytest.mark.parametrize("every", ["any", "Any", "[]"])
def test_any_means_every_rule_within_the_log_source(every: str) -> None:
    found = catalogue(rule(), rule("vcenter", 2, logsource="{product: vmware}"), rule("kvm", 3, logsource="{product: linux}"),
                      FILTER.replace("[esx]", every))
    assert [fires(found, name, OWN) for name in ("esx", "vcenter", "kvm")] == [[False], [False], [True]]


@pytest.mark.parametrize("condition", [
    "selection or selection_more", "1 of selection*", "1 of them", "any of them", "not (selection_more and selection)",
    "[selection, selection_more]"])
def test_the_condition_of_the_rule_is_kept_together(condition: str) -> None:
    assert fires(catalogue(rule(condition=condition), FILTER), "esx", STOP, OWN, {"event.action": "kill", "user.name": "vpxuser"}) == [
        True, False, False]


def test_names_of_rule_and_filter_do_not_mix() -> None:
    same = FILTER.replace("  condition: not selection", "  selection_more: {user.name: ops}\n  condition: not 1 of selection*")
    found = catalogue(rule(condition="selection or selection_more"), same, same.replace("00ff", "00fe").replace("vpxuser", "dcui"))
    events = [STOP, *(STOP | {"user.name": name} for name in ("vpxuser", "ops", "dcui"))]
    assert fires(found, "esx", *events) == [True, False, False, False]
    every = FILTER.replace("not selection", "not 1 of them")
    assert fires(catalogue(rule(), every), "esx", STOP, OWN) == [True, False], "`them` of a filter are its own"


def test_a_rule_with_hidden_selections_keeps_their_meaning() -> None:
    """`_x` is what `them` leaves out; a pattern that names such selections must not reach those of a filter."""
    hidden = rule(condition="selection and not 1 of _x*").replace("selection_more: {event.action: kill}", "_x: {user.name: ops}")
    assert fires(catalogue(hidden, FILTER), "esx", STOP, OWN, STOP | {"user.name": "ops"}) == [True, False, False]
    every = hidden.replace("1 of _x*", "1 of _*")
    assert fires(catalogue(every, FILTER), "esx", STOP, OWN, STOP | {"user.name": "ops"}) == [True, False, False]


def test_rules_share_nothing_through_a_filter() -> None:
    found = catalogue(rule(), rule("other", 2), FILTER.replace("[esx]", "[esx, other]"))
    one, two = (each.sigma.detection.detections["_filter0_selection"] for each in found.rules)
    assert one is not two and one.detection_items[0] is not two.detection_items[0]
    assert "_filter0_selection" not in found.written[0].sigma.detection.detections, "what the author wrote stays as it is"


def test_a_filter_over_an_empty_list_leaves_nothing_out() -> None:
    found = catalogue(rule(), FILTER.replace("user.name: vpxuser", "user.name|expand: '%proxies%'"))
    assert fires(found, "esx", STOP, OWN) == [True, True]


@pytest.mark.parametrize(("old", "new", "message"), [
    ("[esx]", "[ex]", "rules.yml:16: filter 'Not by the manager': names 'ex', which is no rule (did you mean esx?)"),
    ("[esx]", "[esx, many]", "names 'many', a correlation (filter the rules that it refers to)"),
    ("product: vmware", "product: linux", "its log source {'product': 'linux'} is not that of 'esx'"),
    ("product: vmware", "product: vmware, service: vcenter", "is not that of 'esx', {'product': 'vmware', 'service': 'esxi'}"),
    ("not selection", "not selectoin", "rules.yml:18: filter 'Not by the manager': condition names 'selectoin', which is no selection"),
    ("not selection", "not (selection", "condition cannot be parsed"),
    ("  condition: not selection\n", "", "rules.yml:15: filter 'Not by the manager': `condition` must be one text"),
    ("  rules: [esx]\n", "", "rules.yml:15: filter 'Not by the manager': `rules` is missing (a list of names or ids of rules, or any)"),
    ("user.name: vpxuser", "user.nam: vpxuser", "rules.yml:17: filter 'Not by the manager': user.nam: unknown field 'user.nam'"),
    ("filter:\n", "filter: x\nunused:\n", "`filter` must be a mapping"),
    ("50000000-0000-4000-8000-0000000000ff", "50000000-0000-4000-8000-000000000001", "its id is also that of 'esx'")])
def test_wrong_filters_are_refused_and_not_applied(old: str, new: str, message: str) -> None:
    many = ("title: Many\nname: many\nid: 50000000-0000-4000-8000-0000000000aa\n"
            "correlation: {type: event_count, rules: [esx], timespan: 1h, condition: {gte: 2}}\n")
    text = FILTER.replace(old, new)
    assert text != FILTER
    found = catalogue(rule(), text, many)
    assert any(message in str(error) for error in found.errors), [str(error) for error in found.errors]
    assert "many" in new or not found.rules[0].filters


ENGINE = Engine()


@cache
def ours(lists: Path | None) -> Catalogue:
    """Our rules, with lists of a folder."""
    return load_catalogue(Places(lists=lists))


def hits_of_cases(name: str, lists: Path | None, **fields: str) -> tuple[pl.DataFrame, int]:
    """The events of a rule's firing cases, with some fields set, and how many of them it finds with some lists filled."""
    wanted = next(rule for rule in ours(lists).rules if rule.path.stem == name)
    logs = [log for case in load_cases(wanted.cases_path) if case.fires for log in case.sources]
    frames = [frame for log in logs for frame in parse_apart(ENGINE, [log.raw.encode()], log.parser) if frame.height]
    events = pl.concat(frames, how="diagonal").with_columns(pl.lit(value).alias(key.replace("__", ".")) for key, value in fields.items())
    return events, ENGINE.detector([wanted]).detect(events).height


@pytest.mark.parametrize("name", ["vcenter_snapshot_created", "vcenter_disk_attached", "vcenter_disk_detached", "vcenter_vm_cloned"])
def test_our_filter_for_backup_products_waits_for_its_list(name: str, tmp_path: Path) -> None:
    _, found = hits_of_cases(name, None, user__name="svc-Backup")
    assert found, "the list that we ship is empty"
    (tmp_path / "backup_accounts.txt").write_text("svc-backup\n")
    assert hits_of_cases(name, tmp_path, user__name="svc-Backup")[1] == 0
    assert hits_of_cases(name, tmp_path, user__name="anna")[1] == found


@pytest.mark.parametrize("name", ["esx_login_failed", "esx_session_token_used"])
def test_our_filter_for_vcenter_needs_its_account_and_its_address(name: str, tmp_path: Path) -> None:
    (tmp_path / "vcenter_servers.csv").write_text("address,name\n192.0.2.0/29,vc01\n2001:db8::5,vc02\n")
    own = {"user__name": "vpxuser", "source__ip": "192.0.2.4"}
    found = hits_of_cases(name, None, **own)[1]
    assert found
    assert hits_of_cases(name, tmp_path, **own)[1] == hits_of_cases(name, tmp_path, **own | {"source__ip": "2001:db8::5"})[1] == 0
    assert hits_of_cases(name, tmp_path, **own | {"source__ip": "192.0.2.99"})[1] == found, "whoever took its password"
    assert hits_of_cases(name, tmp_path, **own | {"user__name": "root"})[1] == found
