"""Log text made safe to look at: control characters and tricks of direction become visible signs. Markup is escaped elsewhere."""

from __future__ import annotations

_CONTROL = {code: chr(0x2400 + code) for code in range(0x20)} | {0x7F: "\u2421"}
# Characters that hide, reorder or imitate text: C1 controls, zero-width, bidirectional and tag characters; and lone surrogates,
# which cannot be written as UTF-8.
_HIDDEN = [*range(0x80, 0xA0), 0xAD, 0x061C, 0x180E, *range(0x200B, 0x2010), *range(0x2028, 0x202F), *range(0x2060, 0x2070), 0xFEFF,
           *range(0xD800, 0xE000), *range(0xE0000, 0xE0080)]
_LINES = _CONTROL | {code: f"⟨U+{code:04X}⟩" for code in _HIDDEN}
_ONE_LINE = _LINES | {0x09: " ", 0x0A: " "}
del _LINES[0x09], _LINES[0x0A]


def visible(text: str) -> str:
    """The text with every unseen character shown as a sign; tabs and line feeds stay."""
    return text if text.isprintable() else text.translate(_LINES)  # no printable text has a hidden character


def one_line(text: str, most: int) -> str:
    """The text on one printable line of at most `most` characters; tabs and line feeds become blanks."""
    line = text.translate(_ONE_LINE)
    return line if len(line) <= most else line[:most - 1] + "…"
