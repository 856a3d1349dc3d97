"""The alerts that a scenario is expected to raise, as one line each: what a person would write down of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from pipeline.alerts import Alert
from pipeline.judge import hits_of, judge
from pipeline.kernel.engine import Engine
from pipeline.raising import from_findings, from_hits
from pipeline.sigma.catalogue import load_catalogue
from pipeline.sigma.load import Rule

ROOT = Path(__file__).resolve().parents[2] / "sample_logs"


def summary(alerts: Iterable[Alert]) -> list[dict[str, Any]]:
    """Rule, severity, machines, people and number of events of each alert, in order of time."""
    ordered = sorted(alerts, key=lambda a: (a.timestamp, a.rule.name, a.id))
    return [
        {
            "rule": a.rule.name,
            "severity": a.severity,
            "first": a.first.isoformat(),
            "host": list(a.entities.host),
            "user": list(a.entities.user),
            "vm": list(a.entities.vm),
            "events": a.count,
        }
        for a in ordered
    ]


def without_spark(folder: Path) -> list[Alert]:
    """The alerts of a folder through the kernel alone, correlations included."""
    catalogue = load_catalogue()
    rows, frames, newest = hits(folder, catalogue.rules)
    behind: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        behind.setdefault(row["event_id"], []).append(row)
    found = judge(pl.concat(frames, how="diagonal_relaxed"), catalogue.correlations, newest) if frames else pl.DataFrame()
    return [*from_hits(rows, catalogue.alerting), *from_findings(found.to_dicts(), catalogue.alerting_correlations, behind)]


def hits(folder: Path, rules: Iterable[Rule]) -> tuple[list[dict[str, Any]], list[pl.DataFrame], int]:
    """The hits of rules in a folder, as flat rows and as frames for the correlations, and the time of the newest event (microseconds)."""
    engine = Engine()
    detector = engine.detector(rules)
    found: list[dict[str, Any]] = []
    frames: list[pl.DataFrame] = []
    newest = 0
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.endswith((".expected.json", ".tsv"))):
        for batch in engine.process_file(str(path)):
            newest = max(newest, *batch.events.get_column("@timestamp").dt.epoch("us").to_list(), 0)
            matched = detector.detect(batch.events)
            frames.append(hits_of(batch.events, matched))
            rows = batch.events[matched.get_column("event_index")].to_dicts()
            for rule, row in zip(matched.get_column("rule_id"), rows, strict=True):
                found.append({k: v for k, v in row.items() if v is not None} | {"rule_id": rule, "event_id": row["event.id"]})
    return found, frames, newest


def expected(scenario: str) -> list[dict[str, Any]]:
    """What stands beside the scenario."""
    return list(orjson.loads((ROOT / scenario / "alerts.expected.json").read_bytes()))


if __name__ == "__main__":
    for scenario in sorted(p for p in ROOT.iterdir() if p.is_dir()):
        text = orjson.dumps(summary(without_spark(scenario)), option=orjson.OPT_INDENT_2)
        (scenario / "alerts.expected.json").write_bytes(text + b"\n")
