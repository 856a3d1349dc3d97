"""A small sheet to draw on: SVG elements with escaped text, and where each text stands, so that tests can ask for overlaps.

Widths of text are estimates on the wide side (the page uses the reader's own fonts); a text that would be too long is cut in the middle,
since names of machines tell apart at both ends. Colours are classes, which the page's style gives for light, dark and paper.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from datetime import UTC, datetime

from markupsafe import Markup

from ..text import one_line, visible

SIZE = 13.0  # of text, in pixels
WIDE, USUAL, THIN = 0.99, 0.64, 0.4  # widths of letters in parts of the size of text
FULL = 1.06  # of East Asian letters and of signs that take two columns
LONGEST = 300
BOLD = frozenset({"name", "stage", "when", "crossing", "number"})  # kinds of text that the style sets bold
BOLDER = 1.13  # times as wide


@dataclass(frozen=True)
class Area:
    """A rectangle in pixels: of a text, or of a shape that has its place to itself."""

    x: float
    y: float
    width: float
    height: float
    text: str

    def overlaps(self, other: Area) -> bool:
        return (self.x < other.x + other.width and other.x < self.x + self.width
                and self.y < other.y + other.height and other.y < self.y + self.height)


@dataclass
class Sheet:
    """Collects elements; `areas` are those of its texts."""

    width: float
    elements: list[Markup] = field(default_factory=list)
    areas: list[Area] = field(default_factory=list)

    def add(self, template: str, *values: object) -> None:
        """An element; values are escaped, and their unseen characters made visible."""
        self.elements.append(Markup(template).format(*map(_shown, values)))

    def text(self, x: float, y: float, text: str, kind: str = "", size: float = SIZE, anchor: str = "start") -> None:
        """Text with its baseline at `y`; `anchor` as in SVG."""
        text = one_line(text, LONGEST)
        if not text:
            return
        width = measure(text, size, kind)
        left = x - {"start": 0.0, "middle": width / 2, "end": width}[anchor]
        self.areas.append(Area(left, y - 0.8 * size, width, size, text))
        self.add('<text x="{}" y="{}" class="{}" font-size="{}" text-anchor="{}">{}</text>', float(x), float(y), kind, size, anchor, text)

    def svg(self, height: float, name: str, description: str, kind: str) -> Markup:
        """The picture; `name` and `description` are what a screen reader says."""
        size = (f"{self.width:g}", f"{height:g}")
        head = Markup('<svg class="{}" role="img" width="{}" height="{}" viewBox="0 0 {} {}"><title>{}</title><desc>{}</desc>').format(
            kind, *size, *size, one_line(name, LONGEST), one_line(description, 3000))
        return head + Markup("").join(self.elements) + Markup("</svg>")


def _shown(value: object) -> object:
    return round(value, 1) if isinstance(value, float) else visible(value) if isinstance(value, str) else value


def measure(text: str, size: float = SIZE, kind: str = "") -> float:
    """Estimate of the width of a text of some kind in pixels."""
    return size * (BOLDER if kind.partition(" ")[0] in BOLD else 1.0) * sum(map(_letter, text))


def _letter(letter: str) -> float:
    if ord(letter) > 0x7F:
        return FULL if unicodedata.east_asian_width(letter) in "WF" or ord(letter) > 0x2FF else USUAL * 1.1
    return WIDE if letter in "mwMW@%" else THIN if letter in "iljtfI.,:;!|' ()[]-" else 0.76 if letter.isupper() else USUAL


def fit(text: str, width: float, size: float = SIZE, kind: str = "") -> str:
    """The text, cut in the middle so that it is at most `width` wide."""
    text = one_line(text, LONGEST)
    if measure(text, size, kind) <= width:
        return text
    keep = len(text) - 1
    while keep > 1 and measure(cut := text[:(keep + 1) // 2] + "…" + text[len(text) - keep // 2:], size, kind) > width:
        keep -= 1
    return cut if keep > 1 else "…"


def wrap(text: str, width: float, most: int, kind: str = "") -> list[str]:
    """The text in at most `most` lines that are at most `width` wide, broken between words; what is too long ends in dots."""
    lines: list[str] = []
    words = one_line(text, LONGEST).split()
    while words and len(lines) < most:
        count = 1
        while count < len(words) and measure(" ".join(words[:count + 1]), SIZE, kind) <= width:
            count += 1
        lines.append(fit(" ".join(words if len(lines) == most - 1 else words[:count]), width, SIZE, kind))
        words = words[count:]
    return lines


def clock(when: datetime, date: bool = False) -> str:
    """Time of day in UTC, with the date if wanted."""
    when = when.astimezone(UTC) if when.tzinfo else when
    return f"{when:%Y-%m-%d %H:%M:%S}" if date else f"{when:%H:%M:%S}"


def other_day(first: datetime, second: datetime) -> bool:
    """Whether two times are of different days in UTC."""
    return clock(first, date=True)[:10] != clock(second, date=True)[:10]


def span(seconds: float) -> str:
    """A length of time in at most two units, such as `3 h 12 min`."""
    left = round(abs(seconds))
    if left == 0:
        return "under 1 s"
    units = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    for place, (length, name) in enumerate(units):
        if left >= length:
            below = units[place + 1:place + 2]
            rest = left % length // below[0][0] if below else 0
            return f"{left // length} {name}" + (f" {rest} {below[0][1]}" if rest else "")
    raise AssertionError("a second is the smallest unit")


