"""Geometry of the timeline: one lane per severity, alerts of about the same time in one dot."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ..alerts import SEVERITIES, Alert, Severity

BINS = 96
LANE = 34
LEFT, RIGHT = 2.0, 98.0  # percent of the width that times are drawn in; the rest keeps dots at the ends whole
DAY = timedelta(days=1)
STEPS = [*(timedelta(seconds=n) for n in (1, 5, 15, 30, 60, 300, 900, 1800)), *(timedelta(hours=n) for n in (1, 3, 6, 12)),
         *(timedelta(days=n) for n in (1, 2, 7, 30, 90, 365))]


@dataclass(frozen=True)
class Dot:
    """Alerts of one severity in one slice of time; `first` is the id of the earliest."""

    x: float
    y: int
    r: float
    alerts: int
    severity: Severity
    when: datetime
    first: str
    title: str


@dataclass(frozen=True)
class Tick:
    """A time on the axis."""

    x: float
    label: str


@dataclass(frozen=True)
class Timeline:
    """What the template draws; x in percent, y and r in pixels."""

    lanes: tuple[tuple[int, Severity], ...]
    dots: tuple[Dot, ...]
    ticks: tuple[Tick, ...]
    height: int
    start: datetime
    end: datetime


def timeline(alerts: Sequence[Alert]) -> Timeline | None:
    """The timeline of some alerts by their first event; none without alerts."""
    if not alerts:
        return None
    start, end = min(a.first for a in alerts), max(a.last for a in alerts)
    span = (end - start) or timedelta(minutes=1)
    used = [s for s in reversed(SEVERITIES) if any(a.severity == s for a in alerts)]
    lanes = {severity: number * LANE + LANE // 2 for number, severity in enumerate(used)}

    def place(when: datetime) -> float:
        return LEFT + (RIGHT - LEFT) * ((when - start) / span)

    bins: dict[tuple[Severity, int], list[Alert]] = {}
    for alert in sorted(alerts, key=lambda a: (a.first, a.id)):
        bins.setdefault((alert.severity, int((alert.first - start) / span * BINS)), []).append(alert)
    dots = tuple(
        Dot(round(place(found[0].first), 2), lanes[severity], round(min(4.5 + 1.5 * math.sqrt(len(found)), 15), 1), len(found), severity,
            found[0].first, found[0].id, found[0].rule.name) for (severity, _), found in bins.items())
    return Timeline(tuple((y, s) for s, y in lanes.items()), dots, tuple(_ticks(start, end, span, place)), LANE * len(lanes), start, end)


def _ticks(start: datetime, end: datetime, span: timedelta, place: Callable[[datetime], float]) -> list[Tick]:
    """At most six round times."""
    step = next((s for s in STEPS if span / s <= 6), span)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    when = epoch + -((epoch - start) // step) * step
    form = "%H:%M:%S" if step < timedelta(minutes=1) else "%H:%M" if span < DAY else "%d %b %H:%M" if step < DAY else "%d %b"
    found: list[Tick] = []
    while when <= end:
        found.append(Tick(round(place(when), 2), when.strftime(form)))
        when += step
    return found
