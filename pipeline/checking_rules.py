"""The rules' part of `hypervigil check`: everything that is read beside the parsers, ours and what a user adds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

from .analytics.documents import check_jobs
from .config import Settings
from .errors import ContentError
from .rulebook import places
from .sigma.catalogue import Catalogue, load_catalogue
from .sigma.exceptions import UserException, load_exceptions
from .sigma.field_maps import read_field_maps
from .sigma.known import Known, shipped
from .sigma.lint import lint_catalogue
from .sigma.lists import placeholders
from .sigma.load import FIELD_MAPS, Places, Rule
from .sigma.lock import NAME, UPDATE, check_lock, update_lock
from .sigma.validators import validate


@dataclass
class Checked:
    """What is wrong, what is worth a look, and how much was checked."""

    problems: list[ContentError] = field(default_factory=list)
    warnings: list[ContentError] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


def check_rules(settings: Settings, lock: bool = False, today: date | None = None) -> Checked:
    """Rules, correlations, jobs, filters, lists, field maps, exceptions and the lock; `lock`: write it anew instead of comparing."""
    place, known = places(settings), shipped()
    catalogue = load_catalogue(place)
    errors, warnings = validate(catalogue.ours)
    path = Path(settings.exceptions) if settings.exceptions else None
    exceptions, wrong = load_exceptions(path, catalogue.everything, catalogue.lists, today or datetime.now(UTC).date())
    locked = (update_lock if lock else check_lock)(place.ours, catalogue.ours)
    problems = [*lint_catalogue(catalogue, known), *check_jobs(catalogue.jobs), *errors, *_datasets(place, known), *wrong, *locked]
    warnings += [*_no_lock(place.ours), *map(_expired, exceptions.expired), *_idle(exceptions.active, catalogue), *_empty_lists(catalogue)]
    warnings += [*_never_fire(catalogue.written, known), *_unread(catalogue)]
    return Checked(problems, warnings, {
        "rules": len(catalogue.rules), "correlations": len(catalogue.correlations), "filters": len(catalogue.filters),
        "jobs": len(catalogue.jobs), "exceptions": len(exceptions.active)})


def _no_lock(folder: Path) -> Iterator[ContentError]:
    if not (folder / NAME).exists():
        yield ContentError("no rule is locked: nothing notices a rule that changes under its old version", folder / NAME, hint=UPDATE)


def _datasets(place: Places, known: Known) -> Iterator[ContentError]:
    """Field maps that send rules to events which nothing makes."""
    for each in read_field_maps(place.ours / FIELD_MAPS, place.field_maps).maps:
        for dataset in each.datasets:
            if dataset not in known.datasets:
                yield ContentError(f"no parser has the dataset {dataset!r}", each.path, each.line("datasets"),
                                   f"datasets: {', '.join(sorted(known.datasets))}")


def _expired(each: UserException) -> ContentError:
    entry = each.entry
    message = f"the exception of {entry.rule} by {entry.owner} has expired ({entry.expires}): {entry.reason}"
    return ContentError(message, each.path, each.line, "renew it, or remove it")


def _idle(exceptions: Iterable[UserException], catalogue: Catalogue) -> Iterator[ContentError]:
    """Exceptions for rules that raise no alert of their own: there is nothing to excuse."""
    alerting: set[str] = {rule.id for rule in catalogue.alerting}
    alerting |= {each.id for each in catalogue.alerting_correlations} | {each.id for each in catalogue.jobs}
    for each in exceptions:
        if each.rule not in alerting:
            above = [c.path.stem for c in catalogue.correlations if each.rule in c.refers_to]
            message = f"the exception of {each.entry.rule} does nothing: that rule raises no alert of its own"
            hint = f"name what it is a step of ({', '.join(above)}), or leave its events out by a filter"
            yield ContentError(message, each.path, each.line, hint)


def _unread(catalogue: Catalogue) -> Iterator[ContentError]:
    """Signals that nothing reads: their hits are written, and that is all."""
    read = {rule for each in catalogue.jobs for rule in each.reads} | {rule for each in catalogue.correlations for rule in each.refers_to}
    for rule in catalogue.written:
        if rule.custom.signal and rule.id not in read:
            yield rule.document.error("is a signal that no job reads", "custom", "signal", hint="name it under `rules` of a job")


def _empty_lists(catalogue: Catalogue) -> Iterator[ContentError]:
    """Lists that are asked for and have no values: the terms that ask are false."""
    used = defaultdict(list)
    documents = [*(rule.document for rule in catalogue.written), *(each.document for each in catalogue.filters)]
    for document in documents:
        for name in placeholders(document):
            used[name].append(document.data.get("title"))
    for name, values in sorted(catalogue.lists.by_name.items()):
        if used[name] and not values.values:
            who = " and ".join(map(repr, used[name]))
            yield ContentError(f"list %{name}% is empty: what {who} compares with it is false", values.path,
                               hint="fill a list of that name in a folder of your own and name that with --lists")


def _never_fire(rules: Iterable[Rule], known: Known) -> Iterator[ContentError]:
    """Rules of others for log sources that we have no parser for: they load, and wait for one."""
    waiting: dict[str, list[Rule]] = defaultdict(list)
    for rule in rules:
        if rule.document.foreign and not any(rule.logsource.items() <= source.items() for source in known.logsources):
            waiting[", ".join(f"{key}: {value}" for key, value in rule.logsource.items())].append(rule)
    for source, found in waiting.items():
        yield ContentError(f"{len(found)} rules like {found[0].title!r} are about {source}, which no parser here reads: they never fire",
                           found[0].path, found[0].document.line("logsource"), "map the log source to our datasets with --field-map")
