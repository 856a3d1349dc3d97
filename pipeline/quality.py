"""Great Expectations on the written tables: one suite per source, Data Docs beside the lake.

Row contracts are columns of the kernel; what is checked here is what only the whole table can tell: volume, completeness, value sets, time
range, share of recognised records. One Spark aggregation per run makes a row of figures per source; the expectations run on those rows, so
their cost does not grow with the events. Only the days that a run wrote are looked at.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
from pyspark.sql import Column
from pyspark.sql import functions as F

from .config import Settings
from .lake import Lake

OUTCOMES = ("success", "failure", "unknown")
KINDS = ("event", "alert", "state", "metric", "signal", "asset", "enrichment", "pipeline_error")
LEAST_RECOGNISED = 0.5
AHEAD = timedelta(days=2)  # clocks of hosts may be wrong, and time zones mistaken, by a day

# column of the aggregate -> (what is counted, least allowed, most allowed, what it means)
Bounds = tuple[float | None, float | None]
EXPECTATIONS: dict[str, tuple[Bounds, str]] = {
    "events": ((1, None), "the source has events"),
    "time_missing_in_event": ((0, 0), "every event has @timestamp"),
    "original_missing": ((0, 0), "every event has event.original"),
    "id_missing": ((0, 0), "every event has event.id"),
    "kind_unknown": ((0, 0), "event.kind is a value of ECS"),
    "outcome_unknown": ((0, 0), "event.outcome is a value of ECS"),
    "in_future": ((0, 0), "no event is from the future"),
    "recognised": ((LEAST_RECOGNISED, 1), "most records have a known form"),
    "host_share": ((0.5, 1), "most events name their host, observer or cloud"),
}


def load() -> None:
    """Import Great Expectations, which takes seconds: better while the Java machine starts."""
    with warnings.catch_warnings():  # its dependencies warn about each other
        warnings.simplefilter("ignore")
        import_module("great_expectations")


def _count(condition: Column) -> Column:
    return F.coalesce(F.sum(condition.cast("long")), F.lit(0))


def measure(lake: Lake, days: Iterable[date], now: datetime) -> pd.DataFrame:
    """One row of figures per event.dataset over the events of some days: the columns of EXPECTATIONS."""
    events = lake.read("events").where(F.col("date").isin(*days))
    event = F.col("event")
    somewhere = F.coalesce(F.col("host.name"), F.col("observer.name"), F.col("cloud.provider"))
    rows = events.groupBy(F.coalesce(event["dataset"], F.lit("none")).alias("dataset")).agg(
        F.count("*").alias("events"),
        _count(F.col("@timestamp").isNull()).alias("time_missing_in_event"),
        _count(event["original"].isNull()).alias("original_missing"),
        _count(event["id"].isNull()).alias("id_missing"),
        _count(~F.coalesce(event["kind"].isin(*KINDS), F.lit(False))).alias("kind_unknown"),
        _count(~event["outcome"].isin(*OUTCOMES)).alias("outcome_unknown"),
        _count(F.col("@timestamp") > F.lit(now + AHEAD)).alias("in_future"),
        F.avg((~F.array_contains(F.coalesce("tags", F.array().cast("array<string>")), "unparsed")).cast("double")).alias("recognised"),
        F.avg(somewhere.isNotNull().cast("double")).alias("host_share"))
    return pd.DataFrame([row.asDict() for row in rows.orderBy("dataset").collect()])


def check(lake: Lake, settings: Settings, days: Iterable[date], now: datetime | None = None) -> dict[str, Any]:
    """Run the suites of every source that has events on some days.

    Returns {"success", "failed": ["dataset: what is not so"], "suites": {dataset: {"success", "checks"}}, "docs": path or None}.
    """
    rows = measure(lake, days, now or datetime.now(UTC))
    docs = None if "://" in settings.lake else Path(settings.lake_url) / "_quality"
    failed: list[str] = []
    suites: dict[str, Any] = {}
    for dataset, ok, problems in _validate(rows, docs):
        suites[dataset] = {"success": ok, "checks": len(EXPECTATIONS)}
        failed += [f"{dataset}: {problem}" for problem in problems]
    return {"success": not failed, "failed": failed, "suites": suites, "docs": str(docs / "index.html") if docs and suites else None}


def _validate(rows: pd.DataFrame, docs: Path | None) -> Iterable[tuple[str, bool, list[str]]]:
    """(dataset, success, what failed) for every row of figures; writes Data Docs."""
    if rows.empty:
        return
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    with warnings.catch_warnings():  # its dependencies warn about each other
        warnings.simplefilter("ignore")
        gx: Any = import_module("great_expectations")  # half of its names are not exported for a type checker
        bars = import_module("great_expectations.data_context.types.base").ProgressBarsConfig
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = bars(globally=False)
        actions = []
        if docs:
            store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs)}
            context.add_data_docs_site("local", {"class_name": "SiteBuilder", "store_backend": store, "show_how_to_buttons": False,
                                                 "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"}})
            actions = [gx.checkpoint.UpdateDataDocsAction(name="docs", site_names=["local"])]
        source = context.data_sources.add_pandas("lake")
        for dataset in rows["dataset"]:
            batch = source.add_dataframe_asset(dataset).add_batch_definition_whole_dataframe("written days")
            suite = context.suites.add(gx.ExpectationSuite(name=dataset))
            for column, ((least, most), meaning) in EXPECTATIONS.items():
                suite.add_expectation(gx.expectations.ExpectColumnValuesToBeBetween(
                    column=column, min_value=least, max_value=most, meta={"notes": meaning}))
            definition = context.validation_definitions.add(gx.ValidationDefinition(name=dataset, data=batch, suite=suite))
            checkpoint = context.checkpoints.add(gx.Checkpoint(
                name=dataset, validation_definitions=[definition], actions=actions, result_format="BASIC"))
            result = checkpoint.run(batch_parameters={"dataframe": rows[rows["dataset"] == dataset]})
            (validation,) = result.run_results.values()
            problems = [_sentence(r) for r in validation.results if not r.success]
            yield dataset, bool(result.success), problems


def _sentence(result: Any) -> str:
    column = result.expectation_config.kwargs["column"]
    values = result.result.get("partial_unexpected_list") or ["?"]
    return f"{EXPECTATIONS[column][1]}: not so ({column} = {values[0]:.4g})" if values[0] != "?" else f"{EXPECTATIONS[column][1]}: not so"
