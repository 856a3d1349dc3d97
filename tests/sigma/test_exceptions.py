"""Exceptions of users: read with file and line of what is wrong, judged on hits, expired by the day of the run."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pipeline.raising import from_findings, from_hits
from pipeline.sigma.catalogue import Catalogue, resolve
from pipeline.sigma.exceptions import Exceptions, load_exceptions
from pipeline.sigma.lists import Lists, ValueList
from pipeline.sigma.load import load_text

TODAY = date(2026, 11, 24)
RULES = """\
title: SSH enabled
name: ssh_enabled
id: 30000000-0000-4000-8000-000000000001
level: high
logsource: {product: vmware}
detection: {sel: {event.action: ssh.enabled}, condition: sel}
---
title: Many stopped
name: many_stopped
id: 30000000-0000-4000-8000-000000000002
level: high
logsource: {product: vmware}
detection: {sel: {event.action: vm.stop}, condition: sel}
custom: {group_by: [host.name]}
---
title: Stops in a row
name: stops
id: 30000000-0000-4000-8000-000000000003
correlation: {type: event_count, rules: [many_stopped], group-by: [host.name], timespan: 1h, condition: {gte: 2}}
"""
ENTRY = """\
- rule: ssh_enabled
  when: {host.name|startswith: lab-}
  owner: anna
  reason: lab hosts are maintained by SSH
  expires: 2027-01-31
"""
LISTS = Lists({"labs": ValueList("labs", ("lab-1", "lab-2"), Path("lists.yml"))})


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    found = resolve(load_text(RULES, Path("rules.yml")))
    assert not found.errors
    return found


def read(text: str, catalogue: Catalogue, folder: Path) -> tuple[Exceptions, list[str]]:
    path = folder / "exceptions.yml"
    path.write_text(text)
    found, errors = load_exceptions(path, catalogue.everything, LISTS, TODAY)
    return found, [str(error).replace(f"{folder}/", "") for error in errors]


def row(rule: int, number: int, **fields: Any) -> dict[str, Any]:
    named = {name.replace("__", "."): value for name, value in fields.items()}
    return {"rule_id": f"30000000-0000-4000-8000-{rule:012d}", "event_id": f"{rule}-{number}",
            "@timestamp": f"2026-03-01T10:{number:02d}:00Z"} | named


def test_an_alert_of_nothing_but_silenced_events_is_kept_as_suppressed(catalogue: Catalogue, tmp_path: Path) -> None:
    found, errors = read(ENTRY, catalogue, tmp_path)
    assert not errors and found.fields == {"host.name"}
    hits = [row(1, 1, host__name="LAB-7"), row(1, 2, host__name="LAB-7"), row(1, 3, host__name="prod-1")]
    quiet, loud = from_hits(hits, catalogue.rules, found)
    assert quiet.suppressed is not None and (quiet.count, quiet.suppressed.owner) == (2, "anna")
    assert (quiet.suppressed.reason, quiet.suppressed.expires) == ("lab hosts are maintained by SSH", date(2027, 1, 31))
    assert loud.suppressed is None and loud.entities.host == ("prod-1",)
    assert {alert.id for alert in from_hits(hits, catalogue.rules)} == {quiet.id, loud.id}, "an exception changes no id"


def test_an_alert_of_which_some_events_are_silenced_is_one_of_the_others(catalogue: Catalogue, tmp_path: Path) -> None:
    found, _ = read(ENTRY.replace("{host.name|startswith: lab-}", "{source.ip: 192.0.2.1}"), catalogue, tmp_path)
    hits = [row(1, n, host__name="esx1", source__ip=f"192.0.2.{n}") for n in (1, 2, 3)]
    (alert,) = from_hits(hits, catalogue.rules, found)
    assert alert.suppressed is None and (alert.count, alert.entities.source_ip) == (2, ("192.0.2.2", "192.0.2.3"))


@pytest.mark.parametrize(("when", "silent"), [
    ("{host.name: esx1}", True), ("{host.name: esx2}", False), ("{vm.name: [a, b]}", True), ("{vm.name: a}", False)])
def test_a_correlation_is_silenced_by_its_group_and_its_evidence(when: str, silent: bool, catalogue: Catalogue, tmp_path: Path) -> None:
    found, _ = read(ENTRY.replace("ssh_enabled", "stops").replace("{host.name|startswith: lab-}", when), catalogue, tmp_path)
    finding = {"correlation": "30000000-0000-4000-8000-000000000003", "key": "esx1", "group": ["esx1"], "first": 0, "last": 60_000_000,
               "closes": 60_000_000, "value": 2.0, "count": 2, "events": ["2-0", "2-1"]}
    behind = {f"2-{n}": [row(2, n, vm__name=name)] for n, name in enumerate("ab")}
    (alert,) = from_findings([finding], catalogue.correlations, behind, found)
    assert (alert.suppressed is not None) == silent


def test_an_expired_exception_does_nothing_and_is_listed(catalogue: Catalogue, tmp_path: Path) -> None:
    found, errors = read(ENTRY.replace("2027-01-31", "2026-11-23") + ENTRY.replace("2027-01-31", "2026-11-24"), catalogue, tmp_path)
    assert not errors
    assert [e.line for e in found.expired] == [1] and [e.line for e in found.active] == [6], "the last day still counts"
    only_expired = Exceptions(found.expired, TODAY)
    assert from_hits([row(1, 1, host__name="lab-1")], catalogue.rules, only_expired)[0].suppressed is None
    assert only_expired.version == "" != found.version


def test_of_several_the_first_to_end_is_told(catalogue: Catalogue, tmp_path: Path) -> None:
    found, _ = read(ENTRY + ENTRY.replace("anna", "bob").replace("2027-01-31", "2026-12-24"), catalogue, tmp_path)
    (alert,) = from_hits([row(1, 1, host__name="lab-1")], catalogue.rules, found)
    assert alert.suppressed is not None and alert.suppressed.owner == "bob"


@pytest.mark.parametrize(("when", "hit"), [
    ("{user.name|expand: '%labs%'}", {"user.name": "LAB-2"}), ("{source.ip|cidr: 192.0.2.0/24}", {"source.ip": "192.0.2.77"}),
    ("{event.category: host, host.name: lab-1}", {"event.category": ["host", "x"], "host.name": "lab-1"}),
    ("{process.pid: 7}", {"process.pid": 7}),
    ("{vm.name: null}", {})])
def test_conditions_are_those_of_sigma(when: str, hit: dict[str, Any], catalogue: Catalogue, tmp_path: Path) -> None:
    found, errors = read(ENTRY.replace("{host.name|startswith: lab-}", when), catalogue, tmp_path)
    assert not errors
    assert from_hits([row(1, 1) | hit], catalogue.rules, found)[0].suppressed is not None


@pytest.mark.parametrize(("old", "new", "message"), [
    ("rule: ssh_enabled", "rule: ssh_enabeld", "exceptions.yml:1: exception 1: no rule is named 'ssh_enabeld' (did you mean ssh_enabled?)"),
    ("  owner: anna\n", "", "exceptions.yml:1: exception 1: owner: Field required (an exception has rule, when"),
    ("owner: anna", "owner: ''", "exceptions.yml:3: exception 1: owner: String should have at least 1 character"),
    ("expires: 2027-01-31", "expires: soon", "exceptions.yml:5: exception 1: expires: Input should be a valid date"),
    ("reason:", "because:", "exceptions.yml:4: exception 1: because: Extra inputs are not permitted"),
    ("host.name|startswith", "host.nam|startswith", "exceptions.yml:2: exception 1: host.nam|startswith: unknown field 'host.nam'"),
    ("host.name|startswith", "host.name|startwith", "exceptions.yml:2: exception 1: host.name|startwith: Unknown modifier 'startwith'"),
    ("{host.name|startswith: lab-}", "{host.name|expand: '%lab%'}", "exceptions.yml:2: exception 1: host.name|expand: unknown list"),
    ("{host.name|startswith: lab-}", "{}", "exceptions.yml:2: exception 1: when: Dictionary should have at least 1 item"),
    ("- rule", "rule", "exceptions.yml:2: not valid YAML")])
def test_what_is_wrong_is_said_with_file_and_line(old: str, new: str, message: str, catalogue: Catalogue, tmp_path: Path) -> None:
    found, errors = read(ENTRY.replace(old, new), catalogue, tmp_path)
    assert not found.entries and len(errors) >= 1
    assert message in "\n".join(errors)


def test_no_file_means_no_exceptions(catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_exceptions(None, catalogue.everything, LISTS, TODAY) == (Exceptions((), TODAY), [])
    (tmp_path / "exceptions.yml").write_text(ENTRY)
    assert len(load_exceptions(None, catalogue.everything, LISTS, TODAY)[0].active) == 1, "the one in the working directory is found"
    (tmp_path / "exceptions.yml").write_text("")
    assert load_exceptions(None, catalogue.everything, LISTS, TODAY) == (Exceptions((), TODAY), [])
    missing, errors = load_exceptions(tmp_path / "none.yml", catalogue.everything, LISTS, TODAY)
    assert not missing.entries and "cannot be read" in errors[0].message
