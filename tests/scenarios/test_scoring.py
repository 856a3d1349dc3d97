"""How findings are counted against what was planted, and how a job with a signal off is made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from pipeline.analytics.documents import Ready, ready
from pipeline.sigma.catalogue import load_catalogue

from .scoring import Finding, Planted, Score, Worth, meets, score, worth
from .variants import variants

NOON = datetime(2026, 5, 20, 12, tzinfo=UTC)
WEEK = timedelta(weeks=1)


def planted(job: str = "hop", negative: bool = False, *names: str, start: datetime = NOON) -> Planted:
    return Planted(job, "x", negative, frozenset(names or {"web01"}), start, start + timedelta(hours=1))


def finding(severity: str, *names: str, at: datetime = NOON) -> Finding:
    return Finding(at, at + timedelta(minutes=5), severity, frozenset(names), "told")


@pytest.mark.parametrize(("name", "hours", "expected"), [
    ("web01", 0, True), ("db01", 0, False), ("web01", -2, False), ("web01", 20, True), ("web01", 30, False)])
def test_a_finding_meets_a_case_by_name_and_time(name: str, hours: int, expected: bool) -> None:
    assert meets(finding("high", name, at=NOON + timedelta(hours=hours)), planted()) is expected


def test_only_loud_findings_find_an_attack() -> None:
    quiet = score("hop", [finding("medium", "web01")], [planted()], 1000, WEEK, 1)
    loud = score("hop", [finding("critical", "web01")], [planted()], 1000, WEEK, 1)
    assert (quiet.recall, quiet.missed, loud.recall, loud.precision) == (0.0, ["1:x"], 1.0, 1.0)


def test_a_loud_finding_of_nothing_planted_is_false_and_one_of_another_jobs_attack_is_not() -> None:
    cases = [planted("hop"), planted("login", False, "alice")]
    found = score("hop", [finding("high", "web01"), finding("high", "alice"), finding("high", "mail01")], cases, 2000, WEEK, 1)
    assert (found.loud, found.true, found.false_per_1000_vm_weeks, found.false) == (3, 2, 0.5, ["1:told"])


def test_a_negative_that_is_told_is_named() -> None:
    found = score("hop", [finding("high", "scan01")], [planted("hop", True, "scan01")], 1000, WEEK, 3)
    assert (found.noisy, found.false, found.attacks) == (["3:x"], ["3:told"], 0)


def test_scores_add_up() -> None:
    total = Score()
    for seed in (1, 2):
        total += score("hop", [finding("high", "web01")] if seed == 1 else [], [planted()], 500, WEEK, seed)
    assert (total.attacks, total.found, total.recall, total.vm_weeks, total.missed) == (2, 1, 0.5, 1000.0, ["2:x"])


def test_a_signal_is_worth_what_is_missed_and_what_is_told_without_it() -> None:
    cases = [planted("hop"), planted("hop", True, "scan01")]
    whole = score("hop", [finding("high", "web01")], cases, 1000, WEEK, 4)
    found = worth(whole, score("hop", [finding("high", "scan01")], cases, 1000, WEEK, 4))
    assert (found.finds, found.silences) == (["4:x"], ["4:x"])
    assert worth(whole, whole) == Worth()
    other = Worth(["5:y"])
    other += found
    assert other.finds == ["5:y", "4:x"]


def job(kind: str) -> Ready:
    return next(each for each in ready(load_catalogue().jobs) if each.job.type == kind)


def test_each_role_and_weight_that_occurs_is_once_off() -> None:
    rows = pl.DataFrame({"role": ["login", "login", "failure"], "rule": ["a", "b", "c"]})
    made = {name: (other, left) for name, other, left in variants(job("login_baseline"), rows, ("a", "b", "c"))}
    assert {"role login", "role failure", "weight off_hours", "weight token_reuse"} <= made.keys()
    assert made["role login"][1].get_column("rule").to_list() == ["c"]
    assert made["weight off_hours"][0].parameters.weights.off_hours == 0  # type: ignore[attr-defined]
    assert made["weight off_hours"][0].parameters.weights.token_reuse > 0  # type: ignore[attr-defined]


def test_a_weight_of_a_rule_that_never_occurs_makes_no_variant() -> None:
    rows = pl.DataFrame({"role": ["integrity"], "rule": ["esx_boot_script_changed"]})
    rules = ("esx_boot_script_changed", "esx_unsigned_software_installed")
    names = {name for name, _, _ in variants(job("hyperjacking"), rows, rules)}
    assert {"weight esx_boot_script_changed", "weight inventory_rogue"} <= names  # what is no rule may occur
    assert not any("esx_unsigned_software_installed" in name for name in names)
