"""Who, where, whose; and when two tenants shared a host."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.context.asking import EPOCH, SILENT, as_of, separation, shown
from pipeline.context.columns import PLACEMENT

SECOND = 1_000_000


def moment(second: int) -> datetime:
    return EPOCH + timedelta(seconds=second)


def places(*rows: tuple[Any, ...]) -> pl.DataFrame:
    """Places as (vm, tenant, host, state, from, to), in seconds."""
    return pl.DataFrame([{
        "kind": "vm", "key": vm, "vm": vm, "tenant": tenant, "host": host, "state": state, "valid_from": since * SECOND,
        "valid_to": None if until is None else until * SECOND, "reason": None if host or state == "stopped" else "moved unseen"}
        for vm, tenant, host, state, since, until in rows], schema=dict(PLACEMENT))


def at(second: int) -> str | None:
    return shown(second * SECOND)


def test_who_where_whose() -> None:
    rows = places(("web01", "acme", "a", "running", 0, 10), ("web01", "acme", "b", "running", 10, None))
    had = rows.head(1).with_columns(pl.lit("ip").alias("kind"), pl.lit("10.0.0.5").alias("key"))
    known = pl.concat([rows, had])
    (answer,) = as_of(known, "vm", "web01", moment(5))
    assert (answer["host"], answer["tenant"], answer["addresses"], answer["since"], answer["until"]) == (
        "a", "acme", ["10.0.0.5"], at(0), at(10))
    assert [each["host"] for each in as_of(known, "vm", "web01", moment(10))] == ["b"]
    assert as_of(known, "vm", "web01", datetime(1969, 1, 1, tzinfo=UTC)) == []


def test_shared_while_both_run() -> None:
    rows = places(("w1", "acme", "a", "running", 0, 30), ("w2", "acme", "a", "running", 5, 40), ("g1", "globex", "a", "running", 10, 20),
                  ("g1", "globex", "a", "stopped", 20, 35), ("g2", "globex", "a", "running", 35, None),
                  ("x", "other", "a", "running", 0, 99))
    found = separation(rows, "acme", "globex", moment(0), moment(100))
    assert found.shared == [
        {"host": "a", "since": at(10), "until": at(20), "vms": {"acme": ["w1", "w2"], "globex": ["g1"]}},
        {"host": "a", "since": at(35), "until": at(40), "vms": {"acme": ["w2"], "globex": ["g2"]}}]
    assert found.unknown == [] and found.unclaimed == 0


def test_unknown_where_a_host_is_or_nobody_knows() -> None:
    rows = places(("w1", "acme", None, "running", 0, 10), ("g1", "globex", "a", "running", 0, None), ("n", None, "a", "running", 0, None))
    found = separation(rows, "acme", "globex", moment(-5), moment(100))
    assert found.shared == []
    assert found.unknown == [
        {"vm": None, "tenant": None, "reason": SILENT, "since": at(-5), "until": at(0)},
        {"vm": "w1", "tenant": "acme", "reason": "moved unseen", "since": at(0), "until": at(10)}]
    assert found.unclaimed == 1


def test_cut_to_the_time_asked_for() -> None:
    rows = places(("w1", "acme", "a", "running", 0, None), ("g1", "globex", "a", "running", 0, None))
    (shared,) = separation(rows, "acme", "globex", moment(10), moment(20)).shared
    assert (shared["since"], shared["until"]) == (at(10), at(20))


def test_nothing_known_at_all_is_unknown() -> None:
    found = separation(places(), "acme", "globex", moment(0), moment(10))
    assert found.unknown == [{"vm": None, "tenant": None, "reason": SILENT, "since": at(0), "until": at(10)}]


STAY = st.tuples(st.sampled_from(["acme", "globex"]), st.sampled_from(["a", "b"]), st.integers(0, 19), st.integers(1, 10))


@given(st.lists(STAY, max_size=8))
@settings(max_examples=100, deadline=None)
def test_second_by_second(stays: list[tuple[str, str, int, int]]) -> None:
    """The sweep says the same as looking at every second."""
    rows = places(*((f"v{n}", tenant, host, "running", start, start + span) for n, (tenant, host, start, span) in enumerate(stays)))
    found = separation(rows, "acme", "globex", moment(0), moment(30)).shared
    for second in range(30):
        for host in ("a", "b"):
            there = {tenant for tenant, where, start, span in stays if where == host and start <= second < start + span}
            told = [row for row in found if row["host"] == host and row["since"] <= (at(second) or "") < row["until"]]
            assert len(told) == (len(there) == 2)
