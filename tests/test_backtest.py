"""Backtests over a real lake: a changed rule gives added and gone hits and alerts, an unchanged one gives none, and nothing is written."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from pipeline import content
from pipeline import run as spine
from pipeline.backtest import backtest
from pipeline.choosing import change_of, named
from pipeline.comparison import Difference, Effect, Outcome, Seen, compare_alerts
from pipeline.config import Settings
from pipeline.differences import QUIET, print_outcome
from pipeline.errors import ContentError, LakeError
from tests.lakes import live_files

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

HOSTS, MANY = ".example.org", "10000000-0000-4000-8000-000000000003"
SHELL = "<166>2026-03-01T{}Z {}.example.org shell[2099]: [{}]: {}\n"
KILL = "esxcli vm process kill --type=force --world-id=1234"
LINES = (
    SHELL.format("10:05:00.000", "esx01", "root", KILL),
    SHELL.format("10:20:00.000", "esx01", "root", KILL),
    SHELL.format("11:10:00.000", "esx02", "anna", KILL),
    SHELL.format("12:30:00.000", "esx02", "anna", "esxcli system syslog config set --loghost=tcp://192.0.2.9:514"))
HEAD = "logsource: {{product: vmware, service: esxi}}\nlevel: high\ntags: [attack.impact, attack.t1489]\n"
RULES = {
    "kill": "title: Kill\nname: kill\nid: 10000000-0000-4000-8000-000000000001\n" + HEAD.format() + """detection:
  sel: {event.action: shell.cmd, process.command_line|contains: process kill}
  condition: sel
""",
    "syslog": "title: Syslog\nname: syslog\nid: 10000000-0000-4000-8000-000000000002\n" + HEAD.format() + """detection:
  sel: {event.action: shell.cmd, process.command_line|contains: syslog, event.category: process, related.user: anna}
  condition: sel
""",
    "many": """title: Many
name: many
id: 10000000-0000-4000-8000-000000000003
level: critical
tags: [attack.impact, attack.t1489]
correlation: {type: event_count, rules: [kill], group-by: [host.name], timespan: 1h, condition: {gte: 2}, generate: true}
"""}


class House:
    """A lake over a few lines, the rules that made its hits, and a folder for other rules."""

    def __init__(self, folder: Path, spark: SparkSession) -> None:
        self.folder, self.spark, self.rules = folder, spark, folder / "detections"
        for name in ("logs", "detections", "other"):
            (folder / name).mkdir()
        for name, text in RULES.items():
            (self.rules / f"{name}.yml").write_text(text)
        shutil.copy(content.folder("detections") / "attack.csv", self.rules)
        (folder / "logs" / "esx.log").write_text("".join(LINES))
        self.settings = Settings(inputs=(str(folder / "logs"),), lake=str(folder / "lake"), quality=False)

    def test(self, *names: str, **changes: Any) -> Outcome:
        return backtest(self.settings.model_copy(update=changes), names, quiet=True, spark=self.spark)

    def changed(self, name: str, old: str, new: str) -> str:
        """A copy of a rule in which something differs."""
        assert old in RULES[name]
        copy = self.folder / "other" / f"{name}.yml"
        copy.write_text(RULES[name].replace(old, new))
        return str(copy)


def use(rules: Path, patch: pytest.MonkeyPatch) -> None:
    """A folder in place of detections/."""
    found = content.folder
    patch.setattr(content, "folder", lambda name: rules if name == "detections" else found(name))


@pytest.fixture(scope="module")
def built(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> House:
    made = House(tmp_path_factory.mktemp("backtest"), spark)
    with pytest.MonkeyPatch.context() as patch:
        use(made.rules, patch)
        spine.run(made.settings, quiet=True, spark=spark)
    return made


@pytest.fixture
def house(built: House, monkeypatch: pytest.MonkeyPatch) -> House:
    use(built.rules, monkeypatch)
    return built


def of(outcome: Outcome, name: str) -> Effect:
    return next(rule for rule in outcome.rules if rule.name == name)


@pytest.mark.spark
def test_an_unchanged_rule_makes_no_difference(house: House) -> None:
    outcome = house.test("kill")
    assert {rule.name for rule in outcome.rules} == {"kill", "many"}, "with it what is built upon it"
    assert (of(outcome, "kill").hits, of(outcome, "kill").alerts) == (Difference(same=3), Difference(same=2))
    assert (of(outcome, "many").hits, of(outcome, "many").alerts) == (None, Difference(same=1))
    assert all((rule.changes, rule.change, rule.examples) == (0, "unchanged", {}) for rule in outcome.rules)
    assert outcome.events == 4 and outcome.since == datetime(2026, 3, 1, 10, tzinfo=UTC)


@pytest.mark.spark
def test_a_changed_rule_gives_added_and_gone_and_nothing_is_written(house: House) -> None:
    before = {table: live_files(house.folder / "lake", table) for table in ("events", "hits", "alerts", "runs")}
    file = house.changed("kill", "process.command_line|contains: process kill",
                         "process.command_line|contains: [kill, syslog], user.name: anna")
    outcome = house.test(file)
    kill, many = of(outcome, "kill"), of(outcome, "many")
    assert (kill.hits, kill.alerts) == (Difference(added=1, gone=2, same=1), Difference(added=1, gone=1, same=1))
    assert (kill.change, many.change, many.alerts) == ("changed", "unchanged", Difference(gone=1))
    assert ["syslog" in example.line for example in kill.examples["added"]] == [True]
    assert [(example.host, example.time.minute) for example in kill.examples["gone"]] == [(f"esx01{HOSTS}", 5), (f"esx01{HOSTS}", 20)]
    assert outcome.days == [(date(2026, 3, 1), Difference(1, 2, 1), Difference(1, 2, 1))]
    assert outcome.hits.by_entity["host"] == {f"esx01{HOSTS}": Difference(gone=2), f"esx02{HOSTS}": Difference(added=1, same=1)}
    assert outcome.alerts.by_entity["user"] == {"root": Difference(gone=2), "anna": Difference(added=1, same=1)}
    assert {table: live_files(house.folder / "lake", table) for table in before} == before
    said = json.loads(json.dumps(outcome.as_dict()))
    assert said["rules"][0] | {"examples": 0} == {
        "id": kill.id, "name": "kill", "title": "Kill", "kind": "rule", "change": "changed", "examples": 0,
        "hits": {"before": 3, "after": 2, "added": 1, "gone": 2, "same": 1},
        "alerts": {"before": 2, "after": 2, "added": 1, "gone": 1, "same": 1}}
    assert said["entities"]["hits"]["user"] == [{"name": "root", "before": 2, "after": 0, "added": 0, "gone": 2, "same": 0},
                                                {"name": "anna", "before": 1, "after": 2, "added": 1, "gone": 0, "same": 1}]
    console = Console(record=True, width=200)
    print_outcome(outcome, console)
    assert "+ 2026-03-01 12:30:00 esx02.example.org" in console.export_text()


@pytest.mark.spark
def test_only_the_range_is_compared(house: House) -> None:
    file = house.changed("kill", "contains: process kill", "contains: syslog")
    outcome = house.test(file, since=datetime(2026, 3, 1, 11, 40, tzinfo=UTC))
    assert outcome.since == datetime(2026, 3, 1, 11, tzinfo=UTC), "whole hours, since alerts are counted by them"
    assert (of(outcome, "kill").hits, of(outcome, "kill").alerts) == (Difference(added=1, gone=1), Difference(added=1, gone=1))
    early = house.test(file, until=datetime(2026, 3, 1, 11, tzinfo=UTC))
    assert (of(early, "kill").hits, early.events, of(early, "many").alerts) == (Difference(gone=2), 2, Difference(gone=1))


@pytest.mark.spark
def test_without_names_what_differs_is_run(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = house.test()
    assert nothing.rules == () and nothing.since is None
    console = Console(record=True, width=200)
    print_outcome(nothing, console)
    assert QUIET in console.export_text()
    other = house.folder / "now"
    shutil.copytree(house.rules, other)
    (other / "many.yml").unlink()
    (other / "syslog.yml").write_text(RULES["syslog"].replace("contains: syslog", "contains: process"))
    use(other, monkeypatch)
    outcome = house.test()
    assert {(rule.name, rule.change) for rule in outcome.rules} == {("syslog", "changed"), (MANY, "removed")}
    assert of(outcome, "syslog").hits == Difference(added=1, gone=1) and outcome.rules[-1].alerts == Difference(gone=1)


@pytest.mark.spark
def test_a_new_correlation_reads_the_stored_hits(house: House) -> None:
    file = house.folder / "other" / "then.yml"
    file.write_text("title: Then\nname: then\nid: 10000000-0000-4000-8000-000000000009\nlevel: high\n"
                    "correlation: {type: temporal_ordered, rules: [kill, syslog], group-by: [host.name], timespan: 2h}\n")
    tested = of(house.test(str(file)), "then")
    assert (tested.kind, tested.change, tested.hits, tested.alerts) == ("correlation", "new", None, Difference(added=1))


@pytest.mark.spark
def test_what_an_exception_silences_is_no_alert(house: House) -> None:
    excused = house.folder / "exceptions.yml"
    excused.write_text("- {rule: kill, when: {user.name: anna}, owner: o, reason: r, expires: 2999-01-01}\n")
    kill = of(house.test("kill", exceptions=str(excused)), "kill")
    assert (kill.hits, kill.alerts) == (Difference(same=3), Difference(gone=1, same=1))


@pytest.mark.spark
def test_a_range_without_events_is_an_error_that_names_what_there_is(house: House, tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="no events in the range") as error:
        house.test("kill", since=datetime(2027, 1, 1, tzinfo=UTC))
    assert "2026-03-01T10:05 to 2026-03-01T12:30 UTC" in str(error.value)
    with pytest.raises(LakeError, match="cannot be read"):
        house.test("kill", lake=str(tmp_path / "nowhere"))


def test_rules_are_found_by_name_id_file_and_folder(tmp_path: Path) -> None:
    home = content.folder("detections")
    rule = next(rule for rule in named(["kvm_auditd_stopped"]).catalogue.rules if rule.path.stem == "kvm_auditd_stopped")
    assert named([rule.id]).ids == named([str(rule.path)]).ids == named(["kvm_auditd_stopped"]).ids == {rule.id}
    assert {rule.id} < named([str(home / "hardening")]).ids
    copy = tmp_path / "mine.yml"
    copy.write_text(rule.path.read_text(encoding="utf-8").replace("daemon-abort", "daemon-start"), encoding="utf-8")
    chosen = named([str(tmp_path)])
    assert chosen.ids == {rule.id}
    assert [each.path for each in chosen.catalogue.rules if each.id == rule.id] == [copy], "it stands in for ours"


@pytest.mark.parametrize(("name", "message"), [
    ("kvm_auditd_stoped", "did you mean kvm_auditd_stopped"), ("empty", "holds no rule"), ("wrong.yml", "unknown field 'nope'"),
    ("broken.yml", "not valid YAML")])
def test_what_cannot_be_run_is_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "wrong.yml").write_text(RULES["kill"].replace("event.action", "nope"))
    (tmp_path / "broken.yml").write_text("title: [")
    place = tmp_path / name
    with pytest.raises(ContentError, match=message):
        named([str(place) if place.exists() else name]).choose([])


def test_how_a_rule_differs_from_what_ran() -> None:
    now = {"a": "1", "b": "2", "c": "3"}
    runs = [{"a": "1", "b": "1", "d": "4"}, {"a": "1", "b": "2"}]
    assert [change_of(key, now, runs) for key in "abcd"] == ["unchanged", "changed", "new", "removed"]
    assert change_of("a", now, []) == "unknown"


def test_alerts_are_compared_by_id() -> None:
    day, host = date(2026, 3, 1), {"host": ("esx01",), "user": (), "source_ip": ("192.0.2.1",)}
    old, new = [Seen("1", "r", day, host), Seen("2", "r", day, host)], [Seen("2", "r", day, host), Seen("3", "q", day, {})]
    found = compare_alerts(old, new, 5)
    assert (found.of("r"), found.of("q"), found.of("x")) == (Difference(gone=1, same=1), Difference(added=1), Difference())
    assert found.by_entity == {"host": {"esx01": Difference(gone=1, same=1)}, "user": {}, "vm": {}}
