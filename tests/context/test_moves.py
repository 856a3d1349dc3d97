"""From raw lines of our parsers to moves: what the signal rules and the placement document make of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cache
from typing import Any

import polars as pl
import pytest

from pipeline.context.document import KIND, roles
from pipeline.context.files import Context
from pipeline.context.moves import ADDRESS_ROLES, MOVE_ROLES, address_facts, inventory_facts, inventory_moves, moves
from pipeline.context.placement import ACTS
from pipeline.kernel.engine import Engine
from pipeline.sigma.cases import load_cases
from pipeline.sigma.catalogue import Catalogue, load_catalogue
from pipeline.sigma.jobs import job_errors
from tests.conftest import ROOT

SIGNALS = ROOT / "detections" / "signals"


@cache
def catalogue() -> Catalogue:
    return load_catalogue()


@cache
def engine() -> Engine:
    return Engine()


def hits(raw: str, parser: str) -> pl.DataFrame:
    """Hits of placement rules in raw lines, once for each role."""
    played = roles(catalogue().jobs)
    detector = engine().detector(rule for rule in catalogue().rules if rule.id in played)
    parts = []
    for batch in engine().process_bytes(raw.encode(), datetime(2026, 11, 25, tzinfo=UTC), "audit.log", parser):
        found = detector.detect(batch.events)
        rows = batch.events[found.get_column("event_index")].with_columns(
            found.get_column("rule_id").replace_strict(dict(played), return_dtype=pl.List(pl.String)).alias("role"),
            found.get_column("rule_id").alias("rule"), pl.col("event.id").alias("event"), pl.col("@timestamp").dt.epoch("us").alias("time"))
        parts.append(rows.explode("role"))
    return pl.concat(parts, how="diagonal")


def case(rule: str, name: str) -> pl.DataFrame:
    (found,) = [each for each in load_cases(SIGNALS / f"{rule}.cases.yaml") if each.name == name]
    return hits("".join(log.raw for log in found.sources), found.sources[0].parser)


@pytest.mark.parametrize(("rule", "name", "said"), [
    ("vcenter_vm_moved_by_drs", "by DRS", ("web01", "move", "esx01", "esx02", "C1", None)),
    ("vcenter_vm_moved_by_drs", "by a user", ("web01", "move", "esx01", "esx02", None, None)),
    ("vcenter_vm_restarted_by_ha", "restarted", ("web01", "start", "esx02", None, None, None)),
    ("vcenter_vm_deploying", "deploying", ("web09", "register", "esx01", None, None, None)),
    ("esx_vm_started", "record", ("web01", "start", "esx01", None, None, None)),
    ("esx_vm_moved", "moved", ("web01", "move", "esx01", "esx02", None, None)),
    ("kvm_vm_started", "booted", ("web01", "start", None, None, None, None)),
    ("kvm_vm_started", "migrated here", ("web01", "arrive", None, None, None, None)),
    ("kvm_vm_stopped", "destroyed", ("web01", "stop", None, None, None, None)),
    ("kvm_vm_left", "left", ("web01", "leave", None, None, None, None)),
    ("aws_instance_running", "launched", ("i-0123456789abcdef0", "start", "h-0123456789abcdef0", None, "eu-central-1a", "123456789012")),
    ("aws_instance_running", "started", ("i-0123456789abcdef0", "start", None, None, None, "123456789012")),
    ("aws_instance_halted", "stopped", ("i-0123456789abcdef0", "stop", None, None, None, "123456789012")),
    ("aws_instance_ended", "terminated", ("i-0123456789abcdef0", "remove", None, None, None, "123456789012"))])
def test_a_line_is_a_move(rule: str, name: str, said: tuple[Any, ...]) -> None:
    assert moves(case(rule, name)).select("vm", "act", "host", "target", "cluster", "tenant").unique().rows() == [said]


def test_a_file_that_names_no_host_is_told() -> None:
    assert moves(case("kvm_vm_started", "booted")).get_column("origin").to_list() == ["audit.log"]


@pytest.mark.parametrize(("rule", "name", "said"), [
    ("vcenter_vm_mac_assigned", "assigned", [("web01", "has", "mac", "00:50:56:aa:bb:cc", None)]),
    ("kvm_vm_adapter", "opened", [("web01", "has", "mac", "52:54:00:2f:46:50", None)]),
    ("kvm_vm_adapter_removed", "detached", [("web01", "lost", "mac", "52:54:00:2f:46:50", None)]),
    ("aws_instance_running", "launched", [("i-0123456789abcdef0", "has", "ip", "10.0.1.5", "subnet-0a1b2c3d"),
                                          ("i-0123456789abcdef0", "has", "mac", "02:ab:cd:ef:01:23", "subnet-0a1b2c3d")])])
def test_a_line_is_a_fact_about_an_address(rule: str, name: str, said: list[tuple[Any, ...]]) -> None:
    assert address_facts(case(rule, name)).sort("kind").select("vm", "act", "kind", "address", "segment").rows() == said


def test_a_call_for_many_instances_is_a_move_of_each() -> None:
    (launch,) = [each for each in load_cases(SIGNALS / "aws_instance_running.cases.yaml") if each.name == "launched"]
    record = json.loads(launch.sources[0].raw)
    items = record["responseElements"]["instancesSet"]["items"]
    record["responseElements"]["instancesSet"]["items"] = [
        *items, {"instanceId": "i-0fedcba9876543210", "placement": {"availabilityZone": "eu-central-1b"}, "privateIpAddress": "10.0.2.9"}]
    rows = hits(json.dumps(record) + "\n", "aws-cloudtrail")
    assert moves(rows).sort("vm").select("vm", "host", "cluster").rows() == [
        ("i-0123456789abcdef0", "h-0123456789abcdef0", "eu-central-1a"), ("i-0fedcba9876543210", None, "eu-central-1b")]
    assert address_facts(rows).filter(pl.col("kind") == "ip").sort("vm").get_column("address").to_list() == ["10.0.1.5", "10.0.2.9"]


def test_the_managers_own_name_is_no_host() -> None:
    line = ("<14>1 2026-11-24T02:14:07.263383+00:00 vc01.example.org vpxd 58650 - -  Event [575792] [1-1] [2026-11-24T02:14:07.26309Z] "
            "[vim.event.VmRemovedEvent] [info] [EXAMPLE\\anna] [DC1] [575792] [Removed web01 from DC1]\n")
    assert moves(hits(line, "vmware-vcenter")).select("vm", "act", "host").rows() == [("web01", "remove", None)]


def test_the_document_is_whole_and_every_role_means_something() -> None:
    (document,) = [job for job in catalogue().jobs if job.type == KIND.type]
    assert job_errors(document, {KIND.type: KIND}) == []
    assert set(MOVE_ROLES.values()) <= set(ACTS) and set(document.rules) <= {*MOVE_ROLES, *ADDRESS_ROLES}
    ours = {rule.id for rule in catalogue().rules if rule.path.parent == SIGNALS and rule.custom.signal}
    placed = {rule.id for rule in catalogue().rules if rule.path.name.startswith(("vcenter_vm", "esx_vm", "kvm_vm", "aws_instance"))}
    assert ours & placed <= set(document.reads)


def inventory(*rows: tuple[Any, ...]) -> pl.DataFrame:
    names = ("time", "view", "source", "vm", "host", "ip")
    return pl.DataFrame([dict(zip(names, row, strict=False)) | {"row": f"inventory.csv:{n}"} for n, row in enumerate(rows, 2)],
                        schema=dict(Context().inventory.schema))


def test_a_managers_word_counts_before_a_hosts_and_the_wire_places_nobody() -> None:
    rows = inventory((0, "running", "b", "web01", "b"), (0, "manager", "vc", "web01", "a"), (0, "wire", "c", "web01", "c"),
                     (0, "running", "b", "rogue", "b"))
    assert inventory_moves(rows).sort("vm").select("vm", "host", "act", "event").rows() == [
        ("rogue", "b", "seen", "inventory.csv:5"), ("web01", "a", "seen", "inventory.csv:3")]


def test_an_address_that_the_next_list_does_not_have_was_lost() -> None:
    rows = inventory((0, "manager", "vc", "web01", "a", "10.0.0.5"), (10, "manager", "vc", "web01", "a", "10.0.0.6"),
                     (20, "manager", "vc", "web01", "a", None))
    assert inventory_facts(rows).sort("time", "address").select("time", "act", "address").rows() == [
        (0, "has", "10.0.0.5"), (10, "lost", "10.0.0.5"), (10, "has", "10.0.0.6")]
