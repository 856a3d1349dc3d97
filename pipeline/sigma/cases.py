"""The cases of a rule: raw log lines, and whether it fires."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from .. import content
from .metadata import Strict


class Log(Strict):
    """Raw lines of one source, and the parser that reads them."""

    parser: str
    raw: str


class Case(Strict):
    """Raw lines as they come, the parser that reads them, and whether the rule fires on any of the events.

    Lines of several sources are given as `logs` in place of `parser` and `raw`. `until`: the time up to which the sources were watched,
    for correlations that need to see that something did not happen; default: the last event.
    """

    name: str
    why: str = ""
    parser: str = ""
    raw: str = ""
    logs: tuple[Log, ...] = ()
    fires: bool
    expect: dict[str, Any] = Field({})
    until: dt.datetime | None = None

    @model_validator(mode="after")
    def _has_lines(self) -> Case:
        if bool(self.logs) == bool(self.parser and self.raw):
            raise ValueError("a case has either parser and raw, or logs (a list of {parser, raw})")
        return self

    @property
    def sources(self) -> tuple[Log, ...]:
        return self.logs or (Log(parser=self.parser, raw=self.raw),)


class Cases(Strict):
    """A `<rule>.cases.yaml`."""

    cases: tuple[Case, ...]


def load_cases(path: Path) -> tuple[Case, ...]:
    """The cases of a file; none if there is no file. Raises ContentError if the file is wrong."""
    return content.read_model(path, Cases).cases if path.exists() else ()
