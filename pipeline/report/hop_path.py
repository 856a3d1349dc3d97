"""Draws the path of an intruder: machines from top to bottom, each hop a numbered arrow with time, user and kind beside it.

From top to bottom because that reads alike on a screen, a phone and paper, and has room beside each arrow for words. A box stands round
neighbours on one host; a machine that is met again is drawn again, so that no two arrows cross.

Steps give source, target, kind and the target's host. What they lack comes from `detail`, where there: `path.places` (machine -> {host,
tenant}) and `path.hop_users` (one per step). Without them the tenant is not named, and the user if the path has but one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from markupsafe import Markup

from ..alerts import Alert, Step
from ..text import one_line
from .drawing import LONGEST, Sheet, clock, fit, measure, other_day, span, wrap

EDGE = 1.0
INSET = 14.0  # from the box of a host to its machines
NODE = 34.0  # height of a machine
LINE = 17.0
HEAD = 22.0  # above the machines of a host, for its name
BADGE = 11.0
TENANTS = 6  # colours; more tenants than that share them


@dataclass(frozen=True)
class Node:
    """A machine on the path; `hop` is the step that led there, none at the start of a piece."""

    name: str
    host: str | None
    tenant: str | None
    hop: int | None


def drawable(steps: Sequence[Step]) -> bool:
    """Whether the steps make a path: each goes from a machine that is already in it to another."""
    met = {steps[0].source} if steps else set()
    for step in steps:
        if not step.source or not step.target or step.source == step.target or step.source not in met:
            return False
        met.add(step.target)
    return bool(steps)


def nodes(alert: Alert) -> list[Node]:
    """The machines in the order of the path; where a hop does not start at the machine before it, its source is named again."""
    places = _places(alert.detail)
    reached = {step.target: step.host for step in alert.steps}
    found: list[Node] = []

    def node(name: str, host: str | None, hop: int | None) -> Node:
        place = places.get(name, {})
        return Node(name, place.get("host") or host, place.get("tenant"), hop)

    for number, step in enumerate(alert.steps):
        source, target = step.source or "", step.target or ""
        if not found or found[-1].name != source:
            found.append(node(source, reached.get(source), None))
        found.append(node(target, step.host, number))
    return found


def draw(alert: Alert, width: float) -> tuple[Sheet, float, str]:
    """The sheet, its height, and the path in words."""
    sheet, path = Sheet(width), nodes(alert)
    tenants = {name: number for number, name in enumerate(dict.fromkeys(node.tenant for node in path if node.tenant))}
    wide = min(width - 2 * EDGE, max(300.0, width * 0.46))
    y = EDGE
    before: Node | None = None
    for host, group in groupby(path, key=lambda node: node.host):
        members = list(group)
        if before is not None:
            y = _hop(sheet, alert, before, members[0], y)
        top = y
        y += HEAD + 4 if host else 0.0
        for place, node in enumerate(members):
            if place:
                y = _hop(sheet, alert, members[place - 1], node, y)
            y = _machine(sheet, node, y, wide, tenants)
        if host:
            y += INSET - 4
            _box(sheet, host, top, y)
        before = members[-1]
    return sheet, y + EDGE, _words(alert)


def _box(sheet: Sheet, host: str, top: float, bottom: float) -> None:
    """The box of a host, beneath all that is drawn already: the arrow into it too."""
    box = Markup('<rect class="host" x="{}" y="{}" width="{}" height="{}" rx="6"/>').format(
        EDGE, round(top, 1), round(sheet.width - 2 * EDGE, 1), round(bottom - top, 1))
    sheet.elements.insert(0, box)
    left = EDGE + INSET + 40  # beside the arrow into the box
    sheet.text(left, top + 17, fit(f"Host {host}", sheet.width - left - INSET, 12.0), "said", 12.0)


def _machine(sheet: Sheet, node: Node, y: float, wide: float, tenants: dict[str, int]) -> float:
    x, width = EDGE + INSET, wide - 2 * INSET
    shade = f"t{tenants[node.tenant] % TENANTS}" if node.tenant else "t"
    sheet.add('<rect class="machine {}" x="{}" y="{}" width="{}" height="{}" rx="4"><title>{}</title></rect>',
              shade, x, y, width, NODE, f"{node.name}{', tenant ' + node.tenant if node.tenant else ''}")
    label = fit(node.tenant or "", width * 0.38, 12.0)
    taken = measure(label, 12.0) + 14 if label else 0
    sheet.text(x + 12, y + 22, fit(node.name, width - 24 - taken, kind="name"), "name")
    sheet.text(x + width - 12, y + 22, label, f"tenant {shade}", 12.0, "end")
    return y + NODE


def _hop(sheet: Sheet, alert: Alert, before: Node, node: Node, y: float) -> float:
    """The arrow to a machine and the words beside it; without a hop only the room, since the path goes on elsewhere."""
    same_box = before.host == node.host and node.host is not None
    start = y if same_box or not before.host else y - INSET + 4
    if node.hop is None:
        sheet.text(EDGE + INSET + 40, y + 20, "then, from a machine it had before:", "said", 12.0)
        return y + 32
    x = EDGE + INSET + 26
    lines = _label(alert, before, node, sheet.width - x - 40)
    height = max(len(lines) * LINE + 14, 44.0)
    ends = y + height
    tip = ends + (HEAD + 4 if node.host and not same_box else 0)
    crossing = any(kind == "crossing" for kind, _ in lines)
    kind = "hop across" if crossing else "hop"
    sheet.add('<path class="{}" d="M{} {}V{}"/><path class="{} tip" d="M{} {}l-5 -9h10z"/>',
              kind, x, start, tip - 8, kind, x, tip)
    middle = y + height / 2
    sheet.add('<circle class="{} badge" cx="{}" cy="{}" r="{}"/>', kind, x, middle, BADGE)
    sheet.text(x, middle + 4.5, str(node.hop + 1), "number", 12.0, "middle")
    first = middle - len(lines) * LINE / 2 + 13
    for number, (name, text) in enumerate(lines):
        sheet.text(x + 26, first + number * LINE, text, name)
    return ends


def _label(alert: Alert, before: Node, node: Node, width: float) -> list[tuple[str, str]]:
    """(class, line): when and by whom, what it did, and the crossing of a border between tenants."""
    number = node.hop or 0
    step = alert.steps[number]
    when = clock(step.time, date=number == 0 or other_day(alert.steps[number - 1].time, step.time))
    gap = f"(+{span(step.gap_s)})" if step.gap_s is not None else ""
    lines = [("when", line) for line in _together([when, gap, user(alert, number) or ""], width)]
    lines += [("", line) for line in wrap(step.what, width, 3)]
    if crossed(step, before, node):
        names = f": {before.tenant} to {node.tenant}" if before.tenant and node.tenant else ""
        lines += [("crossing", line) for line in wrap(f"Crosses tenants{names}", width, 2, "crossing")]
    return lines


def _together(parts: Sequence[str], width: float) -> list[str]:
    """The parts on as few lines as hold them whole; only a part that is too wide by itself is cut."""
    lines: list[str] = []
    for part in filter(None, (one_line(part, LONGEST) for part in parts)):
        if lines and measure(f"{lines[-1]}  {part}", kind="when") <= width:
            lines[-1] += f"  {part}"
        else:
            lines.append(fit(part, width, kind="when"))
    return lines


def crossed(step: Step, before: Node, node: Node) -> bool:
    """Whether a hop leads to another tenant: by the places of its ends, else by what its job says."""
    if before.tenant and node.tenant:
        return before.tenant != node.tenant
    return "another tenant" in step.what


def user(alert: Alert, number: int) -> str | None:
    """Who made a hop."""
    of_hops, of_path = alert.detail.get("path.hop_users"), alert.detail.get("path.users")
    if isinstance(of_hops, list) and number < len(of_hops):
        return str(of_hops[number]) if of_hops[number] else None
    return str(of_path[0]) if isinstance(of_path, list) and len(of_path) == 1 else None


def _places(detail: dict[str, Any]) -> dict[str, dict[str, str]]:
    places = detail.get("path.places")
    if not isinstance(places, dict):
        return {}
    return {name: {key: str(value) for key, value in place.items() if value} for name, place in places.items() if isinstance(place, dict)}


def _words(alert: Alert) -> str:
    hops = []
    for number, step in enumerate(alert.steps):
        who = user(alert, number)
        hops.append(f"Hop {number + 1}, {clock(step.time, True)} UTC{', ' + who if who else ''}: "
                    f"{step.source} to {step.target}, {step.what}")
    return ". ".join(hops) + "."
