"""The identity map: raw principals to the person or service behind them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict

from .names import principal


class IdentityRow(BaseModel):
    """A row of identities.csv: `principal` (as logs have it, or as `name@domain`) is `person`, which may itself be a principal above."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, str_min_length=1)

    principal: str
    person: str
    kind: Literal["person", "service"] = "person"


@dataclass(frozen=True)
class Identities:
    """Who stands behind a principal. `principals`: normalised principal -> person or service; `services`: those that are programs."""

    principals: Mapping[str, str] = field(default_factory=dict)
    services: frozenset[str] = frozenset()


class IdentityError(ValueError):
    """What is wrong with a row, whose place in the list `row` is."""

    def __init__(self, row: int, message: str) -> None:
        super().__init__(message)
        self.row = row


def resolve(rows: Iterable[IdentityRow]) -> Identities:
    """The map with chains followed to their end. Raises IdentityError for a circle and for a principal of two persons."""
    direct: dict[str, tuple[str, int]] = {}
    services: set[str] = set()
    for number, row in enumerate(rows):
        raw, person = principal(row.principal), principal(row.person)
        if direct.setdefault(raw, (person, number))[0] != person:
            raise IdentityError(number, f"{raw!r} is {person!r} here and {direct[raw][0]!r} in an earlier row")
        if row.kind == "service":
            services.add(person)
    found = {raw: _end(raw, direct) for raw in direct}
    return Identities(found, frozenset(found.get(each, each) for each in services))


def _end(raw: str, direct: Mapping[str, tuple[str, int]]) -> str:
    passed = [raw]
    while passed[-1] in direct and direct[passed[-1]][0] != passed[-1]:  # who is himself is the end
        person, row = direct[passed[-1]]
        if person in passed:
            raise IdentityError(row, "a circle: " + " -> ".join([*passed, person]))
        passed.append(person)
    return passed[-1]
