"""Everything that folders of detections hold, resolved against one another: rules with their filters, correlations in order, jobs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..errors import ContentError
from .correlation_reader import read_correlations
from .correlations import Correlation, silenced
from .documents import Document
from .filters import Filter, apply_filters, read_filters
from .jobs import AnyRule, JobRule, read_jobs
from .lists import Lists
from .load import Loaded, Places, Rule, load_rules


@dataclass(frozen=True)
class Catalogue:
    """What folders of detections hold. `correlations` are in the order in which they must run.

    `rules` are what runs, with filters in them; `written` the same rules as their authors wrote them; `ours` every document of our folder.
    """

    rules: tuple[Rule, ...]
    correlations: tuple[Correlation, ...]
    errors: tuple[ContentError, ...]
    written: tuple[Rule, ...] = ()
    filters: tuple[Filter, ...] = ()
    ours: tuple[Document, ...] = ()
    lists: Lists = field(default_factory=Lists)
    jobs: tuple[JobRule, ...] = ()

    @property
    def everything(self) -> tuple[AnyRule, ...]:
        return (*self.rules, *self.correlations, *self.jobs)

    @property
    def watching(self) -> tuple[AnyRule, ...]:
        """What is there to find something: all but signals, which only tell jobs what happened."""
        return tuple(each for each in self.everything if not each.custom.signal)

    @property
    def alerting(self) -> tuple[Rule, ...]:
        """The single-event rules that raise alerts of their own."""
        silent = silenced(self.correlations)
        return tuple(rule for rule in self.rules if rule.id not in silent and not rule.custom.signal)

    @property
    def alerting_correlations(self) -> tuple[Correlation, ...]:
        """The correlations that raise alerts of their own: one that is a step of another does so only if that says `generate: true`."""
        silent = silenced(self.correlations)
        return tuple(each for each in self.correlations if each.id not in silent)


def load_catalogue(places: Places | None = None) -> Catalogue:
    """Every rule, correlation, filter and job of our folder and of others'; errors are collected."""
    return resolve(load_rules(places))


def resolve(loaded: Loaded) -> Catalogue:
    """What was read together."""
    again = _repeated((*(rule.document for rule in loaded.rules), *loaded.correlations, *loaded.filters, *loaded.jobs))
    rules = tuple(rule for rule in loaded.rules if id(rule.document) not in again)
    correlations, dangling = read_correlations(_first(loaded.correlations, again), rules)
    filters, wrong = read_filters(_first(loaded.filters, again))
    jobs, idle = read_jobs(_first(loaded.jobs, again), rules)
    others: tuple[AnyRule, ...] = (*correlations, *jobs)
    names = (key for each in others for key in (each.id, each.name, each.path.stem) if key)
    filtered, misnamed = apply_filters(rules, filters, names)
    errors = (*loaded.errors, *again.values(), *dangling, *wrong, *misnamed, *idle)
    return Catalogue(filtered, correlations, errors, rules, filters, loaded.ours, loaded.lists, jobs)


def _first(documents: Iterable[Document], again: dict[int, ContentError]) -> list[Document]:
    return [document for document in documents if id(document) not in again]


def _repeated(documents: Iterable[Document]) -> dict[int, ContentError]:
    """The documents that have the id or name of an earlier one (ours come before those of others), and the error of each."""
    first: dict[str, Document] = {}
    found: dict[int, ContentError] = {}
    for document in sorted(documents, key=lambda each: each.foreign):
        for key in ("id", "name"):
            value = str(document.data.get(key) or "")
            other = first.setdefault(f"{key} {value}", document) if value else document
            if other is not document:
                hint = "give every rule a UUID of its own" if key == "id" else "correlations and filters find rules by name: rename one"
                error = document.error(f"its {key} is also that of {str(other.data.get('title'))!r} ({other.path})", key, hint=hint)
                found.setdefault(id(document), error)
    return found
