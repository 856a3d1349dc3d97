"""What must be switched on at the vendor's side for which events: `readiness.yml` beside a parser holds families of event ids."""

from __future__ import annotations

import csv
from functools import cached_property
from pathlib import Path

import polars as pl
from pydantic import RootModel, model_validator

from . import content
from .errors import ContentError
from .kernel.spec import ParserSpec, Strict

NAME = "readiness.yml"


class Family(Strict):
    """Events that one setting brings, as patterns (`vm-*`) of their event.action, and of their event.code (`codes`, or the first column of
    a `table` of the parser). `by_itself`: they need no setting but what brings the whole source, and come when something happens."""

    id: str
    title: str
    actions: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    table: str | None = None
    by_itself: bool = False
    enable: str

    @model_validator(mode="after")
    def _names_events(self) -> Family:
        if not (self.actions or self.codes or self.table):
            raise ValueError("a family names its events: actions, codes or table")
        return self


class _File(RootModel[tuple[Family, ...]]):
    """A readiness.yml."""


class Families:
    """The families of one parser."""

    def __init__(self, spec: ParserSpec, families: tuple[Family, ...]) -> None:
        self.spec = spec
        self.families = families

    @cached_property
    def _patterns(self) -> dict[str, tuple[str, str]]:
        """Regexes of event.action and event.code by family."""
        found = {}
        for family in self.families:
            codes = (*family.codes, *(_first_column(self.spec.folder / family.table) if family.table else ()))
            found[family.id] = (_regex(family.actions), _regex(codes))
        return found

    def of(self, values: list[str]) -> list[Family]:
        """The families that event ids (as rules compare them) belong to."""
        texts = pl.Series(values, dtype=pl.String).str.to_lowercase()
        return [family for family in self.families
                if texts.str.contains("|".join(f"(?:{regex})" for regex in self._patterns[family.id])).any()]

    def arrives(self, family: Family, seen: pl.DataFrame) -> bool:
        """Whether any event of a family is among those seen (columns `event.action`, `event.code`)."""
        action, code = self._patterns[family.id]
        held = pl.any_horizontal(pl.col(name).str.to_lowercase().str.contains(regex).fill_null(False)
                                 for name, regex in (("event.action", action), ("event.code", code)))
        return bool(seen.select(held.any()).item())


def load_families(spec: ParserSpec) -> Families:
    """The families of a parser; none if it has no readiness.yml. Raises ContentError for one that is wrong."""
    path = spec.folder / NAME
    families = content.read_model(path, _File).root if path.exists() else ()
    for family in families:
        if family.table and not (spec.folder / family.table).is_file():
            raise ContentError(f"family {family.id!r}: no table {family.table}", path, 1, "a path from the parser's folder")
    return Families(spec, families)


def _first_column(path: Path) -> tuple[str, ...]:
    with path.open(encoding="utf-8", newline="") as file:
        return tuple(row[0] for row in list(csv.reader(file))[1:] if row)


def _regex(patterns: tuple[str, ...]) -> str:
    """One regex for patterns with `*`, over lower-cased text; without patterns one that nothing matches."""
    bodies = (".*".join(map(pl.escape_regex, pattern.lower().split("*"))) for pattern in patterns)
    return f"^(?:{'|'.join(bodies)})$" if patterns else "$x"
