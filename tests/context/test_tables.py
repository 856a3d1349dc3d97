"""Where machines were, from raw lines through the lake: runs, late events, inventories, and the commands that ask."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from pipeline import ingest
from pipeline.context import folding, tables
from pipeline.context.document import roles
from pipeline.context.files import Context, read_context
from pipeline.kernel.engine import Engine
from pipeline.lake import Batch, Lake, worker_url
from pipeline.sigma.catalogue import load_catalogue

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark
CATALOGUE = load_catalogue()
ROLES = roles(CATALOGUE.jobs)
ENGINE = Engine()
DETECTOR = ENGINE.detector(rule for rule in CATALOGUE.rules if rule.id in ROLES)
DAYS = {date(2026, 11, day) for day in (24, 25)}
TELL = ["kind", "key", "valid_from", "valid_to", "vm", "host", "cluster", "tenant", "segment", "state", "reason"]


def vcenter(at: str, event: str, text: str) -> str:
    return (f"<14>1 {at}.263383+00:00 vc01.example.org vpxd 58650 - -  Event [575792] [1-1] [{at}.26309Z] [vim.event.{event}] [info] "
            f"[EXAMPLE\\anna] [DC1] [575792] [{text}]\n")


def started(at: str, vm: str, host: str) -> str:
    return vcenter(at, "VmPoweredOnEvent", f"{vm} on {host}.example.org in DC1 is powered on")


def migrated(at: str, vm: str, source: str, target: str) -> str:
    return vcenter(at, "DrsVmMigratedEvent", f"DRS migrated {vm} from {source}.example.org to {target}.example.org in cluster C1 in DC1")


def mac(at: str, vm: str, last: str) -> str:
    return vcenter(at, "VmMacAssignedEvent", f"New MAC address (00:50:56:aa:bb:{last}) assigned to adapter 4000 for {vm}")


EARLY = [started("2026-11-24T01:00:00", "web01", "esx01"), mac("2026-11-24T00:59:00", "web01", "cc"),
         started("2026-11-24T01:00:00", "db01", "esx02"), *(started("2026-11-24T02:00:00", f"app{n:02d}", "esx03") for n in range(20))]
NEXT = [migrated("2026-11-25T03:00:00", "web01", "esx01", "esx02"), mac("2026-11-25T04:00:00", "web02", "cc")]
LATE = [migrated("2026-11-24T12:00:00", "web01", "esx01", "esx09"), migrated("2026-11-24T13:00:00", "web01", "esx09", "esx01")]


def learn(house: Lake, name: str, lines: list[str]) -> None:
    """Put the hits of a log into the lake."""
    job = ingest.Job(ENGINE, DETECTOR, worker_url(house.url), name, "2026-11-25")
    writer = ingest.Writer(job)
    for batch in ENGINE.process_bytes("".join(lines).encode(), datetime(2026, 11, 25, tzinfo=UTC), name, "vmware-vcenter"):
        writer.add(batch)
    house.commit(Batch(name, {"hits": writer.close()["hits"]}, {}))


def read(spark: SparkSession, folder: Path, *parts: list[str]) -> Lake:
    """A lake that learnt parts of a log one after the other, with a refresh after each."""
    house = Lake(spark, str(folder / "lake"))
    house.create()
    for number, lines in enumerate(parts):
        learn(house, f"log{number}", lines)
        tables.refresh(house, ROLES, Context(), DAYS, f"r{number}")
    return house


def known(house: Lake) -> pl.DataFrame:
    table = tables.placed(house)
    assert table is not None
    found = pl.from_arrow(table.toArrow())
    assert isinstance(found, pl.DataFrame)
    return found.select(TELL).sort("kind", "key", "valid_from", "vm")


def hosts(rows: pl.DataFrame, kind: str, key: str) -> list[tuple[str | None, str | None]]:
    return rows.filter((pl.col("kind") == kind) & (pl.col("key") == key)).select("vm", "host").rows()


def test_runs_late_events_and_all_at_once_agree_on_the_driver_and_in_tasks(tmp_path: Path, spark: SparkSession,
                                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    one_by_one = known(read(spark, tmp_path / "a", EARLY, NEXT, LATE))
    assert_frame_equal(one_by_one, known(read(spark, tmp_path / "b", [*LATE, *NEXT, *EARLY])))
    monkeypatch.setattr(tables, "FEW", 0)
    assert_frame_equal(one_by_one, known(read(spark, tmp_path / "c", EARLY, [*NEXT, *LATE])))
    assert hosts(one_by_one, "vm", "web01") == [("web01", host) for host in ("esx01", "esx09", "esx01", "esx02")]
    assert hosts(one_by_one, "mac", "00:50:56:aa:bb:cc") == [
        ("web01", None), ("web01", "esx01"), ("web01", "esx09"), ("web01", "esx01"), ("web01", "esx02"), ("web02", None)]


def test_only_touched_buckets_are_folded_and_nothing_new_changes_nothing(tmp_path: Path, spark: SparkSession) -> None:
    house = read(spark, tmp_path, EARLY)
    before = {row.path for row in house.read("placement").selectExpr("_metadata.file_path as path").distinct().collect()}
    assert not tables.refresh(house, ROLES, Context(), set(), "idle")
    learn(house, "more", [migrated("2026-11-25T05:00:00", "db01", "esx02", "esx01")])
    assert tables.refresh(house, ROLES, Context(), {date(2026, 11, 25)}, "more")
    after = {row.path for row in house.read("placement").selectExpr("_metadata.file_path as path").distinct().collect()}
    assert len(before & after) == len(before) - 1 and len(after) == len(before)
    assert hosts(known(house), "vm", "db01") == [("db01", "esx02"), ("db01", "esx01")]


def test_an_inventory_corrects_and_another_folds_anew(tmp_path: Path, spark: SparkSession) -> None:
    house = read(spark, tmp_path, EARLY)
    site = tmp_path / "site"
    site.mkdir()
    header, at = "time,source,vm,host,tenant,segment,ip", "2026-11-24T10:00:00Z,vc01"
    others = "".join(f"{at},app{n:02d},esx03,acme,,\n" for n in range(20))
    (site / "inventory.csv").write_text(f"{header}\n{at},web01,esx05,acme,web,10.0.0.5\n{at},web09,esx01,,,\n{at},web08,esx02,,,\n{others}",
                                        encoding="utf-8")
    assert tables.refresh(house, ROLES, read_context(site), set(), "site")
    rows = known(house)
    assert hosts(rows, "vm", "web01") == [("web01", None), ("web01", "esx05")]
    assert rows.filter((pl.col("vm") == "web01") & (pl.col("kind") == "vm")).get_column("tenant").to_list() == ["acme", "acme"]
    assert rows.filter(pl.col("key") == "db01").select("state", "reason").rows() == [
        (None, "gone when the next inventory was taken"), ("removed", None)]
    assert hosts(rows, "ip", "10.0.0.5") == [("web01", None), ("web01", "esx05")]  # it came within the day before: with its address
    assert not tables.refresh(house, ROLES, read_context(site), set(), "again")


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    from pipeline.cli import app

    app(list(arguments), standalone_mode=False)
    return json.loads(capsys.readouterr().out)


def test_the_commands_answer_who_where_and_whose(tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    house = read(spark, tmp_path, EARLY, NEXT)
    site = tmp_path / "site"
    site.mkdir()
    (site / "tenants.csv").write_text("tenant,by,value\nacme,vm,web*\nglobex,vm,db*\n", encoding="utf-8")
    tables.refresh(house, ROLES, read_context(site), set(), "site")
    monkeypatch.setattr("pipeline.session.session", lambda *_, **__: spark)
    monkeypatch.setattr("pipeline.session.stop", lambda _: None)
    capsys.readouterr()
    answer = asked(capsys, "context", "show", "vm", "Web01", "--at", "2026-11-24T10:00Z", "--lake", house.url, "--json")
    (found,) = answer["found"]
    assert (found["host"], found["tenant"], found["state"], found["addresses"]) == ("esx01", "acme", "running", ["00:50:56:aa:bb:cc"])
    assert (found["since"], found["until"]) == ("2026-11-24T01:00:00.263090Z", "2026-11-25T03:00:00.263090Z")
    answer = asked(capsys, "context", "separation", "acme", "globex", "--since", "2026-11-24", "--until", "2026-11-26", "--lake", house.url,
                   "--json")
    assert answer["shared"] == [{"host": "esx02", "since": "2026-11-25T03:00:00.263090Z", "until": "2026-11-26T00:00:00Z",
                                 "vms": {"acme": ["web01"], "globex": ["db01"]}}]
    assert [row["reason"] for row in answer["unknown"]] == ["no record is so old"]
    assert answer["machines_without_tenant"] == 20


def test_no_rows_are_joined_with_one_another(tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[str] = []

    def planned(told: Any, buckets: set[str] | None, target: Any, real: Any = tables.folded) -> Any:
        both = real(told, buckets, target)
        plans.append(both._jdf.queryExecution().executedPlan().toString())
        return both

    monkeypatch.setattr(tables, "FEW", 0)
    monkeypatch.setattr(tables, "folded", planned)
    read(spark, tmp_path, EARLY)
    (plan,) = plans
    assert "Join" not in plan and "CartesianProduct" not in plan and plan.count("Exchange hashpartitioning") == 2


def test_a_bucket_is_the_same_everywhere() -> None:
    rows = pl.DataFrame({"vm": ["web01", "db01", None, "web01"]}).select(folding.bucket(pl.col("vm")))
    assert rows.to_series().to_list() == ["58", "50", None, "58"]

