"""What is allowed here: lists, windows, the segmentation matrix."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime

import polars as pl
import pytest

from pipeline.context.asking import micros
from pipeline.context.policies import Policies, in_networks, is_listed, listed

c = pl.col


def test_an_empty_policy_allows_and_demands_nothing() -> None:
    none = Policies()
    rows = pl.DataFrame({"host": ["esx01"], "time": [0], "port": [22], "user": ["root"], "s.tenant": ["a"], "t.tenant": ["b"]})
    answers = rows.select(none.in_maintenance(c("host"), c("time")).alias("window"), none.verdict("s", "t", c("port")).alias("flow"),
                          none.mfa_required(c("user")).alias("mfa"), listed(none.bastions, c("host")).alias("bastion"))
    assert answers.row(0) == (False, None, False, False)


def test_it_is_frozen_and_travels_to_workers() -> None:
    full = Policies.model_validate({"bastions": ["Jump*"], "vpn": ["192.0.2.0/24"], "mfa": {"required": ["ops\\*"]}})
    assert pickle.loads(pickle.dumps(full)) == full
    with pytest.raises(ValueError, match="frozen"):
        full.bastions = ()  # type: ignore[misc]


@pytest.mark.parametrize(("name", "address", "held"), [
    ("jump01", None, True), ("jumper", None, True), ("ajump", None, False), (None, "192.0.2.3", True), ("192.0.2.3", None, True),
    (None, "192.0.2.16", False), ("scan.01", None, True), ("scanx01", None, False), (None, None, False), (None, "2001:db8::5", True)])
def test_names_patterns_addresses_networks(name: str | None, address: str | None, held: bool) -> None:
    assert is_listed(("jump*", "192.0.2.0/28", "scan.01", "2001:db8::/64"), name, address) is held


def test_networks() -> None:
    rows = pl.DataFrame({"ip": ["198.51.100.7", "203.0.113.1", None]})
    assert rows.select(in_networks(("198.51.100.0/24",), c("ip"))).to_series().to_list() == [True, False, False]


def windows(*moments: datetime, **window: object) -> list[bool]:
    policies = Policies.model_validate({"maintenance": [window]})
    rows = pl.DataFrame({"time": [micros(moment) for moment in moments], "host": ["esx01"] * len(moments)})
    return rows.select(policies.in_maintenance(c("host"), c("time"))).to_series().to_list()


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def test_a_window_once_ends_before_its_end() -> None:
    once = {"since": "2026-11-24T22:00:00+01:00", "until": "2026-11-25T02:00:00+01:00"}
    assert windows(at(24, 20, 59), at(24, 21), at(25, 0, 59), at(25, 1), **once) == [False, True, True, False]


def test_a_weekly_window_is_of_local_time_and_reaches_into_the_next_day() -> None:
    weekly = {"days": ["sat"], "start": "23:00", "hours": 4, "timezone": "Europe/Berlin"}  # Saturday was the 28th, one hour before UTC
    assert windows(at(28, 21, 59), at(28, 22), at(29, 1, 59), at(29, 2), at(27, 22), **weekly) == [False, True, True, False, False]


def test_a_window_is_of_its_hosts() -> None:
    assert windows(at(24, 12), since="2026-11-24T00:00:00Z", until="2026-11-25T00:00:00Z", hosts=["kvm*"]) == [False]


def test_the_first_row_of_the_matrix_that_fits_decides() -> None:
    matrix = Policies.model_validate({"segmentation": [
        {"source": "tenant:infra", "target": "*", "ports": [22, 443], "action": "allow"},
        {"source": "tenant:acme", "target": "segment:acme-*", "action": "inspect"},
        {"source": "*", "target": "zone:core", "action": "deny"}]})
    rows = pl.DataFrame([("infra", None, "core", 22), ("infra", None, "core", 80), ("acme", "acme-db", None, None), ("acme", "x", None, 1),
                         ("infra", None, None, None)],
                        ["s.tenant", "t.segment", "t.zone", "port"], orient="row").with_columns(c("port").cast(pl.Int64))
    assert rows.select(matrix.verdict("s", "t", c("port"))).to_series().to_list() == ["allow", "deny", "inspect", None, None]


def test_mfa_is_demanded_of_some_and_not_of_services() -> None:
    policies = Policies.model_validate({"mfa": {"required": ["*@corp", "root"], "exempt": ["svc-*@corp"]}})
    rows = pl.DataFrame({"user": ["corp\\anna", "corp\\svc-backup", "root", "other", None]})
    assert rows.select(policies.mfa_required(c("user"))).to_series().to_list() == [True, False, True, False, False]
