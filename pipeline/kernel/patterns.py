"""The small pattern library, and the translation of `%{NAME:field}` patterns to Rust regular expressions.

Rust's regex engine is linear in time, so no hostile line can blow it up; in exchange there is no look-around and there are
no back-references.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import polars as pl

from ..errors import ContentError

# Loose on purpose: a strict address pattern is slow, and normalise.py decides whether the text is an address.
IPV4 = r"(?:::ffff:)?\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}"
IPV6 = r"[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*(?:%\w+)?"

# name -> (regex, an example that it matches whole)
LIBRARY: dict[str, tuple[str, str]] = {
    "INT": (r"[+-]?\d+", "-42"),
    "NUMBER": (r"[+-]?\d+(?:\.\d+)?", "3.14"),
    "WORD": (r"\w+", "hostd"),
    "NOTSPACE": (r"\S+", "opID=ab-1"),
    "DATA": (r".*?", "anything, as little as possible"),
    "REST": (r".*", "everything to the end"),
    "HEX": (r"(?:0x?[0-9A-Fa-f]*|[1-9A-Fa-f][0-9A-Fa-f]*)", "0x1f"),  # no two ways to begin: such a regex needs no backtracking
    "UUID": (r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}", "527683eb-be00-ae48-b12d-06e5cffe4c7e"),
    "IPV4": (IPV4, "192.0.2.7"),
    "IPV6": (IPV6, "2001:db8::1"),
    "IP": (f"(?:{IPV4}|{IPV6})", "::ffff:192.0.2.7"),
    "HOST": (r"[0-9A-Za-z](?:[0-9A-Za-z_.-]*[0-9A-Za-z_-])?", "esx01.example.org"),
    "IPORHOST": (f"(?:{IPV4}|{IPV6}|[0-9A-Za-z](?:[0-9A-Za-z_.-]*[0-9A-Za-z_-])?)", "192.0.2.7"),
    "PORT": (r"\d{1,5}", "443"),
    "MAC": (r"[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}", "00:50:56:aa:bb:cc"),
    "USER": (r"[^\s'\",:;()<>\[\]]+", "VSPHERE.LOCAL\\Administrator"),
    "QUOTED": (r"(?:\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')", '"two words"'),
    "TOKEN": (r"[^\s\[\]]+", "Vmsvc.vm:/vmfs/volumes/ds1/web01/web01.vmx"),
    "UNBRACKETED": (r"[^\[\]]+", "vpxuser:VSPHERE.LOCAL\\Administrator"),
    "UNQUOTED": (r"[^\"']+", "web 01"),
    "PATH": (r"(?:/[^\s'\",;:()<>\[\]]*)", "/vmfs/volumes/ds1/web01/web01.vmx"),
    "ISO": (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,:]\d+)?(?:\s?(?:Z|UTC|[+-]\d\d:?\d\d))?", "2026-03-01T10:00:00.123Z"),
    "SYSLOGTIME": (
        r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\s{1,2}\d{1,2}(?: \d{4})? \d\d:\d\d:\d\d(?:\.\d+)?",
        "Mar  4 10:00:00",
    ),
    "HTTPTIME": (r"\d{1,2}/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}", "11/May/2023:10:22:24 +0000"),
    "LEVEL": (
        r"(?i:verbose|trivia|debug|info|information|notice|warning|warn|error|err|critical|crit|alert|emerg|emergency|panic|fatal|trace)",
        "warning",
    ),
}

_REFERENCE = re.compile(r"%\{(\w+)(?::([@\w.]+))?\}")
_NAMED = re.compile(r"\(\?P?<([@\w.]+)>")
# ASCII meanings: Unicode classes make large automata, and no log form needs them.
_ASCII = {r"\d": "[0-9]", r"\w": "[0-9A-Za-z_]", r"\s": r"[ \t\r\n\x0b\x0c]", r"\b": r"(?-u:\b)"}
_ESCAPE = re.compile(r"\\.", re.S)
# Rust group names may hold dots but must start with a letter or underscore.
_TIMESTAMP = "_at_timestamp"
MATCHED = "_matched"
_TAIL = re.compile(r"(?:%\{REST(?::(?P<reference>[@\w.]+))?\}|\(\?P?<(?P<named>[@\w.]+)>\.\*\))\$$")
_FLAGS = re.compile(r"\(\?[a-zA-Z]*[msU-][a-zA-Z]*[:)]")  # flags that change what `^`, `$` and `.*` mean


@dataclass(frozen=True)
class Pattern:
    """A compiled pattern.

    `regex` is for Polars: its group `_matched` tells a match from a miss. `fields` -> names of its groups in order of preference;
    `literal` is for the prefilter. `rest` is the group, if any, that takes everything after what `regex` matches: a regex engine looks
    at each of these bytes, which for a header before a long message is most of its work.
    """

    regex: str
    fields: dict[str, tuple[str, ...]]
    literal: str | None
    rest: str | None = None

    def value(self, text: pl.Expr, groups: pl.Expr, name: str) -> pl.Expr:
        """A group's text, from `text` and `groups` = text.str.extract_groups(regex)."""
        return text.str.strip_prefix(groups.struct.field(MATCHED)) if name == self.rest else groups.struct.field(name)

    def match(self, text: pl.Series) -> tuple[pl.Series, dict[str, pl.Series]]:
        """Which rows match (boolean), and the text of each field, null on the others."""
        frame = pl.DataFrame({"text": text, "groups": text.str.extract_groups(self.regex)})
        groups = pl.col("groups")
        values = frame.select(
            groups.struct.field(MATCHED).is_not_null().alias(MATCHED),
            *(
                pl.coalesce(self.value(pl.col("text"), groups, name) for name in names).alias(field)
                for field, names in self.fields.items()
            ),
        )
        return values.get_column(MATCHED), {field: values.get_column(field) for field in self.fields}


@cache
def compile_pattern(text: str) -> Pattern:
    """Translate `%{NAME:field}` references and named groups `(?<field>...)` to a regex of Rust.

    A field named twice (alternation) gets two groups, coalesced in order. Raises ContentError on an unknown name or bad syntax.
    """
    groups: dict[str, list[str]] = {}

    def expand(match: re.Match[str]) -> str:
        name, field = match.groups()
        if name not in LIBRARY:
            raise ContentError(f"unknown pattern %{{{name}}}", hint="known: " + ", ".join(sorted(LIBRARY)))
        if field is None:
            return f"(?:{LIBRARY[name][0]})"
        return f"(?P<{group(field)}>{LIBRARY[name][0]})"

    def group(field: str) -> str:
        seen = groups.setdefault(field, [])
        seen.append((_TIMESTAMP if field == "@timestamp" else field) + (f".__{len(seen)}" if seen else ""))
        return seen[-1]

    tail = _TAIL.search(text) if _has_plain_start(text) else None
    named = _NAMED.sub(lambda m: f"(?P<{group(m.group(1))}>", text[: tail.start()] if tail else text)
    regex = "(?s)" + _ESCAPE.sub(lambda m: _ASCII.get(m.group(), m.group()), _REFERENCE.sub(expand, named))
    field = tail and (tail["reference"] or tail["named"])
    rest = group(field) if field else None
    marked = f"(?P<{MATCHED}>{regex})" if tail else f"(?:{regex})(?P<{MATCHED}>)"
    return Pattern(marked, {f: tuple(g) for f, g in groups.items()}, required_literal(text), rest)


def _has_plain_start(text: str) -> bool:
    """Whether every match starts at the start of the text, and `.*$` at its end takes all that is left."""
    plain = re.sub(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", "", text)
    while plain != (plain := re.sub(r"\([^()]*\)", "", plain)):
        pass
    return text.startswith("^") and "|" not in plain and not _FLAGS.search(text)


def required_literal(text: str) -> str | None:
    """The longest run of plain characters that every match of the pattern must contain, or None.

    Used as a prefilter before the regex, so it may only be too short, never wrong: anything inside a group or a class is skipped,
    a quantified last character is cut off, and a pattern with an alternation or inline flags at the top level has none.
    """
    if "(?i" in text:
        return None
    best, run, depth, i = "", "", 0, 0

    def close(quantified: bool) -> None:
        nonlocal best, run
        candidate = run[:-1] if quantified else run
        best, run = max(best, candidate, key=len), ""

    while i < len(text):
        char = text[i]
        reference = _REFERENCE.match(text, i)
        if reference:
            close(False)
            i = reference.end()
            continue
        if char == "\\" and i + 1 < len(text):
            following = text[i + 1]
            if following.isalnum():
                close(False)
            elif depth == 0:
                run += following
            i += 2
            continue
        if char == "[":
            close(False)
            i = _class_end(text, i)
            continue
        if char == "(":
            close(False)
            depth += 1
        elif char == ")":
            depth -= 1
        elif char == "|" and depth == 0:
            return None
        elif char in "?*{":
            close(True)
            if char == "{":
                i = text.find("}", i)
        elif char in "+.^$":
            close(False)
        elif depth == 0:
            run += char
        i += 1
    close(False)
    return best if len(best) >= 3 else None


def _class_end(text: str, start: int) -> int:
    i = start + 1
    if text[i : i + 1] == "^":
        i += 1
    if text[i : i + 1] == "]":
        i += 1
    while i < len(text) and text[i] != "]":
        i += 2 if text[i] == "\\" else 1
    return i + 1
