"""A job in runs over real lines: its alerts are the same however the lines come, they grow, can be excused, and none is left behind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.alerts import Alert
from pipeline.analytics import documents
from pipeline.analytics.documents import Ready
from pipeline.analytics.stage import Raised, first_day
from pipeline.config import Settings
from pipeline.lake import Lake
from pipeline.run import run
from tests.analytics import tiny
from tests.analytics.test_engine import ready

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ID = "2b6de9c1-53ab-4c1e-9a8e-0d6a4cf0b7e5"
DOCUMENT = f"""
title: Machines Stopped One After Another
id: {ID}
name: tiny_stops
status: experimental
level: high
description: For a test.
tags: [attack.impact, attack.t1489]
falsepositives: [a planned stop]
job:
  type: tiny
  rules:
    stop: [kvm_vm_destroyed]
custom:
  threat: ransomware-chain
  blind_spots: none
  response: [look]
  attack_v18: [T1489]
"""
EXCEPTION = "- {rule: tiny_stops, when: {host.name: kvm01}, owner: anna, reason: a drill, expires: 2099-12-31}\n"
START = datetime(2026, 11, 20, 23, 50, tzinfo=UTC)
# When machines stop, in minutes after START: one burst over midnight, one that is whole only with what comes late, one that grows.
MONDAY, TUESDAY, WEDNESDAY, LATE, MORE = (0, 5), (12, 730, 735), (2000, 2001, 2002, 2003), (725, 738), (2010,)


def stopped(minute: int) -> str:
    when = (START + timedelta(minutes=minute)).timestamp()
    return (f"node=kvm01 type=VIRT_CONTROL msg=audit({when:.3f}:{minute + 100}): pid=4842 uid=0 auid=4294967295 ses=1 "
            f"msg='virt=kvm op=stop reason=destroyed vm=\"web{minute:04}\" uuid=cbecce39-5b5d-443d-8cd0-83d92c5c1e31 vm-pid=0 "
            "exe=\"/usr/sbin/libvirtd\" hostname=? addr=? terminal=? res=success'\n")


def lines(folder: Path, **files: tuple[int, ...]) -> None:
    for name, minutes in files.items():
        (folder / f"{name}.log").write_text("".join(map(stopped, minutes)), encoding="utf-8")


@pytest.mark.spark
def test_alerts_are_the_same_however_lines_arrive(tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "JOBS", (tiny.JOB,))
    logs, rules = tmp_path / "logs", tmp_path / "rules"
    logs.mkdir()
    rules.mkdir()
    (rules / "tiny.yml").write_text(DOCUMENT, encoding="utf-8")

    def stored(lake: str, **changes: Any) -> dict[str, Alert]:
        settings = Settings(inputs=(str(logs),), lake=str(tmp_path / lake), quality=False, rules=(str(rules),), **changes)
        run(settings, quiet=True, spark=spark)
        rows = Lake(spark, settings.lake_url).read("alerts").where(f"rule_id = '{ID}'").collect()
        return {alert.id: alert for alert in (Alert.model_validate_json(row.alert) for row in rows)}

    lines(logs, monday=MONDAY)
    assert stored("daily") == {}
    lines(logs, tuesday=TUESDAY)
    (midnight,) = stored("daily").values()
    assert (midnight.count, midnight.first, midnight.last) == (3, START, START + timedelta(minutes=12))
    lines(logs, wednesday=WEDNESDAY)
    assert sorted(alert.count for alert in stored("daily").values()) == [3, 4]
    lines(logs, late=LATE, more=MORE)
    daily = stored("daily")
    assert sorted(alert.count for alert in daily.values()) == [3, 4, 5] and daily[midnight.id] == midnight
    assert stored("at_once") == daily
    # more than the job's document lets it raise it cannot, and it tells the whole story
    assert {alert.severity for alert in daily.values()} == {"high"} and midnight.score == 30
    assert [(each.target, each.gap_s) for each in midnight.steps] == [("web0000", None), ("web0005", 300), ("web0012", 420)]
    assert midnight.detail == {"tenants": [], "senders": [], "ports": 0} and "3 stops on kvm01" in midnight.explanation
    assert midnight.entities.host == ("kvm01",) and len(midnight.evidence) == 3
    exceptions = tmp_path / "exceptions.yml"
    exceptions.write_text(EXCEPTION, encoding="utf-8")
    excused = stored("daily", exceptions=str(exceptions))
    assert excused.keys() == daily.keys() and all(alert.suppressed for alert in excused.values())


@pytest.mark.spark
def test_an_alert_that_no_longer_holds_is_removed(tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """An earlier stop that comes late is where the story begins: what began later is no more."""
    monkeypatch.setattr(documents, "JOBS", (tiny.JOB,))
    rules = tmp_path / "tiny.yml"
    rules.write_text(DOCUMENT, encoding="utf-8")
    logs = tmp_path / "logs"
    logs.mkdir()
    settings = Settings(inputs=(str(logs),), lake=str(tmp_path / "lake"), quality=False, rules=(str(rules),))

    def firsts() -> list[datetime]:
        run(settings, quiet=True, spark=spark)
        rows = Lake(spark, settings.lake_url).read("alerts").where(f"rule_id = '{ID}'").collect()
        return [Alert.model_validate_json(row.alert).first for row in rows]

    lines(logs, first=(30, 35, 40))
    assert firsts() == [START + timedelta(minutes=30)]
    lines(logs, late=(22,))
    assert firsts() == [START + timedelta(minutes=22)]


def test_what_is_new_may_end_something_that_began_long_ago() -> None:
    job: Ready = ready(within=timedelta(hours=10))  # looks 30 hours back
    judged = datetime(2026, 3, 10, tzinfo=UTC)
    assert first_day(job, judged, []).isoformat() == "2026-03-08"
    long = Raised("a", "j-1", datetime(2026, 3, 1, 12, tzinfo=UTC), datetime(2026, 3, 9, 23, tzinfo=UTC))
    assert first_day(job, judged, [long]).isoformat() == "2026-02-28"
    over = Raised("a", "j-1", datetime(2026, 3, 1, 12, tzinfo=UTC), datetime(2026, 3, 8, 1, tzinfo=UTC))
    assert first_day(job, judged, [over]).isoformat() == "2026-03-08"
