"""A job that is small and has everything: two passes, both kinds of lookups, numbers and text, alerts that grow.

On one host (as of the time), `least` or more stops of machines, none later than `within` after the one before.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import polars as pl

from pipeline.analytics.job import FINDINGS, Job, Located, Parameters, Pass, instant, micros, step, steps_json

c = pl.col


class TinyParameters(Parameters):
    within: timedelta = timedelta(minutes=10)
    least: int = 3


STOPS: dict[str, Any] = {"time": pl.Int64, "event": pl.String, "vm": pl.String, "host": pl.String, "place": pl.String, "tenant": pl.String,
                         "sender": pl.String, "port": pl.Int64, "again": pl.Boolean}


def by_vm(rows: pl.DataFrame, parameters: TinyParameters) -> pl.DataFrame:
    return rows.filter(c("role") == "stop").with_columns(c("vm").alias("key"))


def stops(rows: pl.DataFrame, parameters: TinyParameters, horizon: int) -> pl.DataFrame:
    again = (c("time") - c("time").shift().over("key") <= micros(parameters.within)).fill_null(False)
    return rows.select("time", "event", "vm", "host", c("at.host").alias("place"), c("at.tenant").alias("tenant"),
                       c("source.vm").alias("sender"), c("source.port").alias("port"), again.alias("again"))


def by_place(rows: pl.DataFrame, parameters: TinyParameters) -> pl.DataFrame:
    return rows.with_columns(pl.coalesce("place", "host").alias("key"))


def bursts(rows: pl.DataFrame, parameters: TinyParameters, horizon: int) -> pl.DataFrame:
    new = (c("time") - c("time").shift().over("key") > micros(parameters.within)).fill_null(True)
    groups = rows.with_columns(new.cum_sum().over("key").alias("burst")).group_by("key", "burst", maintain_order=True)
    found = [_finding(group, str(key)) for (key, _), group in groups if group.height >= parameters.least]
    return pl.DataFrame(found, schema=dict(FINDINGS))


def _finding(rows: pl.DataFrame, key: str) -> dict[str, Any]:
    told = [step(row["time"], f"{row['vm']} stopped", "stop", event=row["event"], target=row["vm"], host=key) for row in rows.to_dicts()]
    tenants = rows.get_column("tenant").drop_nulls().unique().sort().to_list()
    senders = rows.get_column("sender").drop_nulls().unique().sort().to_list()
    again = rows.get_column("again").sum()
    return {"key": key, "first": rows.item(0, "time"), "last": rows.item(-1, "time"), "severity": "critical" if again else "high",
            "score": min(100.0, 10.0 * rows.height), "events": rows.get_column("event").head(20).to_list(), "count": rows.height,
            "steps": steps_json(told), "explanation": f"{rows.height} stops on {key} from {instant(rows.item(0, 'time')):%H:%M}",
            "detail": json.dumps({"tenants": tenants, "senders": senders, "ports": rows.get_column("port").sum()}, separators=(",", ":"))}


JOB = Job(type="tiny", title="Machines stopped one after another", roles=("stop", "start"), parameters=TinyParameters,
          fields=("source.ip", "source.port"), located=(Located(into="at", vm="vm"), Located(into="source", address="source.ip")),
          look_back=lambda parameters: parameters.least * parameters.within,
          passes=(Pass(by_vm, stops, STOPS), Pass(by_place, bursts, FINDINGS)))
