"""The alerts that a scenario is expected to raise, as one line each: what a person would write down of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from pipeline.alerts import Alert
from pipeline.analytics.telling import alerts_of
from pipeline.judge import hits_of, judge
from pipeline.kernel.engine import Engine
from pipeline.raising import from_findings, from_hits
from pipeline.sigma.catalogue import load_catalogue
from pipeline.sigma.load import Rule

from . import memory
from .generate import JOBS

ROOT = Path(__file__).resolve().parents[2] / "sample_logs"
CONTEXT = ROOT / "_context"


def scenarios() -> list[str]:
    """Names of the folders of sample_logs/ that hold logs."""
    return sorted(path.name for path in ROOT.iterdir() if path.is_dir() and path != CONTEXT)


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
    """The alerts of rules and correlations in a folder through the kernel alone."""
    catalogue = load_catalogue()
    rows, frames, newest = hits(folder, catalogue.rules)
    behind = _by_event(rows)
    found = judge(pl.concat(frames, how="diagonal_relaxed"), catalogue.correlations, newest) if frames else pl.DataFrame()
    return [*from_hits(rows, catalogue.alerting), *from_findings(found.to_dicts(), catalogue.alerting_correlations, behind)]


@cache
def of_jobs() -> dict[str, list[Alert]]:
    """The alerts of the jobs in sample_logs/, which they see as one site: by the scenario whose logs an alert rests on."""
    reader = memory.Reader.of(JOBS)
    reads = {rule for job in reader.jobs for rule in job.reads}
    rows, _, newest = hits(ROOT, (rule for rule in reader.catalogue.rules if rule.id in reads))
    found, behind = memory.read(logs(ROOT), CONTEXT, reader), _by_event(rows)
    alerts: dict[str, list[Alert]] = defaultdict(list)
    for each in found.jobs:
        said = memory.judged(found.signals[each.job.type], each, newest)
        for alert in alerts_of(each.rule, said.to_dicts(), behind):
            own = [line.file for line in alert.evidence if line.file and line.time and line.time >= alert.first]
            alerts[Path(own[0]).relative_to(ROOT).parts[0]].append(alert)
    return alerts


def alerts(scenario: str) -> list[Alert]:
    """All alerts of a scenario."""
    return [*without_spark(ROOT / scenario), *of_jobs().get(scenario, [])]


def hits(folder: Path, rules: Iterable[Rule]) -> tuple[list[dict[str, Any]], list[pl.DataFrame], int]:
    """The hits of rules in a folder, as flat rows and as frames for the correlations, and the time of the newest event (microseconds)."""
    engine = Engine()
    detector = engine.detector(rules)
    found: list[dict[str, Any]] = []
    frames: list[pl.DataFrame] = []
    newest = 0
    for path in logs(folder):
        for batch in engine.process_file(str(path)):
            newest = max(newest, *batch.events.get_column("@timestamp").dt.epoch("us").to_list(), 0)
            matched = detector.detect(batch.events)
            frames.append(hits_of(batch.events, matched))
            rows = batch.events[matched.get_column("event_index")].to_dicts()
            for rule, row in zip(matched.get_column("rule_id"), rows, strict=True):
                found.append({k: v for k, v in row.items() if v is not None} | {"rule_id": rule, "event_id": row["event.id"]})
    return found, frames, newest


def logs(folder: Path) -> list[Path]:
    """The logs below a folder."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.endswith((".expected.json", ".tsv"))
                  and CONTEXT not in path.parents)


def expected(scenario: str) -> list[dict[str, Any]]:
    """What stands beside the scenario."""
    return list(orjson.loads((ROOT / scenario / "alerts.expected.json").read_bytes()))


def _by_event(rows: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    behind: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        behind.setdefault(row["event_id"], []).append(row)
    return behind


if __name__ == "__main__":
    for scenario in scenarios():
        text = orjson.dumps(summary(alerts(scenario)), option=orjson.OPT_INDENT_2)
        (ROOT / scenario / "alerts.expected.json").write_bytes(text + b"\n")
