"""A job in runs over real lines: its alerts are the same however the lines come, they grow, can be excused, and none is left behind."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.alerts import Alert
from pipeline.analytics import documents
from pipeline.analytics.documents import Ready
from pipeline.analytics.stage import Raised, Site, first_day, found_by_jobs, judged_otherwise
from pipeline.config import Settings
from pipeline.context.files import Context, read_context
from pipeline.lake import Lake
from pipeline.run import run
from pipeline.sigma.catalogue import load_catalogue
from pipeline.sigma.exceptions import Exceptions
from tests.analytics import tiny
from tests.analytics.test_engine import ready
from tests.analytics.test_hyperjacking_raw import HEADER, same

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
# When machines stop, in minutes after START: one burst over midnight, one that is whole only with what comes late, one that is known to
# have begun earlier by what comes late, one that grows.
MONDAY, TUESDAY, LATE, NEXT = (0, 5), (12, 730, 735, 1200, 1205, 1210), (725, 738, 1192), (2000, 2001, 2002, 2003)


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
    """Nothing is left of an alert that no longer holds: an earlier stop that comes late is where the story begins."""
    monkeypatch.setattr(documents, "JOBS", (tiny.JOB,))
    logs, rules = tmp_path / "logs", tmp_path / "rules"
    logs.mkdir()
    rules.mkdir()
    (rules / "tiny.yml").write_text(DOCUMENT, encoding="utf-8")

    def stored(lake: str, **changes: Any) -> dict[datetime, Alert]:
        settings = Settings(inputs=(str(logs),), lake=str(tmp_path / lake), quality=False, rules=(str(rules),), **changes)
        run(settings, quiet=True, spark=spark)
        rows = Lake(spark, settings.lake_url).read("alerts").where(f"rule_id = '{ID}'").collect()
        return {alert.first: alert for alert in (Alert.model_validate_json(row.alert) for row in rows)}

    def counts(alerts: dict[datetime, Alert]) -> dict[int, int]:
        return {(first - START) // timedelta(minutes=1): alert.count for first, alert in alerts.items()}

    lines(logs, monday=MONDAY, tuesday=TUESDAY)
    before = stored("daily")
    assert counts(before) == {0: 3, 1200: 3}
    lines(logs, late=LATE, next=NEXT)
    daily, midnight = stored("daily"), before[START]
    assert counts(daily) == {0: 3, 725: 4, 1192: 4, 2000: 4} and daily[START] == midnight
    # more than the job's document lets it raise it cannot, and it tells the whole story
    assert {alert.severity for alert in daily.values()} == {"high"} and midnight.score == 30
    assert [(each.target, each.gap_s) for each in midnight.steps] == [("web0000", None), ("web0005", 300), ("web0012", 420)]
    assert midnight.detail == {"tenants": [], "senders": [], "ports": 0} and "3 stops on kvm01" in midnight.explanation
    assert midnight.entities.host == ("kvm01",) and len(midnight.evidence) == 3
    exceptions = tmp_path / "exceptions.yml"
    exceptions.write_text(EXCEPTION, encoding="utf-8")
    excused = stored("at_once", exceptions=str(exceptions))
    assert all(alert.suppressed for alert in excused.values())
    assert {first: _loud(alert) for first, alert in excused.items()} == {first: _loud(alert) for first, alert in daily.items()}


def _loud(alert: Alert) -> Alert:
    return alert.model_copy(update={"suppressed": None})


@pytest.mark.spark
def test_inventories_are_judged_where_nothing_was_logged(tmp_path: Path, spark: SparkSession) -> None:
    """A machine that runs and that no manager and no host has registered; a context that is the same as in the last run changes nothing."""
    (tmp_path / "inventory.csv").write_text(HEADER + same("24", "web01|app01", running="web01 node|app01"), encoding="utf-8")
    house = Lake(spark, str(tmp_path / "lake"))
    house.create()
    site = Site(house, load_catalogue(), Exceptions(), read_context(tmp_path), ())
    (alert,) = found_by_jobs(site, set(), None, "first").alerts
    assert (alert.severity, alert.entities.host, alert.detail["set_diff"]["rogue"]) == ("medium", ("esx01",), ["node"])
    assert judged_otherwise(house, site.context) == {date(2026, 11, 24)} and judged_otherwise(house, Context()) == set()


def test_what_is_new_may_end_something_that_began_long_ago() -> None:
    job: Ready = ready(within=timedelta(hours=10))  # looks 30 hours back
    judged = datetime(2026, 3, 10, tzinfo=UTC)
    assert first_day(job, judged, []).isoformat() == "2026-03-08"
    long = Raised("a", "j-1", datetime(2026, 3, 1, 12, tzinfo=UTC), datetime(2026, 3, 9, 23, tzinfo=UTC))
    assert first_day(job, judged, [long]).isoformat() == "2026-02-28"
    over = Raised("a", "j-1", datetime(2026, 3, 1, 12, tzinfo=UTC), datetime(2026, 3, 8, 1, tzinfo=UTC))
    assert first_day(job, judged, [over]).isoformat() == "2026-03-08"
