"""Who had which address: reuse, segments, the places of the holder; arrival does not matter."""

from __future__ import annotations

import random
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from pipeline.context.addresses import held, located
from pipeline.context.columns import ADDRESS_FACTS, MOVES, PLACEMENT
from pipeline.context.lookup import as_of
from pipeline.context.placement import placement


def facts(*rows: tuple[Any, ...]) -> pl.DataFrame:
    """Facts about 10.0.0.5 as (vm, time, act, segment)."""
    names = ("vm", "time", "act", "segment")
    return pl.DataFrame([{"kind": "ip", "address": "10.0.0.5", **dict(zip(names, row, strict=False))} for row in rows],
                        schema=dict(ADDRESS_FACTS))


def told(found: pl.DataFrame) -> list[tuple[Any, ...]]:
    return found.sort("segment", "valid_from", nulls_last=True).select("vm", "segment", "valid_from", "valid_to").rows()


def test_held_until_lost() -> None:
    assert told(held(facts(("x", 0, "has", "s"), ("x", 5, "has", "s"), ("x", 9, "lost", "s")))) == [("x", "s", 0, 9)]


def test_reused_by_another() -> None:
    assert told(held(facts(("x", 0, "has", "s"), ("y", 10, "has", "s")))) == [("x", "s", 0, 10), ("y", "s", 10, None)]


def test_who_loses_it_after_another_has_it_takes_nothing_away() -> None:
    assert told(held(facts(("x", 0, "has", "s"), ("y", 10, "has", "s"), ("x", 12, "lost", "s")))) == [
        ("x", "s", 0, 10), ("y", "s", 10, None)]


def test_lost_and_given_at_one_time() -> None:
    assert told(held(facts(("y", 10, "has", "s"), ("x", 10, "lost", "s"), ("x", 0, "has", "s")))) == [
        ("x", "s", 0, 10), ("y", "s", 10, None)]


def test_two_segments_are_two_addresses() -> None:
    assert told(held(facts(("x", 0, "has", "s"), ("y", 10, "has", "t")))) == [("x", "s", 0, None), ("y", "t", 10, None)]


def test_a_record_without_a_segment_is_of_the_one_that_others_name() -> None:
    assert told(held(facts(("x", 0, "has", None), ("x", 5, "has", "s"), ("y", 10, "has", "s")))) == [
        ("x", "s", 0, 10), ("y", "s", 10, None)]


def moves(*rows: tuple[Any, ...]) -> pl.DataFrame:
    names = ("vm", "time", "act", "host", "target")
    return pl.DataFrame([dict(zip(names, row, strict=False)) for row in rows], schema=dict(MOVES))


def test_an_address_moves_with_its_machine_and_goes_with_it() -> None:
    where = placement(moves(("x", 5, "start", "a"), ("x", 10, "move", "a", "b"), ("x", 20, "remove", "b")))
    found = located(held(facts(("x", 0, "has", "s"))), where)
    assert dict(found.schema) == dict(PLACEMENT)
    assert found.select("key", "vm", "host", "valid_from", "valid_to").rows() == [
        ("10.0.0.5", "x", None, 0, 5), ("10.0.0.5", "x", "a", 5, 10), ("10.0.0.5", "x", "b", 10, 20)]


def test_a_machine_of_which_no_place_is_known_has_its_address() -> None:
    assert located(held(facts(("x", 0, "has", "s"))), placement(moves())).select("vm", "host", "segment").rows() == [("x", None, "s")]


HOUR = 3_600_000_000


@pytest.mark.parametrize(("came", "others", "since"), [
    (-5, (), -5),  # known for hours when an inventory first tells its address: it came with it
    (-30, (), 0),  # known for longer: it may have got the address at any time
    (-5, (("x", -40, "has", "s"), ("x", -20, "lost", "s")), 0),  # another one had the address before
    (-5, (("y", 24, "has", "s"),), -5),
])
def test_a_machine_came_with_the_address_that_is_told_within_a_day(came: int, others: tuple[tuple[Any, ...], ...], since: int) -> None:
    said = [("y", 0, "has", "s"), *others]
    intervals = held(facts(*((vm, time * HOUR, *rest) for vm, time, *rest in said)))
    found = located(intervals, placement(moves(("y", came * HOUR, "start", "a"))))
    assert found.filter((pl.col("vm") == "y") & (pl.col("host") == "a")).get_column("valid_from").min() == since * HOUR


def test_a_holder_in_two_segments_at_once_is_nobody() -> None:
    found = located(held(facts(("x", 0, "has", "s"), ("y", 10, "has", "t"), ("y", 20, "lost", "t"))), placement(moves()))
    asked = as_of(pl.DataFrame({"time": [5, 15, 25], "ip": ["10.0.0.5"] * 3}), found, "ip", "source")
    assert asked.get_column("source.vm").to_list() == ["x", None, "x"]


FACT = st.fixed_dictionaries({
    "vm": st.sampled_from(["x", "y", "z"]), "time": st.integers(0, 20), "act": st.sampled_from(["has", "lost"]), "kind": st.just("ip"),
    "address": st.sampled_from(["10.0.0.5", "10.0.0.6"]), "segment": st.sampled_from(["s", "t", None])})


@given(st.lists(FACT, max_size=20), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_any_order_of_arrival_gives_the_same(rows: list[dict[str, Any]], chance: random.Random) -> None:
    late = rows + chance.sample(rows, len(rows) // 2)
    chance.shuffle(late)
    assert_frame_equal(held(pl.DataFrame(late, schema=dict(ADDRESS_FACTS))), held(pl.DataFrame(rows, schema=dict(ADDRESS_FACTS))))


@given(st.lists(FACT, max_size=20))
@settings(max_examples=150, deadline=None)
def test_nobody_shares_an_address_in_a_segment(rows: list[dict[str, Any]]) -> None:
    found = held(pl.DataFrame(rows, schema=dict(ADDRESS_FACTS))).sort("address", "segment", "valid_from", nulls_last=True)
    cell = ("address", "segment")
    overlap = found.filter((pl.col("valid_to").fill_null(10**9).shift(1) > pl.col("valid_from")).over(cell))
    assert overlap.is_empty()
