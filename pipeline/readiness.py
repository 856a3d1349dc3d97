"""`hypervigil readiness`: whether what each rule needs arrives in the lake, and what to switch on at the vendor's side if it does not."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from . import session
from .config import Settings
from .correlate import instant, leaf
from .errors import LakeError
from .families import load_families
from .kernel.spec import load_parsers
from .lake import Lake
from .needs import ID_FIELDS, SEEN, Survey, judge
from .progress import Progress
from .rulebook import places
from .sigma.catalogue import load_catalogue
from .sigma.compile import usable


def readiness(settings: Settings, days: int = 30, quiet: bool = False, spark: SparkSession | None = None) -> Survey:
    """Look at the last days of a lake, counted back from its newest event. Raises ContentError, LakeError. A session given is left open."""
    catalogue = load_catalogue(places(settings))
    rules, _ = usable(catalogue.rules)
    families = [load_families(spec) for spec in load_parsers().values()]
    progress = Progress(quiet, settings.progress)
    with progress.stage("starting Spark"):
        own = spark or session.session(settings)
    try:
        with session.clear_errors(settings.lake_url), progress.query("looking at the stored events", own):
            seen = survey(Lake(own, settings.lake_url).read("events"))
    finally:
        if spark is None:
            session.stop(own)
    if seen.is_empty():
        raise LakeError("the lake holds no events", settings.lake_url, hint="`hypervigil run` reads logs into it")
    newest = seen.get_column("last").max()
    assert isinstance(newest, datetime)
    return judge(seen, newest - timedelta(days=days), (*rules, *catalogue.correlations), families)


def survey(events: DataFrame) -> pl.DataFrame:
    """Which ids each source wrote, how often and when last (columns of SEEN): one aggregation over three short columns."""
    keys = [leaf(name).alias(name.replace(".", "_")) for name in ("event.dataset", *ID_FIELDS)]
    rows = events.select(*keys, "@timestamp").groupBy("event_dataset", "event_action", "event_code").agg(
        F.unix_micros(F.max("@timestamp")).alias("last"), F.count(F.lit(1)).alias("events")).collect()
    return pl.DataFrame([(*row[:3], instant(row.last), row.events) for row in rows], orient="row", schema=SEEN)
