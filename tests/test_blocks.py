"""Frames on their way through Spark: what is read of files, what comes together, what passes through."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from pipeline import blocks
from pipeline.blocks import PART, Frames, Named, at_once, gathered, made, met, parted

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark
FIELDS = {"id": pl.String, "@timestamp": pl.Int64, "source.ip": pl.String, "source.port": pl.Int64, "user.roles": pl.String,
          "vm.name": pl.String}


def test_fields_are_read_flat_from_new_files_and_old(tmp_path: Path, spark: SparkSession) -> None:
    when = datetime(2026, 3, 1, 0, 0, 0, 7, tzinfo=UTC)
    old = pl.DataFrame({"id": ["a"], "@timestamp": [when], "source": [{"ip": "10.0.0.1"}], "user": [{"roles": ["x", "y"]}]})
    new = pl.DataFrame({"id": ["b", "c"], "@timestamp": [when, None], "source": [{"ip": None, "port": 22}, None],
                        "user": [{"roles": []}, {"roles": None}], "vm": [{"name": "web01"}, {"name": "web02"}]},
                       schema_overrides={"user": pl.Struct({"roles": pl.List(pl.String)})})
    for name, frame in (("old", old), ("new day=1", new)):
        frame.write_parquet(tmp_path / f"{name}.parquet")
    table = spark.read.parquet(str(tmp_path / "*.parquet"))
    read = blocks.read(table, FIELDS, pl.col("id") != "c", lambda rows, home: [
        ("rows", at_once(rows.with_columns(home=pl.lit(home, pl.Int64))))])
    rows = gathered(read, {**FIELDS, "home": pl.Int64}).sort("id")
    micros = int(when.timestamp()) * 1_000_000 + 7
    assert rows.drop("home").rows() == [("a", micros, "10.0.0.1", None, "x, y", None), ("b", micros, None, 22, None, "web01")]
    assert rows.get_column("home").n_unique() == 2 and (rows.get_column("home") < 0).all()
    assert gathered(blocks.read(table, FIELDS, pl.col("id") == "z", lambda rows, _: [("rows", at_once(rows))]), FIELDS).is_empty()


def test_what_has_one_key_comes_together_and_the_rest_passes(spark: SparkSession) -> None:
    rows = pl.DataFrame({"key": [f"k{n % 20}" for n in range(200)], "n": range(200)})
    sides = [("left", parted(rows.head(120), "key", 6)), ("right", parted(rows.tail(80), "key", 6))]
    other = ("other", rows.with_columns(pl.lit(-7, pl.Int64).alias(PART)))

    def sums(frames: Frames) -> Iterator[Named]:
        both = pl.concat(frames.values()).group_by("key").agg(pl.len().cast(pl.Int64).alias("n"))
        yield "sums", at_once(both)

    found = met(made([*sides, other], spark), 3, ("left", "right"), sums)
    summed, passed = (gathered(found.where(f"name = '{name}'"), {"key": pl.String, "n": pl.Int64}) for name in ("sums", "other"))
    assert sorted(summed.rows()) == sorted((f"k{n}", 10) for n in range(20))
    assert passed.rows() == rows.rows()
