"""The fold of moves: what is known, what is not and why; arrival does not matter."""

from __future__ import annotations

import random
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from pipeline.context.columns import MOVES, PLACEMENT
from pipeline.context.placement import ABSENT, ACTS, BACK, HANDOVER, NO_HOST, NO_TARGET, UNSEEN, absences, placement

MINUTE = 60_000_000


def moves(*rows: tuple[Any, ...], vm: str = "web01", **same: str) -> pl.DataFrame:
    """Moves as (time, act, host, target)."""
    names = ("time", "act", "host", "target")
    return pl.DataFrame([{"vm": vm, **dict(zip(names, row, strict=False)), **same} for row in rows], schema=dict(MOVES))


def told(found: pl.DataFrame) -> list[tuple[Any, ...]]:
    return found.select("valid_from", "valid_to", "host", "state", "reason").rows()


def test_start_move_stop_remove() -> None:
    found = placement(moves((0, "start", "a"), (10, "move", "a", "b"), (20, "stop", "b"), (30, "remove", "b")))
    assert told(found) == [(0, 10, "a", "running", None), (10, 20, "b", "running", None), (20, 30, "b", "stopped", None),
                           (30, None, None, "removed", None)]


def test_columns_and_key() -> None:
    found = placement(moves((0, "start", "a"), source="rule", event="e1"))
    assert dict(found.schema) == dict(PLACEMENT)
    assert found.select("kind", "key", "vm", "source", "event").row(0) == ("vm", "web01", "web01", "rule", "e1")


def test_nothing_from_nothing() -> None:
    assert dict(placement(moves()).schema) == dict(PLACEMENT)


def test_a_stop_on_another_host_means_an_unseen_move() -> None:
    found = placement(moves((0, "start", "a"), (10, "stop", "b")))
    assert told(found) == [(0, 10, None, "running", UNSEEN), (10, None, "b", "stopped", None)]


def test_a_move_from_elsewhere_means_an_unseen_move() -> None:
    found = placement(moves((0, "start", "a"), (10, "move", "b", "c")))
    assert told(found) == [(0, 10, None, "running", UNSEEN), (10, None, "c", "running", None)]


def test_a_start_elsewhere_after_a_stop_is_no_contradiction() -> None:
    found = placement(moves((0, "start", "a"), (10, "stop", "a"), (20, "start", "b")))
    assert [row[2] for row in told(found)] == ["a", "a", "b"]


def test_a_move_told_by_two_logs_is_one() -> None:
    found = placement(moves((0, "start", "a"), (10, "move", "a", "b"), (12, "move", "a", "b"), (20, "stop", "b")))
    assert told(found) == [(0, 10, "a", "running", None), (10, 20, "b", "running", None), (20, None, "b", "stopped", None)]


def test_a_live_migration_told_by_both_hosts() -> None:
    found = placement(moves((0, "start", "a"), (10, "arrive", "b"), (11, "leave", "a")))
    assert told(found) == [(0, 10, "a", "running", None), (10, None, "b", "running", None)]


def test_a_migration_that_only_the_old_host_tells() -> None:
    found = placement(moves((0, "start", "a"), (10, "leave", "a"), (10 + 5 * MINUTE, "arrive", "c")))
    assert told(found)[1] == (10, 10 + 5 * MINUTE, None, "running", NO_TARGET)


def test_leaving_long_after_arriving_elsewhere_contradicts() -> None:
    found = placement(moves((0, "arrive", "b"), (HANDOVER + 1, "leave", "a")))
    assert told(found)[0] == (0, HANDOVER + 1, None, "running", UNSEEN)


def test_a_start_without_a_host() -> None:
    assert told(placement(moves((0, "start", None)))) == [(0, None, None, "running", NO_HOST)]


def test_a_removed_machine_that_is_stopped_later_came_back() -> None:
    found = placement(moves((0, "remove", "a"), (10, "stop", "a")))
    assert told(found)[0] == (0, 10, None, None, BACK)


def test_a_file_stands_for_its_host_only_while_no_log_names_one() -> None:
    only_file = pl.DataFrame([{"vm": "web01", "time": 0, "act": "start", "origin": "kvm01-audit.log"}], schema=dict(MOVES))
    assert told(placement(only_file)) == [(0, None, "kvm01-audit.log", "running", None)]
    named = pl.concat([only_file, moves((1, "start", "kvm01"))])
    assert told(placement(named)) == [(0, 1, None, "running", NO_HOST), (1, None, "kvm01", "running", None)]


def test_whose_it_is_holds_for_a_life_and_no_longer() -> None:
    said = moves((0, "register", "a"), (20, "remove", "a"), (30, "register", "a"))
    inventory = moves((10, "seen", "a"), tenant="acme", zone="dmz")
    found = placement(pl.concat([said, inventory]))
    assert found.select("valid_from", "tenant", "zone").rows() == [(0, "acme", "dmz"), (20, "acme", "dmz"), (30, None, None)]


def test_the_cluster_is_the_hosts() -> None:
    found = placement(pl.concat([moves((0, "start", "a"), cluster="c1"), moves((10, "move", "a", "b")), moves((20, "move", "b", "a"))]))
    assert found.select("host", "cluster").rows() == [("a", "c1"), ("b", None), ("a", "c1")]


def test_gone_from_the_next_inventory_that_lists_its_host() -> None:
    said = pl.concat([moves((0, "start", "a")), moves((5, "start", "x"), vm="other")])
    lists = pl.DataFrame({"source": ["vc", "vc"], "time": [10, 20]})
    hosts = pl.DataFrame({"host": ["a"], "source": ["vc"]})
    gone = absences(said, lists, hosts)
    assert gone.select("vm", "time", "act", "source").rows() == [("web01", 10, "absent", "vc")]
    found = placement(pl.concat([said, gone])).filter(pl.col("vm") == "web01")
    assert told(found) == [(0, 10, None, None, ABSENT), (10, None, None, "removed", None)]


def test_listed_again_it_is_not_gone() -> None:
    said = moves((0, "seen", "a"), (10, "seen", "a"), (20, "seen", "a"))
    lists = pl.DataFrame({"source": ["vc"] * 3, "time": [0, 10, 20]})
    assert absences(said, lists, pl.DataFrame({"host": ["a"], "source": ["vc"]})).is_empty()
    assert told(placement(said)) == [(0, None, "a", None, None)]


def test_an_inventory_elsewhere_means_an_unseen_move() -> None:
    found = placement(moves((0, "seen", "a"), (10, "seen", "b")))
    assert told(found) == [(0, 10, None, None, UNSEEN), (10, None, "b", None, None)]


HOSTS = st.sampled_from(["a", "b", "c", None])
MOVE = st.fixed_dictionaries({
    "vm": st.sampled_from(["v1", "v2"]), "time": st.integers(0, 30).map(lambda n: n * MINUTE), "act": st.sampled_from(sorted(ACTS)),
    "host": HOSTS, "target": HOSTS, "tenant": st.sampled_from(["t", None]), "event": st.sampled_from(["e1", "e2", "e3"])})


@given(st.lists(MOVE, max_size=25), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_any_order_of_arrival_gives_the_same(rows: list[dict[str, Any]], chance: random.Random) -> None:
    late = rows + chance.sample(rows, len(rows) // 2)  # some are delivered twice
    chance.shuffle(late)
    assert_frame_equal(placement(pl.DataFrame(late, schema=dict(MOVES))), placement(pl.DataFrame(rows, schema=dict(MOVES))))


@given(st.lists(MOVE, min_size=1, max_size=25))
@settings(max_examples=150, deadline=None)
def test_intervals_of_a_machine_join_without_gap_or_overlap(rows: list[dict[str, Any]]) -> None:
    found = placement(pl.DataFrame(rows, schema=dict(MOVES)))
    for part in found.partition_by("vm"):
        ends = part.get_column("valid_to").to_list()
        assert ends[-1] is None and ends[:-1] == part.get_column("valid_from").to_list()[1:]


@given(st.lists(MOVE, min_size=1, max_size=25))
@settings(max_examples=150, deadline=None)
def test_a_host_that_is_told_is_one_that_a_record_names(rows: list[dict[str, Any]]) -> None:
    """And one that no record of that interval contradicts."""
    found = placement(pl.DataFrame(rows, schema=dict(MOVES)))
    for interval in found.filter(pl.col("host").is_not_null()).to_dicts():
        named = {row[side] for row in rows if row["vm"] == interval["vm"] for side in ("host", "target")}
        assert interval["host"] in named and interval["reason"] is None
