"""Reading rules: lines, several documents, metadata, cases, and errors that are collected."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from pipeline.errors import ContentError
from pipeline.sigma.cases import load_cases
from pipeline.sigma.known import Known, read_known
from pipeline.sigma.lint import lint_folder
from pipeline.sigma.load import Places, load_rules, load_text

GOOD = """\
title: Host audit record of a power off
id: 20000000-0000-4000-8000-000000000001
status: experimental
description: A virtual machine was powered off on the host itself.
references: [https://example.org/vm]
author: Hypervigil
date: 2026-11-24
tags: [attack.impact, attack.t1529]
logsource: {product: vmware, service: esxi}
detection:
  sel:
    event.action: vm.power.off
  filter_manager:
    user.name: vpxuser
  condition: sel and not 1 of filter_*
falsepositives: [maintenance on the host]
level: high
custom:
  threat: ransomware-chain
  evidence:
    - {kind: documented, source: esx_audit.csv, value: vm.power.off}
  blind_spots: none known
  response: [ask the user]
  attack_v18: [T1529]
"""
CASES = """\
cases:
  - name: by root
    parser: vmware-esxi
    raw: |
      one line
      and another
    fires: true
    expect: {user.name: root}
  - {name: by the manager, parser: vmware-esxi, raw: x, fires: false}
"""


def test_a_good_rule_is_carried_whole() -> None:
    loaded = load_text(GOOD, Path("x/power_off.yml"))
    assert not loaded.errors
    (rule,) = loaded.rules
    assert (rule.id, rule.level, rule.status, rule.date) == (
        "20000000-0000-4000-8000-000000000001", "high", "experimental", dt.date(2026, 11, 24))
    assert rule.logsource == {"product": "vmware", "service": "esxi"}
    assert rule.tags == ("attack.impact", "attack.t1529")
    assert rule.custom.threat == "ransomware-chain"
    assert rule.custom.evidence[0].value == "vm.power.off"
    assert rule.cases_path == Path("x/power_off.cases.yaml")
    assert rule.document.line("detection", "sel", "event.action") == 12
    assert rule.document.line("detection", "sel", "absent") == 11
    assert rule.document.at("custom", "response", 0) == "ask the user"
    assert rule.document.at("custom", "absent") is None


def test_several_documents_and_correlations() -> None:
    correlation = "title: Many\ncorrelation: {type: event_count, rules: [a], timespan: 5m, condition: {gte: 5}}\n"
    loaded = load_text(f"{GOOD}---\n{correlation}", Path("x.yml"))
    assert not loaded.errors
    assert len(loaded.rules) == 1
    assert loaded.correlations[0].line("correlation") == 27


def test_a_folder_collects_errors_and_rules(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "bad.yml").write_text("title: x\ntitle: y\n")
    (tmp_path / "a" / "binary.yml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "b.yml").write_text(GOOD)
    (tmp_path / "b.cases.yaml").write_text(CASES)
    loaded = load_rules(Places(tmp_path))
    assert [rule.title for rule in loaded.rules] == ["Host audit record of a power off"]
    assert [Path(str(error.path)).name for error in loaded.errors] == ["bad.yml", "binary.yml"]
    cases = load_cases(loaded.rules[0].cases_path)
    assert [case.fires for case in cases] == [True, False]
    assert cases[0].raw == "one line\nand another\n"
    assert cases[0].expect == {"user.name": "root"}


@pytest.mark.parametrize("text", ["", "&a [*a]\n", "title: &a [*a]\n", "? [1, 2]\n: x\n", "title: !!python/object:os.system x\n",
                                  "detection: {condition: 1}\ntitle: x\n", "detection: {a: {b: {c: d}}, condition: a}\ntitle: [x]\n",
                                  "title: x\ndetection: {condition: [1, a], a: {x|re: 5}}\nlogsource: x\nlevel: [a]\ntags: 5\n",
                                  "title: x\nlogsource: {product: vmware}\ncustom: [a]\ndetection: {a: !!binary aGk=, condition: a}\n"])
def test_misshapen_text_gives_errors_not_exceptions(text: str) -> None:
    loaded = load_text(text, Path("x.yml"))
    assert not loaded.rules
    assert all(isinstance(error, ContentError) for error in loaded.errors)


def test_the_good_rule_passes_the_linter_with_what_a_parsers_folder_holds(tmp_path: Path) -> None:
    rules, parser = tmp_path / "detections", tmp_path / "parsers" / "vmware-esxi"
    (parser / "tables").mkdir(parents=True)
    (parser / "samples").mkdir()
    rules.mkdir()
    (rules / "a.yml").write_text(GOOD)
    (rules / "a.cases.yaml").write_text(CASES)
    (parser / "samples" / "a.log").write_text("type=vm.power.on")
    (parser / "tables" / "esx_audit.csv").write_text("event_id,event.category\nvm.power.off,host\n")
    (parser / "parser.yml").write_text(
        "logsource: {product: vmware, service: esxi}\n"
        "stages:\n"
        "  - {name: a, forms: [{id: x, pattern: 'by %{USER:user.name}', set: {event.action: ssh-login}}]}\n"
        "  - {name: b, ops: [{map: {field: event.code, from: x, values: {a: b.c}}}]}\n")
    known = read_known(parser.parent)
    assert known.parsers == {"vmware-esxi"}
    assert set(known.ids) == {"vm.power.off", "ssh-login", "b.c"}
    assert known.contradicts("somewhere/esx_audit.csv", "made.up")
    assert known.contradicts("parsers/vmware-esxi/samples/a.log", "made.up")
    assert not known.contradicts("parsers/vmware-esxi/samples/a.log", "vm.power.on")
    assert not known.contradicts("a vendor's page", "anything")
    assert lint_folder(rules, known) == []
    assert [error.message for error in lint_folder(rules, Known(parsers=known.parsers))] == []
