"""Chains of an escape to findings: what happened, step by step, in words.

A chain comes as a handful of rows (stages.Host.members), so this is plain Python.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import polars as pl

from ...alerts import SEVERITIES, Step
from ...text import one_line
from ..job import FINDINGS, MAX_EVENTS, instant, step, steps_json
from .builds import candidates, words
from .stages import STAGES

Row = Mapping[str, Any]
TELLING = ("host_effect", "fault", "touch", "precursor")  # stages, the most telling evidence first
FACT_SECONDS = 10  # records of one fact in several logs are written within seconds of one another
SECOND = 1_000_000


def findings(members: pl.DataFrame) -> pl.DataFrame:
    """Findings (columns of job.FINDINGS) of chains, each from its rows."""
    found = [_finding(part.to_dicts()) for part in members.partition_by("chain", maintain_order=True)]
    return pl.DataFrame(found, schema=dict(FINDINGS), orient="row")


def _finding(rows: Sequence[Row]) -> dict[str, Any]:
    told = list(_once(sorted(rows, key=lambda row: (row["happened"], STAGES.index(row["stage"]), row["event"]))))
    counts = {row["stage"]: row["count"] for row in rows}
    build = next((row["build"] for row in reversed(told) if row["build"]), None)
    by_stage = sorted(told, key=lambda row: TELLING.index(row["stage"]))
    return {
        "key": told[0]["host"], "first": told[0]["happened"], "last": max(row["until"] for row in rows),
        "severity": SEVERITIES[rows[0]["rank"]], "score": rows[0]["score"],
        "events": list(dict.fromkeys(row["event"] for row in by_stage))[:MAX_EVENTS], "count": rows[0]["whole"],
        "steps": steps_json(_step(row) for row in told), "detail": json.dumps(_detail(told, counts, build), ensure_ascii=False),
        "explanation": _explanation(told, counts, build)}


def _once(rows: Iterable[Row]) -> Iterator[Row]:
    """Records of one fact in several logs are one step; so is one event of several rules of a stage."""
    seen: dict[tuple[str, str], int] = {}
    for row in rows:
        names = [(row["stage"], name) for name in (row["event"], row["fact"]) if name]
        if all(row["happened"] - seen.get(name, -FACT_SECONDS * SECOND - 1) > FACT_SECONDS * SECOND for name in names):
            yield row
        seen |= dict.fromkeys(names, row["happened"])


def _detail(rows: Sequence[Row], counts: Mapping[str, int], build: str | None) -> dict[str, Any]:
    """Documented in escape_chain.py."""
    opened = _opened(rows)
    stages = list(opened)
    return {
        "stages": stages, "signals": {stage: counts[stage] for stage in stages}, "host": rows[0]["host"], "vms": _distinct(rows, "vm"),
        "users": _distinct((row for row in rows if row["stage"] == "touch"), "user"),
        "cve_candidates": list(candidates(build)) if build else [], "build": words(build) if build else None,
        "gap_minutes": [round((opened[later] - opened[earlier]) / (60 * SECOND), 1) for earlier, later in pairwise(stages)],
        "doubt": any(row["doubtful"] for row in rows if row["stage"] == "fault")}


def _opened(rows: Iterable[Row]) -> dict[str, int]:
    """When each stage was seen first, in order of time."""
    found: dict[str, int] = {}
    for row in rows:
        found.setdefault(row["stage"], row["happened"])
    return found


def _distinct(rows: Iterable[Row], name: str) -> list[str]:
    return list(dict.fromkeys(one_line(row[name], 100) for row in rows if row[name]))


def _step(row: Row) -> Step:
    touched = row["vm"] if row["role"] == "second_vm" else row["host"]
    source = {"precursor": row["vm"], "touch": row["guest"] or row["address"] or row["user"]}.get(row["stage"])
    return step(row["happened"], _what(row), row["stage"], event=row["event"], source=source, target=touched if source else None,
                host=row["origin"])


def _what(row: Row) -> str:
    """A step in words, such as `guest web01: denied hypercall (69)`."""
    act = row["rule"].split("_", 1)[-1].replace("_", " ")
    under = f" under {row['vm']}" if row["vm"] else ""
    elsewhere = f", still on {row['origin']}" if row["origin"] != row["host"] else ""
    who = {"precursor": f"guest {row['vm'] or '(unnamed)'}{elsewhere}", "fault": f"fault of the hypervisor{under}",
           "host_effect": "on the host", "touch": _toucher(row)}[row["stage"]]
    return one_line(f"{who}: {act}" + (f" ({row['detail']})" if row["detail"] else ""), 300)


def _toucher(row: Row) -> str:
    who = row["user"] or "somebody"
    origin = f", from {row['address']}" if row["address"] else ""
    if row["guest"]:
        origin += f", the address of guest {row['guest']}"
    return f"guest {row['vm'] or '(unnamed)'} touched by {who}{origin}" if row["role"] == "second_vm" else f"{who} at the host{origin}"


def _explanation(rows: Sequence[Row], counts: Mapping[str, int], build: str | None) -> str:
    """The story in order: the first step of each stage with the time that passed, and how many more there were."""
    sentences, before = [], 0
    for row in _first_of_stages(rows):
        rest = counts[row["stage"]] - 1
        more = f", and {rest} more such {'signal' if rest == 1 else 'signals'}" if rest else ""
        when = f"{instant(row['happened']):%Y-%m-%d %H:%M:%S} UTC, host {row['host']}" if not before else _gap(row["happened"] - before)
        doubt = " (which hardware, an update or maintenance may explain)" if row["stage"] == "fault" and row["doubtful"] else ""
        sentences.append(f"{when}: {_what(row)}{doubt}{more}")
        before = row["happened"]
    open_to = candidates(build) if build else ()
    if build and open_to:
        unless = " unless its distribution mended it" if build.startswith("qemu") else ""
        sentences.append(f"The host said that it runs {words(build)}, which is open to {', '.join(open_to)}{unless}")
    return ". ".join(sentences) + "."


def _first_of_stages(rows: Iterable[Row]) -> list[Row]:
    found: dict[str, Row] = {}
    for row in rows:
        found.setdefault(row["stage"], row)
    return list(found.values())


def _gap(span: int) -> str:
    """Microseconds in words: how much later."""
    seconds = round(span / SECOND)
    for unit, size in (("hour", 3600), ("minute", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}s later"
    return f"{seconds} seconds later" if seconds != 1 else "A second later"
