"""The tables: made once, committed once, extended when the schema gains a column."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from pipeline import lake as lake_module
from pipeline.delta_files import write_parquet
from pipeline.errors import LakeError
from pipeline.lake import TABLES, Batch, Lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark


def test_a_batch_is_committed_once(tmp_path: Path, spark: SparkSession) -> None:
    lake = Lake(spark, str(tmp_path / "lake"))
    lake.create()
    lake.create()
    log = (tmp_path / "lake/events/_delta_log" / f"{0:020d}.json").read_text().splitlines()
    assert json.loads(log[1])["metaData"]["partitionColumns"] == ["date"]
    assert lake.is_new("quarantine")
    rows = pl.DataFrame({"id": ["i"], "path": ["f"], "offset": [0], "raw": ["r"], "reasons": [["x"]], "parser": ["p"], "lines": [1],
                         "run": ["run"]})
    add = write_parquet(lake.path("quarantine"), rows, "2026-03-01", "run", ("id", "path"))
    for _ in range(2):
        lake.commit(Batch("b", {"quarantine": [add], "files": []}, {}))
    assert lake.read("quarantine").count() == 1
    assert not lake.is_new("quarantine")
    lake.commit(Batch("c", {}, {"quarantine": ["i"]}))
    assert lake.read("quarantine").count() == 0


def test_a_table_that_is_not_there_is_named(tmp_path: Path, spark: SparkSession) -> None:
    with pytest.raises(LakeError, match="table events cannot be read"):
        Lake(spark, str(tmp_path / "nowhere")).read("events")


def test_a_new_column_reaches_an_old_table(tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake_module, "TABLES", {"runs": TABLES["runs"]})
    lake = Lake(spark, str(tmp_path / "lake"))
    lake.create()
    monkeypatch.setattr(lake_module, "TABLES", {"runs": replace(TABLES["runs"], ddl=TABLES["runs"].ddl + ", more STRUCT<inner: STRING>")})
    lake.create()
    assert lake.read("runs").select("more.inner").columns == ["inner"]
