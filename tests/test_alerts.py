"""Alerts from hits: grouping, ids, bounds, words. No Spark."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.alerts import Alert, rank
from pipeline.raising import (
    MAX_EVENTS,
    MAX_EVIDENCE,
    MAX_TEXT,
    RuleLike,
    alert_id,
    build,
    from_findings,
    from_hits,
    group_key,
    needed_fields,
    window_start,
)
from pipeline.rows import time_of
from pipeline.sigma.load import load_rules
from pipeline.sigma.metadata import Custom, Evidence
from pipeline.text import one_line, visible
from tests.report_demo import RULES, DemoRule, hit, hits
from tests.test_judge import correlation

RULE = DemoRule("r", title="Something happened", level="high", custom=Custom(threat="hardening"))
ESX = {"host__name": "esx1", "user__name": "root"}


def test_same_rule_host_user_in_one_hour_is_one_alert() -> None:
    alerts = from_hits([hit("r", n, f"line {n}", **ESX) for n in range(30)], [RULE])
    assert len(alerts) == 1
    assert alerts[0].count == 30 and len(alerts[0].events) == MAX_EVENTS and len(alerts[0].evidence) == MAX_EVIDENCE
    assert (alerts[0].last - alerts[0].first) == timedelta(minutes=29)
    assert alerts[0].evidence[0].original == "line 0" and alerts[0].evidence[-1].original == "line 29", "the last record is always shown"


@pytest.mark.parametrize("other", [{"host__name": "esx2"}, {"user__name": "jdoe"}, {"user__domain": "CORP"}, {"vm__name": "web"}])
def test_another_host_user_domain_or_vm_is_another_alert(other: dict[str, str]) -> None:
    assert len(from_hits([hit("r", 0, "a", **ESX), hit("r", 1, "b", **(ESX | other))], [RULE])) == 2


def test_another_hour_or_another_rule_is_another_alert() -> None:
    rows = [hit("r", 0, "a", **ESX), hit("r", 60, "b", **ESX), hit("s", 0, "a", **ESX)]
    assert len(from_hits(rows, [RULE, DemoRule("s")])) == 3


def test_events_that_name_nobody_stand_alone() -> None:
    alerts = from_hits([hit("r", 0, "a"), hit("r", 1, "b")], [RULE])
    assert [alert.count for alert in alerts] == [1, 1]


@settings(deadline=None, max_examples=30)
@given(st.randoms(use_true_random=False), st.integers(0, 40))
def test_order_repeats_and_batches_do_not_change_alerts(shuffle: random.Random, repeated: int) -> None:
    rows = hits()
    mixed = [*rows, *rows[:repeated]]
    shuffle.shuffle(mixed)
    assert from_hits(mixed, reversed(RULES)) == from_hits(rows, RULES)


def test_a_late_hit_grows_the_alert_and_keeps_its_id() -> None:
    on_time = from_hits([hit("r", 10, "b", **ESX)], [RULE])[0]
    with_late = from_hits([hit("r", 10, "b", **ESX), hit("r", 2, "a", **ESX)], [RULE])[0]
    assert with_late.id == on_time.id and with_late.count == 2 and with_late.first < on_time.first


def test_hits_of_unknown_rules_are_left_out_and_none_give_none() -> None:
    assert from_hits([hit("gone", 0, "a")], [RULE]) == [] == from_hits([], [RULE])


def test_a_hit_without_time_is_an_alert_of_its_own() -> None:
    alerts = from_hits([hit("r", 0, "a", **ESX) | {"@timestamp": None}, hit("r", 0, "b", **ESX) | {"event_id": "x"}], [RULE])
    assert [alert.count for alert in alerts] == [1, 1] and alerts[0].evidence[0].time is None


def test_times_may_be_text_and_without_zone_mean_utc() -> None:
    texts = ("2026-03-01T10:30:00Z", "2026-03-01T11:30:00+01:00", "2026-03-01T10:30:00")
    alerts = from_hits([hit("r", n, "a", **ESX) | {"@timestamp": text} for n, text in enumerate(texts)], [RULE])
    assert len(alerts) == 1 and alerts[0].timestamp == datetime(2026, 3, 1, 10, 30, tzinfo=UTC)


def test_ids_cannot_collide_through_their_parts() -> None:
    when = datetime(2026, 3, 1, tzinfo=UTC)
    assert alert_id("a", "bc", when) != alert_id("ab", "c", when)
    assert group_key({"host.name": "a", "user.name": "b"}) != group_key({"host.name": "ab"})
    assert alert_id("r", "k", when) == alert_id("r", "k", when.astimezone(timezone(timedelta(hours=9))))


@given(st.datetimes(timezones=st.just(UTC), min_value=datetime(1900, 1, 1)))
def test_windows_hold_their_times(when: datetime) -> None:
    start = window_start(when)
    assert start <= when < start + timedelta(hours=1) and start.minute == start.second == start.microsecond == 0


def test_evidence_of_a_correlation_shows_every_step() -> None:
    rows = [hit("failed", n / 10, f"failed {n}", **ESX) for n in range(50)]
    rows += [hit("succeeded", 6, "succeeded", **ESX), *(hit("failed", 7 + n / 10, "more", **ESX) for n in range(30))]
    alert = build(RULE, rows, "esx1", window_start(rows[0]["@timestamp"]))
    assert alert.count == 81 and len(alert.evidence) == MAX_EVIDENCE
    assert "succeeded" in [line.original for line in alert.evidence]


def test_long_text_is_cut_with_a_sign() -> None:
    text = from_hits([hit("r", 0, "x" * 10_000)], [RULE])[0].evidence[0].original
    assert len(text) == MAX_TEXT and text.endswith("…")


def test_what_an_alert_takes_from_its_rule() -> None:
    alert = next(a for a in from_hits(hits(), RULES) if a.rule.id == "rns-syslog-tamper")
    assert alert.rule.path == "detections/ransomware-chain/rns-syslog-tamper.yml" and alert.rule.threat == "ransomware-chain"
    assert alert.attack.v19 == ("T1685", "T1690") and alert.attack.v18 == ("T1562.001", "T1562.003")
    assert alert.attack.tactics == ("defense-impairment",) and alert.severity == "high"
    who = alert.entities
    assert (who.user, who.host, who.vm, who.source_ip) == (("root",), ("esx-ams-07.corp.example",), (), ("203.0.113.40",))


def test_the_threat_falls_back_to_the_folder_and_an_odd_level_to_medium() -> None:
    rule = DemoRule("r", level="", path=Path("detections/vswitch/r.yml"))
    alert = from_hits([hit("r", 0, "a")], [rule])[0]
    assert (alert.rule.threat, alert.severity) == ("vswitch", "medium")


@pytest.mark.parametrize(("status", "kinds", "sure"), [
    ("stable", ["captured", "documented"], "high"), ("test", ["documented"], "medium"), ("stable", ["captured", "assumed"], "low"),
    ("stable", [], "low")])
def test_confidence_follows_status_and_evidence(status: str, kinds: list[str], sure: str) -> None:
    evidence = tuple(Evidence.model_validate({"kind": kind, "source": "", "value": ""}) for kind in kinds)
    rule = DemoRule("r", status=status, custom=Custom(evidence=evidence))
    alert = from_hits([hit("r", 0, "a")], [rule])[0]
    assert alert.confidence == sure and alert.confidence_why


def test_words_from_template_values_and_missing_fields() -> None:
    rule = DemoRule("r", custom=Custom(explain="{user.name} did {process.command_line} on {host.name}. {__class__}"))
    rows = [hit("r", n, "a", host__name="esx1", user__name="root", process__command_line=f"cmd{n}") for n in range(5)]
    words = from_hits(rows, [rule])[0].explanation
    assert words.startswith("root did cmd0, cmd1, cmd2 and 2 more on esx1. (unknown). Seen 5 times from 22:04:11 to 22:08:11 UTC.")


def test_a_value_at_the_end_of_a_template_ends_the_sentence_and_a_list_is_one_text() -> None:
    rule = DemoRule("r", custom=Custom(explain="ran {process.args} in {vm.name}: {message}"))
    rows = [hit("r", n, "a", message="as told", process__args=["a", "b"], vm__id="vm-7") for n in range(2)]
    assert from_hits(rows, [rule])[0].explanation == "ran a, b in vm-7: as told. Seen 2 times from 22:04:11 to 22:05:11 UTC."


def test_needed_fields_are_those_of_templates_and_of_every_alert() -> None:
    rule = DemoRule("r", custom=Custom(explain="ran {process.args}"))
    assert {"process.args", "host.name", "user.domain", "vm.path", "event.original", "@timestamp"} <= needed_fields([rule])


def test_the_rules_we_ship_make_alerts() -> None:
    rules: list[RuleLike] = list(load_rules().rules)
    alerts = from_hits([hit(rule.id, 0, "a", host__name="esx1") for rule in rules], rules)
    assert len(alerts) == len(rules)
    assert all(alert.explanation and alert.rule.path.startswith("detections/") for alert in alerts)


def test_words_without_template() -> None:
    words = from_hits([hit("r", 0, "a", **ESX, vm__name="web", source__ip="192.0.2.1")], [RULE])[0].explanation
    assert words == "Something happened on esx1 VM web by root from 192.0.2.1."


def test_hostile_values_reach_the_words_as_one_printable_line() -> None:
    rule = DemoRule("r", custom=Custom(explain="{user.name} came"))
    words = from_hits([hit("r", 0, "a", user__name="\x1b[2Jroot\r\n\u202eevil\ud800 {host.name}", host__name="h")], [rule])[0].explanation
    assert words.isprintable() and "{host.name}" in words, "a value is not a template"


@given(st.text(st.characters()))
def test_safe_text_is_printable_and_bounded(text: str) -> None:
    assert len(one_line(text, 40)) <= 40
    shown = visible(text)
    shown.encode("utf-8")
    assert not {"\x1b", "\r", "\x00", "\u202e", "\u200b", "\x9b"} & set(shown)


def test_alerts_survive_json_and_rank_worst_first() -> None:
    alerts = from_hits(hits(), RULES)
    assert all(Alert.model_validate_json(a.model_dump_json(by_alias=True)) == a for a in alerts)
    assert "@timestamp" in alerts[0].model_dump(by_alias=True)
    ranked = sorted(alerts, key=rank)
    assert [a.severity for a in ranked[:4]] == ["critical", "critical", "critical", "high"] and ranked[0].count == 14
    assert ranked[-1].severity == "informational"


def test_alerts_of_correlations_carry_group_window_and_true_count() -> None:
    counted = correlation({"type": "event_count", "rules": ["a"], "condition": {"gte": 2}})
    rows = [hit("id-a", minute, f"line {minute}", **ESX) for minute in range(30)]
    first, last = (datetime.fromisoformat(str(rows[n]["@timestamp"])).timestamp() * 1e6 for n in (0, 29))
    found = {"correlation": counted.id, "key": "esx01", "group": ["ESX01"], "first": int(first), "last": int(last), "closes": int(last),
             "value": 30.0, "count": 30, "events": [str(row["event_id"]) for row in (*rows[:19], rows[29])]}
    (alert,) = from_findings([found], [counted], {str(row["event_id"]): [row] for row in rows})
    assert alert.window and alert.window.group == {"host.name": "ESX01"} and alert.window.value == 30
    assert (alert.count, len(alert.events), alert.first, alert.last) == (30, 20, time_of(rows[0]), time_of(rows[29]))
    assert alert.id == alert_id(counted.id, "esx01", alert.first)
    assert "Seen 30 times" in alert.explanation
