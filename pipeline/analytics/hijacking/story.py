"""What a hyperjacking alert tells: scored evidence of one host to findings with steps, detail and words.

`detail` has `classes` (points per class when the score was highest), `score`, `signals` (signal -> points of its latest evidence),
`set_diff` (`rogue`, `unmanaged`, `ghost`, `hidden`: VMs), `unlogged` (VMs that came or went without an event) and `duplicates` (VMs and
hosts that claim one identity). Lists hold at most 20 names.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import polars as pl

from ..job import FINDINGS, MAX_EVENTS, instant, step, steps_json
from .evidence import CLASSES, INVENTORY, SEVERITIES

c = pl.col
MOST_STEPS = 40
MOST_NAMES = 20
SET_DIFF = ("rogue", "unmanaged", "ghost", "hidden")
WORDS = {
    "inventory_rogue": "runs and is registered nowhere", "inventory_unmanaged": "registered on the host, unknown to the manager",
    "inventory_ghost": "on the wire, but nothing of it runs", "inventory_hidden": "on in the manager, but not running",
    "inventory_appeared": "came without any event that says so", "inventory_vanished": "went without any event that says so",
    "inventory_duplicate_vm": "runs on two hosts under one uuid", "inventory_duplicate_host": "two hosts have one hardware uuid"}


def findings(rows: pl.DataFrame) -> pl.DataFrame:
    """Findings (columns of job.FINDINGS), one per episode of evidence.episodes."""
    whole = rows.group_by("episode", maintain_order=True).agg(
        c("key").first(), c("time").min().alias("first"), c("time").max().alias("last"), c("level").max(), c("count").sum(),
        pl.struct("score", *CLASSES).sort_by("score").last().alias("peak"))
    told = rows.filter(_telling()).partition_by("episode", as_dict=True, maintain_order=True)
    found = [_finding(each, told[each["episode"],].to_dicts()) for each in whole.to_dicts()]
    return pl.DataFrame(found, schema=FINDINGS)


def _telling() -> pl.Expr:
    """At most MOST_STEPS rows of an episode: the first and last of each signal, then the earliest."""
    place, back = pl.int_range(pl.len()).over("episode", "signal"), pl.int_range(pl.len(), 0, -1).over("episode", "signal")
    rank = pl.when(place == 0).then(0).when(back == 1).then(1).otherwise(2)
    return (rank * 1_000_000_000 + pl.int_range(pl.len())).rank("ordinal").over("episode") <= MOST_STEPS


def _finding(whole: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    host = whole["key"].removeprefix("host:")
    peak = whole["peak"]
    points = {role: round(peak[role], 1) for role in CLASSES if peak[role] > 0}
    telling = sorted(rows, key=lambda row: (-row["weight"], row["time"]))
    events = list(dict.fromkeys(event for row in telling for event in row["events"]))
    score = round(peak["score"], 1)
    return {
        "key": host, "first": whole["first"], "last": whole["last"], "severity": SEVERITIES[whole["level"]], "score": score,
        "events": events[:MAX_EVENTS], "count": whole["count"], "explanation": _words(host, score, points, rows),
        "detail": json.dumps(_detail(score, points, rows), ensure_ascii=False),
        "steps": steps_json(step(row["time"], _what(row), row["role"], event=next(iter(row["events"]), None),
                                 source=next(iter(row["users"] or row["others"]), None), target=next(iter(row["vms"]), None), host=host)
                            for row in rows)}


def _detail(score: float, points: dict[str, float], rows: list[dict[str, Any]]) -> dict[str, Any]:
    def machines(*kinds: str) -> list[str]:
        wanted = {INVENTORY + kind for kind in kinds}
        return list(dict.fromkeys(vm for row in rows if wanted & set(row["rules"]) for vm in row["vms"]))[:MOST_NAMES]

    others = [name for row in rows if row["signal"] == "inventory_duplicate_host" for name in row["others"]]
    return {"classes": points, "score": score, "signals": {row["signal"]: row["weight"] for row in rows},
            "set_diff": {kind: machines(kind) for kind in SET_DIFF}, "unlogged": machines("appeared", "vanished"),
            "duplicates": [*machines("duplicate_vm"), *dict.fromkeys(others)][:MOST_NAMES]}


def _words(host: str, score: float, points: dict[str, float], rows: list[dict[str, Any]]) -> str:
    kinds = ", ".join(f"{role} {round(value)}" for role, value in points.items())
    first: dict[str, dict[str, Any]] = {}
    for row in rows:
        first.setdefault(_what(row), row)
    told = list(first.items())
    story = [f"{instant(told[0][1]['time']):%Y-%m-%d %H:%M} UTC {told[0][0]}"]
    story += [f"{_span(after[1]['time'] - before[1]['time'])} {after[0]}" for before, after in pairwise(told)]
    still = f"; last seen {instant(rows[-1]['time']):%Y-%m-%d %H:%M} UTC" if len(told) < len(rows) else ""
    return f"Evidence that {host} is not under your control, {round(score)} points ({kinds}): {'; '.join(story)}{still}."


def _what(row: dict[str, Any]) -> str:
    """What one piece of evidence says, such as `boot script changed by root`."""
    rule = row["rule"]
    if rule in WORDS:
        names = row["vms"][:3] if rule != "inventory_duplicate_host" else []
        more = f" and {len(row['vms']) - 3} more" if len(names) < len(row["vms"]) and names else ""
        with_others = f" (with {', '.join(row['others'])})" if row["others"] else ""
        return f"{' and '.join(names)}{more} {WORDS[rule]}{with_others}".strip()
    times = f" ({row['count']} times)" if row["count"] > 1 else ""
    said = rule.partition("_")[2] or rule  # without the name of the product
    return f"{said.replace('_', ' ')}{_by(row)}{times}"


def _by(row: dict[str, Any]) -> str:
    vm = f" of {row['vms'][0]}" if row["vms"] else ""
    return f"{vm} by {' and '.join(row['users'])}" if row["users"] else vm


def _span(micros: int) -> str:
    """A gap in words: `at once`, `12 minutes later`, `3 hours later`."""
    seconds = micros // 1_000_000
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            number = seconds // size
            return f"{number} {unit}{'s' if number > 1 else ''} later"
    return "at once"
