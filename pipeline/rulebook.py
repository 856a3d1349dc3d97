"""What a run judges by: the rules of all places, and the exceptions of the user. A wrong rule is left out and told of; with `strict` it is
an error. A wrong exception always is: who wrote it believes that it holds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

from .analytics.documents import check_jobs
from .config import Settings
from .finding import Problem
from .sigma.catalogue import Catalogue, load_catalogue
from .sigma.compile import usable
from .sigma.exceptions import Exceptions, read_exceptions
from .sigma.load import Places


@dataclass(frozen=True)
class Rulebook:
    """The rules that can run, the exceptions of this day, and what was left out."""

    catalogue: Catalogue
    exceptions: Exceptions
    problems: list[Problem]


def places(settings: Settings) -> Places:
    """Where the settings say that rules and their data are."""
    return Places(others=tuple(map(Path, settings.rules)), lists=Path(settings.lists) if settings.lists else None,
                  field_maps=tuple(map(Path, settings.field_maps)))


def read_rulebook(settings: Settings, today: date | None = None) -> Rulebook:
    """Rules and exceptions as of a day (default: today, UTC). Raises ContentError for a place that is not there and a wrong exception."""
    catalogue = load_catalogue(places(settings))
    rules, refused = usable(catalogue.rules)
    unfit = check_jobs(catalogue.jobs)
    errors = [*catalogue.errors, *refused, *unfit]
    if errors and settings.strict:
        raise errors[0]
    problems = [Problem(f"{e.path}:{e.line}" if e.line else str(e.path), e.message) for e in errors]
    return Rulebook(replace(catalogue, rules=rules), exceptions_of(settings, catalogue, today), problems)


def exceptions_of(settings: Settings, catalogue: Catalogue, today: date | None = None) -> Exceptions:
    """The exceptions as of a day. Raises ContentError for a wrong one."""
    path = Path(settings.exceptions) if settings.exceptions else None
    return read_exceptions(path, catalogue.everything, catalogue.lists, today or datetime.now(UTC).date())
