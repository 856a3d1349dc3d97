"""One machine, host or user has one name in every log."""

from __future__ import annotations

import polars as pl
import pytest

from pipeline.context import names

ARN = "aws.cloudtrail.user_identity.arn"


def canonical(fields: dict[str, str], principals: dict[str, str] | None = None) -> tuple[str | None, str | None, str | None]:
    row = pl.DataFrame({name: [value] for name, value in fields.items()} or {"other": ["x"]})
    vm, host, user = names.canonical(row, principals or {}).select("vm", "host", "user").row(0)
    return vm, host, user


@pytest.mark.parametrize(("fields", "vm"), [
    ({"vm.name": " Web01 "}, "web01"), ({"vm.name": "a%2fb%25"}, "a/b%"), ({"vm.path": "/vmfs/volumes/ds1/web 01/web 01.vmx"}, "web 01"),
    ({"vm.path": "/etc/libvirt/qemu/web01.xml"}, "web01"), ({"vm.id": "12"}, None), ({"vm.id": "vm-12"}, "vm-12"), ({}, None),
    ({"vm.uuid": "AB-1", "vm.id": "vm-12"}, "ab-1"), ({"vm.name": "", "vm.uuid": "AB-1"}, "ab-1")])
def test_vm(fields: dict[str, str], vm: str | None) -> None:
    assert canonical(fields)[0] == vm


def test_in_a_cloud_the_id_is_the_name() -> None:
    row = pl.DataFrame({"cloud.instance.id": ["i-0123456789abcdef0"], "vm.name": ["Shop front"]})
    assert names.canonical(row).get_column("vm").to_list() == ["i-0123456789abcdef0"]


@pytest.mark.parametrize(("raw", "host"), [
    ("ESX01.example.org", "esx01"), ("192.0.2.31", "192.0.2.31"), ("[2001:DB8::1]", "2001:db8::1"), ("", None), ("kvm01", "kvm01")])
def test_host(raw: str, host: str | None) -> None:
    assert canonical({"host.name": raw})[1] == host


def test_a_log_that_names_no_host_is_known_by_its_file() -> None:
    assert canonical({"hypervisor.origin": "KVM01-audit.log"})[1] == "kvm01-audit.log"
    assert canonical({"hypervisor.origin": "kvm01-audit.log", "host.name": "kvm01.example.org"})[1] == "kvm01"


@pytest.mark.parametrize(("fields", "user"), [
    ({"user.name": "Anna", "user.domain": "CORP"}, "corp\\anna"), ({"user.name": "root", "user.domain": ""}, "root"),
    ({"user.domain": "CORP"}, None)])
def test_user(fields: dict[str, str], user: str | None) -> None:
    assert canonical(fields)[2] == user


def test_a_person_stands_behind_principals() -> None:
    people = {names.principal(raw): "a.meier" for raw in ("anna@corp", "arn:aws:iam::123456789012:user/Anna", "anna.meier@example.org")}
    assert canonical({"user.name": "Anna", "user.domain": "CORP"}, people)[2] == "a.meier"
    assert canonical({"user.name": "x", ARN: "arn:aws:iam::123456789012:user/anna"}, people)[2] == "a.meier"
    assert canonical({"user.name": "x", "user.email": "Anna.Meier@example.org"}, people)[2] == "a.meier"
    assert canonical({"user.name": "anna"}, people)[2] == "anna", "a local account of that name is somebody else"


@pytest.mark.parametrize(("raw", "form"), [
    ("Anna@Corp", "corp\\anna"), ("CORP\\Anna", "corp\\anna"), ("root", "root"), ("@corp", "@corp"),
    ("arn:aws:sts::1:assumed-role/r/a@b", "arn:aws:sts::1:assumed-role/r/a@b")])
def test_principals_have_one_form(raw: str, form: str) -> None:
    assert names.principal(raw) == form


@pytest.mark.parametrize(("raw", "form"), [
    ("00-50-56-AA-BB-CC", "00:50:56:aa:bb:cc"), ("0050.56aa.bbcc", "00:50:56:aa:bb:cc"), ("00:50:56", None)])
def test_macs_have_one_form(raw: str, form: str | None) -> None:
    assert pl.select(names.mac(pl.lit(raw))).item() == form
