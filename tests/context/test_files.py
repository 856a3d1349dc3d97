"""The user's files: every kind of bad context is refused with file and row, or repaired and told."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from pipeline.context.files import Context, read_context
from pipeline.context.moves import covered, inventory_moves
from pipeline.errors import HypervigilError
from tests.conftest import ROOT

BROKEN = sorted(path for path in (ROOT / "tests" / "broken_context").iterdir() if path.is_dir())


@pytest.mark.parametrize("folder", BROKEN, ids=lambda path: path.name)
def test_refused(folder: Path) -> None:
    expected = (folder / "expected.txt").read_text(encoding="utf-8").strip()
    read = folder if folder.name != "no_folder" else folder / "missing"
    with pytest.raises(HypervigilError) as refused:
        read_context(read)
    assert str(refused.value).removeprefix(str(read)).removeprefix("/") == expected


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return folder


def test_no_folder_is_an_empty_context() -> None:
    read = read_context(None)
    assert read.inventory.is_empty() and read.addresses.is_empty() and not read.identities.principals and read.version == ""
    assert isinstance(read, Context)


def test_an_inventory_has_canonical_names_and_utc(tmp_path: Path) -> None:
    header = "time,vm,host,state,mac,ip,tenant,view,source"
    row = "2026-03-01 11:00+01:00,Web%2f01,ESX01.example.org,poweredOn,00-50-56-AA-BB-CC,10.0.0.5,Acme,,"
    rows = read_context(write(tmp_path, inventory=f"{header}\n{row}\n")).inventory
    assert rows.drop("uuid", "cluster", "segment", "zone", "role", "host_uuid").to_dicts() == [{
        "snapshot": "inventory|manager|1772359200000000", "time": 1_772_359_200_000_000, "view": "manager", "source": "inventory",
        "vm": "web/01", "host": "esx01", "state": "running", "tenant": "acme", "ip": "10.0.0.5", "mac": "00:50:56:aa:bb:cc",
        "row": "inventory.csv:2"}]


def test_a_repeated_row_counts_once_and_is_told(tmp_path: Path) -> None:
    row = "2026-03-01T00:00:00Z,web01,esx01"
    read = read_context(write(tmp_path, inventory=f"time,vm,host\n{row}\n{row}\n"))
    assert read.inventory.height == 1
    assert read.repaired == ("1 rows of inventories repeat another and count once",)


def test_two_machines_of_one_name_are_not_placed_and_told(tmp_path: Path) -> None:
    rows = "2026-03-01T00:00:00Z,web01,a,esx01\n2026-03-01T00:00:00Z,web01,b,esx02\n2026-03-01T00:00:00Z,db01,c,esx02\n"
    read = read_context(write(tmp_path, inventory=f"time,vm,uuid,host\n{rows}"))
    assert read.inventory.select("vm", "host").rows() == [("web01", None), ("web01", None), ("db01", "esx02")]
    assert read.repaired == ("inventory.csv:2: several machines are named 'web01': where they are stays unknown",)


def test_two_hosts_that_run_one_machine_are_evidence_not_an_error(tmp_path: Path) -> None:
    rows = "2026-03-01T00:00:00Z,running,esx01,web01,esx01\n2026-03-01T00:00:00Z,running,esx02,web01,esx02\n"
    assert read_context(write(tmp_path, inventory=f"time,view,source,vm,host\n{rows}")).inventory.height == 2


def test_a_row_of_a_host_alone_says_that_it_is_empty(tmp_path: Path) -> None:
    rows = "2026-03-01T00:00:00Z,web01,ESX01\n2026-03-01T00:00:00Z,,esx02.example.org\n"
    inventory = read_context(write(tmp_path, inventory=f"time,vm,host\n{rows}")).inventory
    assert inventory.select("vm", "host", "row").rows() == [("web01", "esx01", "inventory.csv:2"), (None, "esx02", "inventory.csv:3")]
    lists, hosts = covered(inventory)
    assert (lists.height, hosts.get_column("host").to_list()) == (1, ["esx01", "esx02"])
    assert inventory_moves(inventory).get_column("vm").to_list() == ["web01"]


def test_several_inventories_are_one(tmp_path: Path) -> None:
    for day in (1, 2):
        row = f"2026-03-0{day}T00:00:00Z,web01,esx01,vc01"
        (tmp_path / f"inventory-{day}.csv").write_text(f"time,vm,host,source\n{row}\n", encoding="utf-8")
    assert read_context(tmp_path).inventory.get_column("row").to_list() == ["inventory-1.csv:2", "inventory-2.csv:2"]


def test_addresses_begin_and_end(tmp_path: Path) -> None:
    rows = "web,10.0.0.5,web01,2026-03-01T00:00:00Z,2026-03-02T00:00:00Z\n,00:50:56:aa:bb:cc,web01,2026-03-01T00:00:00Z,\n"
    read = read_context(write(tmp_path, addresses=f"segment,address,vm,valid_from,valid_to\n{rows}"))
    assert read.addresses.sort("address", "time").select("kind", "address", "act", "segment").rows() == [
        ("mac", "00:50:56:aa:bb:cc", "has", None), ("ip", "10.0.0.5", "has", "web"), ("ip", "10.0.0.5", "lost", "web")]


def test_identities_follow_chains(tmp_path: Path) -> None:
    rows = "CORP\\anna,a.meier,\narn:aws:iam::123456789012:user/anna,corp\\anna,\nsvc-backup@corp,backup,service\n"
    found = read_context(write(tmp_path, identities=f"principal,person,kind\n{rows}")).identities
    assert found.principals == {"corp\\anna": "a.meier", "arn:aws:iam::123456789012:user/anna": "a.meier", "corp\\svc-backup": "backup"}
    assert found.services == {"backup"}


def test_the_version_changes_with_any_file(tmp_path: Path) -> None:
    first = read_context(write(tmp_path, tenants="tenant\nacme\n")).version
    assert read_context(write(tmp_path, tenants="tenant\nacme\nglobex\n")).version != first
    assert read_context(write(tmp_path, tenants="tenant\nacme\n")).version == first


def test_pattern_of_tenants_in_a_policy_need_not_be_one(tmp_path: Path) -> None:
    write(tmp_path, tenants="tenant\nacme\n")
    (tmp_path / "policy.yml").write_text("segmentation: [{source: 'tenant:a*', target: 'tenant:acme', action: allow}]\n", encoding="utf-8")
    assert len(read_context(tmp_path).policies.segmentation) == 1


def test_an_absent_column_is_unknown(tmp_path: Path) -> None:
    rows = read_context(write(tmp_path, inventory="time,vm\n2026-03-01T00:00:00Z,web01\n")).inventory
    assert rows.select(pl.col("host", "tenant", "mac")).row(0) == (None, None, None)
