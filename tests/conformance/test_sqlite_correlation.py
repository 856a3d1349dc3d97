"""The second opinion on correlations: every case through pySigma's sqlite backend, with windows of its own in SQL."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from typing import Any

from sigma.backends.sqlite.runtime import execute_plan
from sigma.backends.sqlite.sqlite import sqliteBackend
from sigma.collection import SigmaCollection
from sigma.exceptions import SigmaError

from pipeline.conformance_correlations import EPOCH, MICROSECOND, Alert, CorrelationCase, Ready, read_case, read_correlation_topics
from pipeline.sigma.correlations import silenced
from tests.conformance.test_sqlite import differences

Told = tuple[str, tuple[str, ...], frozenset[str]]  # an alert: correlation, values of the group, ids of the events


def opinion(case: CorrelationCase, fields: dict[str, str]) -> set[Told] | str:
    """The alerts that sqlite tells of, or why there is none to ask."""
    ready = read_case(case)
    try:
        backend = sqliteBackend(  # type: ignore[no-untyped-call]
            timestamp_format="unix_us", timestamp_field="@timestamp", event_id_field="id",
            observation_end=(ready.until - EPOCH) / MICROSECOND / 1e6)
        rules = SigmaCollection.from_dicts([*case.rules, *case.correlations])
        backend.convert(rules)
        plans = {str(rule.id): backend._correlation_plans[id(rule)] for rule in rules.rules if id(rule) in backend._correlation_plans}
        with closing(sqlite3.connect(":memory:")) as table:
            _fill(table, ready, fields)
            return {(each.name, *told) for each in ready.correlations if each.id not in silenced(ready.correlations)
                    for told in _together(execute_plan(table, plans[each.id])[0])}  # type: ignore[no-untyped-call]
    except (SigmaError, TypeError) as error:
        return f"{type(error).__name__}: {error}"


def _fill(table: sqlite3.Connection, ready: Ready, fields: dict[str, str]) -> None:
    columns = (f"`{name}` {'integer' if kind in ('long', 'date') else 'text collate nocase'}" for name, kind in fields.items())
    table.execute(f"create table logs (id text, {', '.join(columns)})")
    for number, event in enumerate(ready.case.events):
        row = {name: json.dumps(value) if isinstance(value, list) else value for name, value in event.items()}
        row["@timestamp"] = (ready.times[number] - EPOCH) // MICROSECOND
        table.execute(f"insert into logs values (?{', ?' * len(fields)})", [row["id"], *(row.get(name) for name in fields)])


def _together(windows: Iterable[dict[str, Any]]) -> list[tuple[tuple[str, ...], frozenset[str]]]:
    """It tells of every window; windows of one group that share an event are one alert."""
    alerts: list[tuple[tuple[str, ...], frozenset[str]]] = []
    for window in windows:
        group = tuple(str(value).lower() for value in window["group_keys"].values())
        events = frozenset(event.partition(":")[2] for event in window["event_ids"])
        same = [alert for alert in alerts if alert[0] == group and alert[1] & events]
        alerts = [alert for alert in alerts if alert not in same] + [(group, events.union(*(alert[1] for alert in same)))]
    return alerts


def expected(case: CorrelationCase) -> set[Told]:
    return {(alert.correlation, tuple(str(value).lower() for value in alert.group.values()), frozenset(alert.events))
            for alert in case.alerts if isinstance(alert, Alert)}


def test_every_difference_is_listed() -> None:
    listed = {case for entry in differences("correlation") for case in entry["cases"]}
    found = {f"{path.stem}: {case.name}" for path, topic in read_correlation_topics().items() for case in topic.cases
             if opinion(case, topic.fields) != expected(case)}
    assert found - listed == set(), "list them in sqlite_differences.yml: who is right, and why"
    assert listed - found == set(), "these differ no longer"
