"""Rules of others: their fields and log sources mapped by data; what they may lack, and what is still refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline.kernel.detect import Detector
from pipeline.kernel.engine import Engine
from pipeline.proofs import WRITTEN
from pipeline.sigma.catalogue import Catalogue, load_catalogue
from pipeline.sigma.compile import check_rule
from pipeline.sigma.field_maps import read_field_maps
from pipeline.sigma.lint import lint_catalogue
from pipeline.sigma.load import Places

# Written by us in SigmaHQ's style: their taxonomy, no `custom`, no cases.
ESXCLI = """\
title: ESXi VM Killed By Esxcli
id: 60000000-0000-4000-8000-000000000001
status: test
description: Detects a virtual machine ended with esxcli.
author: Somebody
date: 2026-01-01
modified: 2026-02-02
tags: [attack.impact]
logsource:
  category: process_creation
  product: linux
detection:
  selection:
    Image|endswith: '/esxcli'
    CommandLine|contains|all:
      - 'vm process'
      - 'kill'
  filter_main_help:
    CommandLine|contains: '--help'
  condition: selection and not 1 of filter_main_*
falsepositives:
  - Administrators
level: medium
"""
SHELL = "2026-03-01T10:05:00.000Z esx01 shell[2099]: [{}]: {}\n"
AUDIT = ('type=SYSCALL msg=audit(1772359500.{n:03d}:{n}): arch=c000003e syscall=59 success=yes exit=0 items=2 ppid=1 pid=2 '
         'auid=0 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0 ses=1 comm="x" exe="{exe}" key=(null)\n'
         'type=EXECVE msg=audit(1772359500.{n:03d}:{n}): argc={argc} {args}\n')


def catalogue(folder: Path, text: str, *maps: Path) -> Catalogue:
    (folder / "theirs").mkdir(exist_ok=True)
    (folder / "theirs" / "rule.yml").write_text(text)
    return load_catalogue(Places(others=(folder / "theirs",), field_maps=maps))


def hits(found: Catalogue, title: str, parser: str, log: str) -> list[str]:
    rule = next(rule for rule in found.rules if rule.title == title)
    engine = Engine()
    events = pl.concat([batch.events for batch in engine.process_bytes(log.encode(), WRITTEN, "x.log", parser)], how="diagonal")
    rows = engine.detector([rule]).detect(events)["event_index"]
    return events[rows].get_column("process.command_line").to_list()


def test_a_rule_for_esxi_in_their_words_matches_the_shell_log(tmp_path: Path) -> None:
    found = catalogue(tmp_path, ESXCLI)
    assert not found.errors
    commands = ["esxcli vm process kill --type=force -w 12", "/bin/esxcli vm process KILL -t soft -w 3", "esxcli vm process list",
                "esxcli --help vm process kill", "myesxcli vm process kill", "cat /tmp/esxcli vm process kill"]
    log = "".join(SHELL.format("root", command) for command in commands)
    assert hits(found, "ESXi VM Killed By Esxcli", "vmware-esxi", log) == commands[:2]


def test_and_the_audit_records_of_a_host_by_the_path_of_the_program(tmp_path: Path) -> None:
    log = (AUDIT.format(n=1, exe="/usr/bin/esxcli", argc=4, args='a0="esxcli" a1="vm" a2="process" a3="kill"')
           + AUDIT.format(n=2, exe="/usr/bin/other", argc=4, args='a0="esxcli" a1="vm" a2="process" a3="kill"'))
    assert hits(catalogue(tmp_path, ESXCLI), "ESXi VM Killed By Esxcli", "linux-auditd", log) == ["esxcli vm process kill"]


def test_what_others_do_not_have_is_no_fault_of_theirs(tmp_path: Path) -> None:
    bare = ESXCLI.replace("id: 60000000-0000-4000-8000-000000000001\n", "").replace("author:", "custom: [x]\nteam: a\nauthor:")
    found = catalogue(tmp_path, bare)
    rule = next(rule for rule in found.rules if rule.title == "ESXi VM Killed By Esxcli")
    assert lint_catalogue(Catalogue(rules=(rule,), correlations=(), errors=found.errors, written=(rule,))) == []
    assert rule.version == "2026-02-02", "of a rule without our version, the day of its last change"
    again = catalogue(tmp_path, rule.document.path.read_text())
    assert next(r.id for r in again.rules if r.title == rule.title) == rule.id != "", "a rule without an id gets one, always the same"


@pytest.mark.parametrize(("old", "new", "messages"), [
    ("Image|endswith", "ParentImage|endswith", ["rule.yml:14: rule 'ESXi VM Killed By Esxcli': ParentImage|endswith: unknown field"]),
    ("Image|endswith", "Image|endswit", ["rule.yml:14: rule 'ESXi VM Killed By Esxcli': process.executable|endswit: Unknown modifier"]),
    ("1 of filter_main_*", "1 of filter_*", []), ("1 of filter_main_*", "filter_mian", ["condition names 'map0_filter_mian'"])])
def test_what_cannot_be_read_is_said_once_with_its_line(old: str, new: str, messages: list[str], tmp_path: Path) -> None:
    found = catalogue(tmp_path, ESXCLI.replace(old, new))
    theirs = [rule for rule in found.rules if rule.document.foreign]
    errors = [str(error) for error in (*found.errors, *(error for rule in theirs for error in check_rule(rule)))]
    assert len(errors) == len(messages), errors
    assert all(message in error for message, error in zip(messages, errors, strict=True)), errors


def test_a_map_that_lacks_a_field_is_no_alternative(tmp_path: Path) -> None:
    """The shell log of ESXi has no working directory; the rule is then about audit records alone."""
    found = catalogue(tmp_path, ESXCLI.replace("Image|endswith: '/esxcli'", "CurrentDirectory: /tmp"))
    rule = next(rule for rule in found.rules if rule.document.foreign)
    assert check_rule(rule) == []
    assert rule.sigma.detection.detections.keys() == {"selection", "filter_main_help", "_log_source"}


def test_a_users_map_replaces_ours_and_adds_sources(tmp_path: Path) -> None:
    mine = tmp_path / "map.yml"
    mine.write_text("logsource: {product: linux, category: process_creation}\ndatasets: [linux.auditd]\n"
                    "fields: {Image: process.name, CommandLine: process.title}\n")
    found = catalogue(tmp_path, ESXCLI, mine)
    rule = next(rule for rule in found.rules if rule.document.foreign)
    assert {keys[-1] for keys in rule.document.lines if keys[:2] == ("detection", "map0_selection") and len(keys) == 3} == {
        "process.name|endswith", "process.title|contains|all"}


def test_filters_for_rules_of_others_may_use_their_fields(tmp_path: Path) -> None:
    text = ESXCLI.replace("title: ESXi", "name: killed\ntitle: ESXi") + """\
---
title: Not by the manager
id: 60000000-0000-4000-8000-000000000008
logsource: {product: linux, category: process_creation}
filter:
  rules: [killed]
  selection: {User: vpxuser}
  condition: not selection
"""
    found = catalogue(tmp_path, text)
    assert not found.errors, [str(error) for error in found.errors]
    log = "".join(SHELL.format(user, "esxcli vm process kill -t soft") for user in ("root", "vpxuser"))
    assert len(hits(found, "ESXi VM Killed By Esxcli", "vmware-esxi", log)) == 1


def test_correlations_of_others_group_by_our_fields(tmp_path: Path) -> None:
    text = ESXCLI.replace("title: ESXi", "name: killed\ntitle: ESXi") + """\
---
title: Many Killed
id: 60000000-0000-4000-8000-000000000009
correlation:
  type: value_count
  rules: [killed]
  group-by: [User, host.name]
  aliases: {who: {killed: User}}
  timespan: 1h
  condition: {field: CommandLine, gte: 3}
"""
    found = catalogue(tmp_path, text)
    (theirs,) = (each for each in found.correlations if each.document.foreign)
    assert (theirs.group_by, theirs.threshold.fields) == (("user.name", "host.name"), ("process.command_line",))
    assert list(theirs.aliases["who"].values()) == ["user.name"]


def rows(*pairs: tuple[str, str]) -> pl.DataFrame:
    return pl.DataFrame({"event.dataset": [dataset for dataset, _ in pairs], "event.action": [action for _, action in pairs]})


@pytest.mark.parametrize(("logsource", "hit"), [
    ("{product: aws, service: cloudtrail}", [0]), ("{product: windows, category: process_creation}", [])])
def test_the_log_source_of_a_rule_stays_where_a_map_names_no_datasets(logsource: str, hit: list[int], tmp_path: Path) -> None:
    text = (f"title: Theirs\nid: 60000000-0000-4000-8000-000000000002\nlogsource: {logsource}\n"
            "detection: {sel: {event.action: CreateUser}, condition: sel}\nlevel: low\n")
    rule = next(rule for rule in catalogue(tmp_path, text).rules if rule.document.foreign)
    sources = {"aws.cloudtrail": {"product": "aws", "service": "cloudtrail"}}
    assert Detector([rule], sources).detect(rows(("aws.cloudtrail", "CreateUser"), ("other", "CreateUser")))["event_index"].to_list() == hit


@pytest.mark.parametrize(("detection", "event", "hit"), [
    ("{type: EXECVE, a0: chattr, a1: '-i'}", {"auditd.record_types": ["SYSCALL", "EXECVE"], "process.args": ["chattr", "-i", "x"]}, True),
    ("{type: EXECVE, a0: chattr, a1: '-i'}", {"auditd.record_types": ["EXECVE"], "process.args": ["chattr", "x"]}, False),
    ("{exe|fieldref: comm}", {"process.executable": "x", "process.name": "X"}, True)])
def test_two_of_their_fields_may_be_one_of_ours(detection: str, event: dict[str, Any], hit: bool, tmp_path: Path) -> None:
    text = (f"title: Theirs\nid: 60000000-0000-4000-8000-000000000003\nlogsource: {{product: linux, service: auditd}}\n"
            f"detection: {{sel: {detection}, condition: sel}}\nlevel: low\n")
    rule = next(rule for rule in catalogue(tmp_path, text).rules if rule.document.foreign)
    assert check_rule(rule) == []
    assert bool(Detector([rule]).detect(pl.DataFrame([event])).height) == hit


@pytest.mark.parametrize(("text", "message"), [
    ("logsource: {product: x}\nfields:\n  A: user.name\n  B: user.nam\n", "map.yml:4: fields.B"),
    ("fields: {A: user.name}\n", "map.yml: logsource"),
    ("logsource: {product: x}\nfeilds: {A: user.name}\n", "map.yml:2: feilds"),
    ("logsource: {product: x}\nwhen: {event.categry: process}\n", "map.yml:2: when.event.categry")])
def test_wrong_maps_are_refused_with_their_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "map.yml"
    path.write_text(text)
    found = read_field_maps(tmp_path / "none", [path])
    assert not found.maps and message in str(found.errors[0]), str(found.errors[0])


def test_our_maps_are_sound() -> None:
    found = read_field_maps(Path("detections/field_maps"), [])
    assert not found.errors and len(found.maps) >= 5
    assert {dataset for each in found.maps for dataset in each.datasets} <= {spec.dataset for spec in Engine().parsers.values()}
