"""A regex of a rule, which Sigma defines as PCRE, for Rust's regex engine.

The two agree mostly. Where they do not, the same text means something else without a word: a `$` of PCRE also stands before a last
newline, `&&` and `[` inside a class are characters, `\\<` is a less-than sign. (What stands behind a `$` cannot take that newline here.)
"""

from __future__ import annotations

import re

import polars as pl

_TOKEN = re.compile(r"""
    (?P<escape> \\. )
  | (?P<open> \[ \^? \]? ) (?P<body> (?: \[:\^?\w+:\] | \\. | [^\]\\] )* ) \]
  | (?P<end> \$ )
""", re.VERBOSE | re.DOTALL)
_IN_CLASS = re.compile(r"""
    (?P<posix> \[:\^?\w+:\] )
  | (?P<escape> \\. )
  | (?P<operator> \[ | (?<=&)& | (?<=~)~ | (?<=[^-]-)- | ^-(?=-) )
""", re.VERBOSE | re.DOTALL)
_LINES = re.compile(r"\(\?[a-z]*m")  # a flag inside the regex


def rust(regex: str) -> str:
    """The regex of Rust that means what this one of PCRE means."""
    end = "$" if _LINES.search(regex) else r"(?:\n?\z)"

    def token(found: re.Match[str]) -> str:
        if found["end"]:
            return end
        return _escape(found["escape"]) if found["escape"] else f"{found['open']}{_IN_CLASS.sub(_of_class, found['body'])}]"

    return _TOKEN.sub(token, regex)


def _of_class(found: re.Match[str]) -> str:
    return "\\" + found["operator"] if found["operator"] else found["posix"] or _escape(found["escape"])


def _escape(text: str) -> str:
    """An escaped letter or digit has a meaning of its own; anything else is that character."""
    return text if text[1].isascii() and text[1].isalnum() else pl.escape_regex(text[1])
