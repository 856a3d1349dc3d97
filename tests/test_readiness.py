"""Readiness: what each rule needs, told apart into what is there, rare, silent and never seen; and what to switch on."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from rich.console import Console

from pipeline import run as spine
from pipeline.checking import check_families
from pipeline.config import Settings
from pipeline.errors import ContentError, LakeError
from pipeline.families import Families, load_families
from pipeline.kernel.spec import load_parsers
from pipeline.lake import Lake
from pipeline.needs import SEEN, Ready, can_match, ids_of, judge
from pipeline.readiness import readiness
from pipeline.shortfalls import print_survey
from pipeline.sigma.catalogue import Catalogue, load_catalogue, resolve
from pipeline.sigma.compile import compile_rule
from pipeline.sigma.load import load_text

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

NOW = datetime(2026, 3, 31, tzinfo=UTC)
SINCE = NOW - timedelta(days=7)
FAMILIES = [load_families(spec) for spec in load_parsers().values()]
RULE = """title: {name}
name: {name}
id: 10000000-0000-4000-8000-0000000000{number:02}
logsource: {{product: vmware, service: {service}}}
detection: {detection}
"""
CORRELATION = """title: {name}
name: {name}
id: 20000000-0000-4000-8000-0000000000{number:02}
correlation: {{timespan: 1h, group-by: [host.name], {body}}}
"""


def catalogue() -> Catalogue:
    rules = {"killed": ("esxi", "{sel: {event.action: vm.kill}, condition: sel}"),
             "created": ("esxi", "{sel: {event.action: account.create}, condition: sel}"),
             "login": ("vcenter", "{sel: {event.action: UserLoginSessionEvent}, condition: sel}"),
             "words": ("esxi", "{sel: {message|contains: panic}, condition: sel}")}
    bodies = {"both": "type: temporal_ordered, rules: [killed, login]",
              "any": "type: event_count, rules: [killed, login], condition: {gte: 3}",
              "two": "type: temporal, rules: [killed, login, created], condition: {gte: 2}",
              "quiet": "type: temporal, rules: [login, killed], condition: login and not killed",
              "either": "type: temporal, rules: [login, killed], condition: login or killed"}
    text = [RULE.format(name=name, number=n, service=service, detection=detection)
            for n, (name, (service, detection)) in enumerate(rules.items())]
    text += [CORRELATION.format(name=name, number=n, body=body) for n, (name, body) in enumerate(bodies.items())]
    found = resolve(load_text("---\n".join(text), Path("t.yml")))
    assert not found.errors, found.errors
    return found


def states(*rows: tuple[str, str | None, str | None, datetime]) -> dict[str, Ready]:
    """The state of each rule when these were seen: source, event.action, event.code, time."""
    found = catalogue()
    seen = pl.DataFrame([(f"vmware.{row[0]}", *row[1:], 1) for row in rows], orient="row", schema=SEEN)
    return {ready.name: ready for ready in judge(seen, SINCE, (*found.rules, *found.correlations), FAMILIES).rules}


EVENT = ("esxi", "VmPoweredOnEvent", "vim.event.VmPoweredOnEvent", NOW)


def test_ids_that_were_seen_make_a_rule_ready() -> None:
    found = states(("esxi", "vm.kill", "vm.kill", NOW - timedelta(days=1)), EVENT)
    assert (found["killed"].state, found["killed"].last, found["killed"].missing) == ("ready", NOW - timedelta(days=1), ())
    assert found["killed"].ids == ("vm.kill",) and found["killed"].datasets == ("vmware.esxi",)
    assert found["words"].state == "ready", "compares no ids: its source is enough"


def test_ids_that_never_came_lack_their_setting() -> None:
    found = states(EVENT, ("esxi", "shell.cmd", None, NOW))["killed"]
    assert (found.state, found.normal, [need.family for need in found.missing]) == ("ids never seen", False, ["audit-records"])
    assert "esxcli system auditrecords remote enable" in found.missing[0].enable


def test_ids_that_never_came_are_rare_where_others_of_their_setting_do() -> None:
    found = states(EVENT, ("esxi", "vm.power.off", "vm.power.off", NOW))["killed"]
    assert (found.state, found.normal, found.missing) == ("ids never seen", True, ())
    long_ago = states(EVENT, ("esxi", "vm.power.off", "vm.power.off", NOW), ("esxi", "vm.kill", "vm.kill", SINCE - timedelta(days=9)))
    assert (long_ago["killed"].state, long_ago["killed"].last) == ("ids never seen", SINCE - timedelta(days=9))


def test_events_that_come_by_themselves_lack_no_setting() -> None:
    rule = RULE.format(name="r", number=1, service="esxi", detection="{sel: {event.action: esx.problem.host.coredump}, condition: sel}")
    seen = pl.DataFrame([("vmware.esxi", *EVENT[1:], 1)], orient="row", schema=SEEN)
    found = judge(seen, SINCE, load_text(rule, Path("t.yml")).rules, FAMILIES).rules[0]
    assert (found.state, found.normal, found.missing) == ("ids never seen", True, ())


def test_a_source_that_stopped_and_one_that_never_was() -> None:
    found = states(("esxi", "vm.kill", "vm.kill", SINCE - timedelta(days=1)))
    assert (found["killed"].state, found["killed"].last, found["killed"].normal) == ("source silent", SINCE - timedelta(days=1), False)
    assert (found["login"].state, found["login"].last, found["login"].missing[0].family) == ("source never seen", None, "source")
    assert "vpxd.event.syslog.enabled" in found["login"].missing[0].enable


def test_a_correlation_is_ready_with_as_many_rules_as_it_needs() -> None:
    killed, login = ("esxi", "vm.kill", "vm.kill", NOW), ("vcenter", "UserLoginSessionEvent", None, NOW)
    names = ("both", "any", "two", "quiet", "either")
    assert [states(killed, login)[name].state for name in names] == ["ready"] * 5
    only_killed = states(killed)
    assert [only_killed[name].state == "ready" for name in names] == [False, True, False, False, True]
    assert (only_killed["both"].waits_for, only_killed["both"].state) == (("login",), "source never seen")
    only_login = states(login, EVENT)
    assert [only_login[name].state == "ready" for name in names] == [False, True, False, True, True], "absence needs no hits"
    assert {need.family for need in only_login["two"].missing} == {"audit-records"}


def test_which_ids_could_match() -> None:
    text = RULE.format(name="r", number=1, service="esxi", detection="""
  sel: {event.action|startswith: vm., vm.name: web}
  other: {event.code: x.y}
  filter: {event.action: vm.power.on}
  condition: (sel or other) and not filter
""")
    node = compile_rule(load_text(text, Path("t.yml")).rules[0])
    seen = pl.DataFrame([("vmware.esxi", action, code, NOW, 1) for action, code in (
        ("VM.kill", None), ("vm.power.on", None), ("other", "x.y"), ("other", None), (None, None))], orient="row", schema=SEEN)
    assert can_match(node, seen).to_list() == [True, False, True, False, False]
    assert ids_of(node) == ["vm.", "x.y"]


def test_every_id_of_our_rules_belongs_to_a_setting() -> None:
    homeless = [(rule.path.stem, value) for rule in load_catalogue().rules for value in ids_of(compile_rule(rule))
                if not any(each.of([value]) for each in FAMILIES if rule.logsource.items() <= each.spec.logsource.items())]
    assert homeless == [], "give them a family in the readiness.yml of their parser"


@pytest.mark.parametrize("families", FAMILIES, ids=[each.spec.id for each in FAMILIES])
def test_each_family_has_a_name_of_its_own_and_says_what_to_do(families: Families) -> None:
    ids = [family.id for family in families.families]
    assert ids and len(ids) == len(set(ids))
    assert all(len(family.enable) > 40 and not family.title.endswith(".") for family in families.families)


def test_a_wrong_readiness_file_is_named(tmp_path: Path) -> None:
    spec = load_parsers()["vmware-esxi"].model_copy()
    spec._path = tmp_path / "parser.yml"
    assert load_families(spec).families == ()
    for text, message in (("- {id: a, title: b, enable: c}", "names its events"),
                          ("- {id: a, title: b, table: no.csv, enable: c}", "no table")):
        (tmp_path / "readiness.yml").write_text(text)
        with pytest.raises(ContentError, match=message):
            load_families(spec)
        assert [message in str(error) for error in check_families(spec)] == [True]
    (tmp_path / "readiness.yml").write_text("- {id: a, title: b, codes: [x], enable: c}\n" * 2)
    assert [error.message for error in check_families(spec)] == ["family 'a' twice"]


@pytest.mark.spark
def test_a_real_lake(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "esx.log").write_text(
        "<166>2026-03-01T10:05:00.000Z esx01 shell[2099]: [root]: esxcli vm process kill --type=force --world-id=1234\n"
        "<166>2026-03-20T10:00:00.000Z esx01 Hostd: info hostd[2099] [Originator@6876 sub=Vimsvc.ha-eventmgr opID=a-1] "
        "Event 12 : User root@192.0.2.9 logged in as pyvmomi\n")
    settings = Settings(inputs=(str(tmp_path / "esx.log"),), lake=str(tmp_path / "lake"), quality=False)
    empty = settings.model_copy(update={"lake": str(tmp_path / "empty")})
    Lake(spark, empty.lake_url).create()
    with pytest.raises(LakeError, match="holds no events"):
        readiness(empty, spark=spark, quiet=True)
    spine.run(settings, quiet=True, spark=spark)
    survey = readiness(settings, days=7, spark=spark, quiet=True)
    assert survey.newest == datetime(2026, 3, 20, 10, tzinfo=UTC) and survey.since == datetime(2026, 3, 13, 10, tzinfo=UTC)
    assert [(s.parser, s.events) for s in survey.sources if s.state == "ready"] == [("vmware-esxi", 2)]
    found = {ready.name: ready for ready in survey.rules}
    assert found["esx_login_succeeded"].state == "ready"
    shell = found["esx_vm_killed_in_shell"]
    assert (shell.state, shell.last) == ("ids never seen", datetime(2026, 3, 1, 10, 5, tzinfo=UTC)), "seen, but not in these seven days"
    said = json.loads(json.dumps(survey.as_dict()))
    assert sum(said["counts"].values()) == len(said["rules"]) > 200
    console = Console(record=True, width=220)
    print_survey(survey, console)
    assert "esxcli system auditrecords remote enable" in console.export_text()
