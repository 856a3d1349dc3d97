"""What users add, through a run on Spark: exceptions, lists, rules of others with a field map. Nothing is lost, ids stay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from pipeline import run as spine
from pipeline.config import Settings
from pipeline.errors import ContentError
from pipeline.lake import Lake
from pipeline.rulebook import read_rulebook

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

KILL = "2026-03-01T10:05:{:02d}.000Z esx0{}.example.org shell[2099]: [{}]: esxcli vm process kill --type=force --world-id=1234\n"
THEIRS = """\
title: Somebody Lists VM Processes
id: 90000000-0000-4000-8000-000000000001
logsource: {category: process_creation, product: linux}
detection:
  selection: {Image|endswith: /esxcli, CommandLine|contains: vm process}
  condition: selection
level: low
"""
EXCEPTION = """\
- rule: esx_vm_killed_in_shell
  when: {{user.name: ops}}
  owner: anna
  reason: the emergency switch is tested
  expires: {}
"""


def exceptions(folder: Path, expires: str) -> str:
    (folder / "exceptions.yml").write_text(EXCEPTION.format(expires))
    return str(folder / "exceptions.yml")


def test_settings_name_the_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "a.yml").write_text(THEIRS)
    (tmp_path / "theirs" / "b.yml").write_text(THEIRS.replace("Image", "ParentImage").replace("0001", "0002"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "backup_accounts.txt").write_text("veeam\n")
    exceptions(tmp_path, "2999-01-01")
    book = read_rulebook(Settings(rules=("theirs",), lists="mine"))
    assert "Somebody Lists VM Processes" in {rule.title for rule in book.catalogue.rules}
    assert [(problem.path, "unknown field 'ParentImage'" in problem.reason) for problem in book.problems] == [("theirs/b.yml:5", True)]
    assert book.catalogue.lists.by_name["backup_accounts"].values == ("veeam",)
    assert len(book.exceptions.active) == 1, "exceptions.yml of the working directory is found"
    with pytest.raises(ContentError, match="unknown field 'ParentImage'"):
        read_rulebook(Settings(rules=("theirs",), strict=True))


@pytest.mark.parametrize("place", [{"rules": ("nowhere",)}, {"lists": "nowhere"}, {"field_maps": ("nowhere",)}])
def test_a_place_that_is_not_there_is_an_error(place: dict[str, Any]) -> None:
    with pytest.raises(ContentError, match="no such file or folder"):
        read_rulebook(Settings(**place))


def test_a_wrong_exception_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ContentError, match="no rule is named"):
        path = exceptions(tmp_path, "2999-01-01")
        Path(path).write_text(Path(path).read_text().replace("esx_vm_killed_in_shell", "nothing"))
        read_rulebook(Settings(exceptions=path))


class House:
    """A folder of logs, its lake, and what a run finds there: owners by host of the loud and of the suppressed alerts."""

    def __init__(self, folder: Path, spark: SparkSession) -> None:
        (folder / "logs").mkdir()
        self.spark, self.settings = spark, Settings(inputs=(str(folder / "logs"),), lake=str(folder / "lake"), quality=False)

    def run(self, **changes: Any) -> spine.Result:
        return spine.run(self.settings.model_copy(update=changes), quiet=True, spark=self.spark)

    def stored(self) -> dict[str, dict[str, Any]]:
        rows = Lake(self.spark, self.settings.lake_url).read("alerts").select("id", "alert").collect()
        return {row[0]: orjson.loads(row[1]) for row in rows}


@pytest.mark.spark
def test_a_run_keeps_suppressed_alerts_and_takes_them_back(tmp_path: Path, spark: SparkSession) -> None:
    house = House(tmp_path, spark)
    (tmp_path / "logs" / "esx.log").write_text(KILL.format(1, 1, "ops") + KILL.format(2, 2, "root"))
    excused = exceptions(tmp_path, "2999-01-01")
    first = house.run(exceptions=excused)
    killed = [a for a in (*first.alerts, *first.suppressed) if a.rule.path.endswith("esx_vm_killed_in_shell.yml")]
    assert {(a.entities.user, a.suppressed is not None) for a in killed} == {(("ops",), True), (("root",), False)}
    assert all(a.suppressed is None for a in first.alerts) and all(a.suppressed for a in first.suppressed)
    assert first.figures["exceptions"]["active"] == 1
    told = {a["id"]: a for a in first.as_dict()["suppressed"]}
    quiet = next(a for a in killed if a.suppressed)
    assert told[quiet.id]["suppressed"] == {"reason": "the emergency switch is tested", "owner": "anna", "expires": "2999-01-01"}
    assert house.stored()[quiet.id]["suppressed"]["owner"] == "anna"
    assert first.report is not None and "the emergency switch is tested" in first.report.read_text()

    again = house.run(exceptions=excused)
    assert not again.alerts and not again.suppressed, "nothing new, nothing changed, nothing to judge"

    yesterday = f"{datetime.now(UTC).date() - timedelta(days=1)}"
    after = house.run(exceptions=exceptions(tmp_path, yesterday))
    assert quiet.id in {a.id for a in after.alerts} and not after.suppressed, "an exception that has expired is undone, on the same id"
    assert house.stored()[quiet.id]["suppressed"] is None
    assert [old["owner"] for old in after.figures["exceptions"]["expired"]] == ["anna"]

    back = house.run(exceptions=exceptions(tmp_path, "2999-01-01"))
    assert [a.id for a in back.suppressed] == [quiet.id]


@pytest.mark.spark
def test_rules_of_others_raise_alerts_beside_ours(tmp_path: Path, spark: SparkSession) -> None:
    house = House(tmp_path, spark)
    (tmp_path / "logs" / "esx.log").write_text(KILL.format(1, 1, "ops"))
    (tmp_path / "theirs.yml").write_text(THEIRS)
    result = house.run(rules=(str(tmp_path / "theirs.yml"),))
    (alert,) = (a for a in result.alerts if a.rule.name == "Somebody Lists VM Processes")
    assert (alert.severity, alert.entities.user, alert.confidence) == ("low", ("ops",), "low")
    assert len(result.alerts) > 1
