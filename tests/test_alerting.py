"""Alerts of correlations over several runs: they grow, they move when an earlier event comes late, and none is left behind."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.alerts import Alert
from pipeline.config import Settings
from pipeline.lake import Lake
from pipeline.run import run

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark
RULE = "5b0f6f0e-5f0c-4c58-9c0a-6a0c7a1f4d52"  # kvm_many_vms_destroyed: five guests of a host within an hour
START = 1_795_534_478


def destroyed(vm: str, minute: int) -> str:
    return (f"node=kvm01 type=VIRT_CONTROL msg=audit({START + 60 * minute}.733:{minute + 100}): pid=4842 uid=0 auid=4294967295 ses=1 "
            f"msg='virt=kvm op=stop reason=destroyed vm=\"{vm}\" uuid=cbecce39-5b5d-443d-8cd0-83d92c5c1e31 vm-pid=0 "
            "exe=\"/usr/sbin/libvirtd\" hostname=? addr=? terminal=? res=success'\n")


def test_an_alert_grows_over_runs_and_moves_with_a_late_event(tmp_path: Path, spark: SparkSession) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    settings = Settings(inputs=(str(logs),), lake=str(tmp_path / "lake"), quality=False)

    def stored() -> list[Alert]:
        run(settings, quiet=True, spark=spark)
        rows = Lake(spark, settings.lake_url).read("alerts").where(f"rule_id = '{RULE}'").collect()
        return [Alert.model_validate_json(row.alert) for row in rows]

    log = logs / "audit.log"
    log.write_text("".join(destroyed(f"web0{n}", 10 + n) for n in range(4)))
    assert stored() == []
    with log.open("a") as file:
        file.write(destroyed("web04", 20))
    (five,) = stored()
    assert (five.count, five.window and five.window.value) == (5, 5)
    with log.open("a") as file:
        file.write(destroyed("web05", 30))
    (six,) = stored()
    assert six.id == five.id and six.count == 6
    (logs / "late.log").write_text(destroyed("web06", 0))
    (seven,) = stored()
    assert seven.count == 7 and seven.first < six.first and seven.id != six.id
