"""The picture of an alert with steps: the path of its hops, or a timeline of its steps, as inline SVG.

Each is drawn twice, for a screen and for a phone; the page's style shows one (a drawing made smaller would have letters nobody can read).
"""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from ..alerts import Alert
from ..text import one_line
from . import hop_path, step_timeline

WIDTHS = {"screen": 860.0, "phone": 340.0}
MOST_HOPS = 12  # longer ones are a timeline, which says more than a path of many screens


@dataclass(frozen=True)
class Picture:
    """`title` says what is drawn; `drawings` are of the widths in WIDTHS."""

    title: str
    drawings: tuple[Markup, ...]


def picture(alert: Alert) -> Picture | None:
    """The picture of an alert; none without steps."""
    if not alert.steps:
        return None
    path = len(alert.steps) <= MOST_HOPS and hop_path.drawable(alert.steps)
    draw = hop_path.draw if path else step_timeline.draw
    title = _path_title(alert) if path else "What happened when"
    drawings = []
    for name, width in WIDTHS.items():
        sheet, height, words = draw(alert, width)
        drawings.append(sheet.svg(height, title, words, f"picture {'path' if path else 'when'} {name}"))
    return Picture(title, tuple(drawings))


def _path_title(alert: Alert) -> str:
    hops = "1 hop" if len(alert.steps) == 1 else f"{len(alert.steps)} hops"
    ends = (one_line(alert.steps[0].source or "", 40), one_line(alert.steps[-1].target or "", 40))
    return f"{hops} from {ends[0]} to {ends[1]}"
