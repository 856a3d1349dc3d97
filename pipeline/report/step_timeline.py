"""Draws the steps of an alert on a true axis of time: a lane for each stage, in the order in which they were first seen.

The axis is linear, but for silences that would leave the rest no room: those are cut out, marked with two strokes, and their length is
written there. Above each lane stands the first thing that happened in it; marks that would lie on one another are one mark with their
number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from ..alerts import Alert, Step
from .drawing import Sheet, clock, fit, measure, other_day, span, wrap

EDGE = 12.0
LINE = 17.0
TRACK = 30.0
MARK = 9.0
CUT = 84.0  # room for a silence that is cut out, with its length
MOST_CUTS = 4
LINEAR = 100.0  # pixels that cuts leave to time at least
LONGER = 8.0  # a silence so many times longer than the next shorter one would leave that no room
SMALL = 12.0


@dataclass(frozen=True)
class Axis:
    """Times (seconds after the first) to places; `cuts`: the silences cut out, as (start, end) in seconds."""

    cuts: tuple[tuple[float, float], ...]
    whole: float
    left: float
    right: float

    def place(self, second: float) -> float:
        room = self.right - self.left - CUT * len(self.cuts)
        silent = sum(end - start for start, end in self.cuts)
        passed = [(start, end) for start, end in self.cuts if second >= end]
        linear = second - sum(end - start for start, end in passed)
        drawn = self.whole - silent
        return self.left + CUT * len(passed) + (room * linear / drawn if drawn > 0 else room / 2)


def axis(seconds: Sequence[float], left: float, right: float) -> Axis:
    """The axis for some moments (sorted, from 0 on).

    Silences are cut out from the longest down to where the next is shorter by the largest factor, if that is LONGER or more: so there is
    always one left by which the rest is drawn to scale.
    """
    gaps = sorted(((later - earlier, earlier, later) for earlier, later in pairwise(seconds) if later > earlier), reverse=True)
    most = min(MOST_CUTS, int((right - left - LINEAR) / CUT), len(gaps) - 1)
    jumps = [gaps[number][0] / gaps[number + 1][0] for number in range(most)]
    count = jumps.index(max(jumps)) + 1 if jumps and max(jumps) >= LONGER else 0
    return Axis(tuple(sorted((earlier, later) for _, earlier, later in gaps[:count])), seconds[-1], left, right)


@dataclass(frozen=True)
class Mark:
    """One step or several that lie on one another; `first` is the number of the earliest, from 1."""

    x: float
    first: int
    steps: tuple[Step, ...]


def marks(steps: Sequence[tuple[int, Step, float]]) -> Iterator[Mark]:
    """Marks of a lane, from (number, step, place) in order of time."""
    held: list[tuple[int, Step, float]] = []
    for each in steps:
        if held and each[2] - held[0][2] > 2 * MARK + 2:
            yield _mark(held)
            held = []
        held.append(each)
    if held:
        yield _mark(held)


def _mark(held: Sequence[tuple[int, Step, float]]) -> Mark:
    return Mark(held[0][2], held[0][0], tuple(step for _, step, _ in held))


def draw(alert: Alert, width: float) -> tuple[Sheet, float, str]:
    """The sheet, its height, and the timeline in words."""
    sheet = Sheet(width)
    steps = sorted(alert.steps, key=lambda step: step.time)
    start = steps[0].time
    seconds = [(step.time - start).total_seconds() for step in steps]
    scale = axis(seconds, EDGE + MARK, width - EDGE - MARK)
    y = _caption(sheet, alert, steps, width)
    lanes: dict[str, list[tuple[int, Step, float]]] = {}
    for number, (step, second) in enumerate(zip(steps, seconds, strict=True), 1):
        lanes.setdefault(step.stage, []).append((number, step, scale.place(second)))
    dated = other_day(start, steps[-1].time)
    for place, (stage, members) in enumerate(lanes.items()):
        y = _lane(sheet, stage, members, y, place, dated)
    _cut_lines(sheet, scale, y)
    y = _axis(sheet, scale, steps, seconds, y, width)
    return sheet, y, _words(steps)


def _caption(sheet: Sheet, alert: Alert, steps: Sequence[Step], width: float) -> float:
    """Where it happened: hosts and VMs."""
    hosts = list(dict.fromkeys(step.host for step in steps if step.host)) or list(alert.entities.host)
    parts = [("Host", hosts), ("VM", list(alert.entities.vm))]
    y = 0.0
    for name, values in parts:
        if values:
            plural = "s" if len(values) > 1 else ""
            y += LINE
            sheet.text(EDGE, y, fit(f"{name}{plural} {', '.join(values)}", width - 2 * EDGE, kind="name"), "name")
    return y + 10


def _lane(sheet: Sheet, stage: str, members: Sequence[tuple[int, Step, float]], y: float, place: int, dated: bool) -> float:
    width = sheet.width
    room = width - 2 * EDGE
    first = members[0][1]
    times = f" ({len(members)} steps)" if len(members) > 1 else ""
    sheet.text(EDGE, y + 14, fit(f"{stage.replace('_', ' ').capitalize()}{times}", room, kind="stage"), f"stage s{place % 6}")
    y += 14
    for line in wrap(f"{clock(first.time, dated)}  {first.what}", room, 2):
        y += LINE
        sheet.text(EDGE, y, line)
    middle = y + 8 + TRACK / 2
    sheet.add('<path class="track" d="M{} {}H{}"/>', EDGE, middle, width - EDGE)
    for mark in marks(members):
        told = "\n".join(f"{clock(step.time)} {step.what}" for step in mark.steps[:10])
        sheet.add('<g class="mark s{}"><circle cx="{}" cy="{}" r="{}"/><title>{}</title></g>', place % 6, mark.x, middle, MARK, told)
        count = len(mark.steps)
        sheet.text(mark.x, middle + 4, f"{count}×" if count > 1 else str(mark.first), "number", 10.0, "middle")
    return middle + TRACK / 2 + 4


def _cut_lines(sheet: Sheet, scale: Axis, bottom: float) -> None:
    """Two strokes on the axis for each silence that is cut out."""
    for start, _ in scale.cuts:
        x = scale.place(start) + CUT / 2
        sheet.add('<path class="cut" d="M{} {}l-7 12M{} {}l-7 12"/>', x + 1, bottom - 1, x + 8, bottom - 1)


def _axis(sheet: Sheet, scale: Axis, steps: Sequence[Step], seconds: Sequence[float], y: float, width: float) -> float:
    """The line with the moments, the gaps between them, and the time of its ends."""
    sheet.add('<path class="axis" d="M{} {}H{}"/>', EDGE, y + 5, width - EDGE)
    for second in dict.fromkeys(seconds):
        sheet.add('<path class="moment" d="M{} {}v8"/>', scale.place(second), y + 1)
    for earlier, later in pairwise(dict.fromkeys(seconds)):
        left, right = scale.place(earlier), scale.place(later)
        words = span(later - earlier)
        if measure(words, SMALL) + 2 <= right - left:
            sheet.text((left + right) / 2, y + 25, words, "gap", SMALL, "middle")
    ends = [clock(steps[0].time, date=True) + " UTC", clock(steps[-1].time, date=other_day(steps[0].time, steps[-1].time))]
    fits = sum(measure(text, SMALL) for text in ends) + 12 <= width - 2 * EDGE
    sheet.text(EDGE, y + 44, ends[0], "said", SMALL)
    if seconds[-1] > 0:
        sheet.text(width - EDGE, y + (44 if fits else 61), ends[1], "said", SMALL, "end")
    total = f"{span(seconds[-1])} in all" + (", axis cut at the strokes" if scale.cuts else "")
    below = y + (61 if fits else 78)
    sheet.text(EDGE, below, fit(total, width - 2 * EDGE, SMALL), "said", SMALL)
    return below + 8


def _words(steps: Sequence[Step]) -> str:
    before: datetime | None = None
    told = []
    for step in steps:
        gap = f", {span((step.time - before).total_seconds())} later" if before else ""
        told.append(f"{clock(step.time, before is None)}{gap}, {step.stage.replace('_', ' ')}: {step.what}")
        before = step.time
    return ". ".join(told) + "."
