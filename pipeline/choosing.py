"""Which rules a backtest runs: those named, by name, id, file or folder; or those that are no longer what made the stored hits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from .errors import ContentError
from .sigma.catalogue import Catalogue, resolve
from .sigma.compile import check_rule, usable
from .sigma.correlations import Correlation
from .sigma.digest import digests
from .sigma.documents import Document
from .sigma.load import Loaded, Places, Rule, load_rules

Digests = Mapping[str, str]  # of the rules of a run, by id


@dataclass(frozen=True)
class Chosen:
    """`rules` run anew; `correlations` are judged anew, those chosen and those built upon what is; `removed`: ids of rules that went."""

    catalogue: Catalogue
    rules: tuple[Rule, ...]
    correlations: tuple[Correlation, ...]
    removed: tuple[str, ...] = ()

    @property
    def everything(self) -> tuple[Rule | Correlation, ...]:
        return (*self.rules, *self.correlations)

    @property
    def ids(self) -> tuple[str, ...]:
        return (*(each.id for each in self.everything), *self.removed)


@dataclass(frozen=True)
class Named:
    """The rules that there are, and the ids of those that were named; none: whatever changed."""

    catalogue: Catalogue
    ids: frozenset[str]

    def choose(self, runs: Sequence[Digests]) -> Chosen:
        """What to run, given the rules of the runs that made the stored hits. Raises ContentError for one that does not compile."""
        if self.ids:
            return _chosen(self.catalogue, self.ids)
        rules, _ = usable(self.catalogue.rules)
        now = digests((*rules, *self.catalogue.correlations))
        known = {each.id for each in self.catalogue.everything}
        removed = sorted({key for run in runs for key in run} - known)
        return replace(_chosen(self.catalogue, {key for key in now if change_of(key, now, runs) != "unchanged"}), removed=tuple(removed))


def change_of(key: str, now: Digests, runs: Iterable[Digests]) -> str:
    """How a rule differs from what made the stored hits: new, changed, unchanged or removed; unknown where no run wrote its rules down."""
    was = [run.get(key) for run in runs]
    if not was:
        return "unknown"
    if key not in now:
        return "removed"
    return "unchanged" if set(was) == {now[key]} else "new" if set(was) == {None} else "changed"


def named(names: Sequence[str], base: Places | None = None) -> Named:
    """Rules by name, id or file name, or all of a file or folder. One of a file outside detections/ takes the place of ours of the same id.
    `base` is where rules are otherwise.

    Raises ContentError: nothing has that name, or the file is wrong.
    """
    places = tuple(Path(name).resolve() for name in names if Path(name).exists())
    words = {name for name in names if not Path(name).exists()}
    base = base or Places()
    homes = [place.resolve() for place in (base.ours, *base.others)]
    outside = tuple(place for place in places if not any(map(place.is_relative_to, homes)))
    catalogue = _with(load_rules(replace(base, others=(*base.others, *outside))), outside)
    tested: tuple[Rule | Correlation, ...] = (*catalogue.rules, *catalogue.correlations)
    known = {key for rule in tested for key in _names(rule.document)}
    for job in catalogue.jobs:
        if words & _names(job.document) or job.path.resolve() in places:
            raise ContentError(f"{job.name or job.path.stem} is a job", job.path, hint="a backtest runs rules and correlations")
    if words - known:
        raise _unknown(min(words - known), known)
    ids = {rule.id for rule in tested
           if words & _names(rule.document) or any(_is_of(document, places) for document in (rule.document, *_filters(rule)))}
    if names and not ids:
        raise ContentError("holds no rule", places[0], hint="a rule is a YAML file with `detection` or `correlation`")
    return Named(catalogue, frozenset(ids))


def _is_of(document: Document, places: Iterable[Path]) -> bool:
    return any(document.path.resolve().is_relative_to(place) for place in places)


def _filters(rule: Rule | Correlation) -> tuple[Document, ...]:
    return rule.filters if isinstance(rule, Rule) else ()


def _with(loaded: Loaded, outside: Sequence[Path]) -> Catalogue:
    """What was read, without those of ours in whose place others stand."""
    every = (*(rule.document for rule in loaded.rules), *loaded.correlations, *loaded.filters)
    given = {str(document.data.get("id")) for document in every if _is_of(document, outside)}

    def stays(document: Document) -> bool:
        return _is_of(document, outside) or str(document.data.get("id")) not in given

    catalogue = resolve(replace(loaded, rules=tuple(rule for rule in loaded.rules if stays(rule.document)),
                                correlations=tuple(filter(stays, loaded.correlations)), filters=tuple(filter(stays, loaded.filters))))
    for error in catalogue.errors:
        if error.path and any(map(Path(error.path).resolve().is_relative_to, outside)):
            raise error
    return catalogue


def _names(document: Document) -> set[str]:
    return {str(key) for key in (document.data.get("id"), document.data.get("name"), document.path.stem) if key}


def _unknown(name: str, known: set[str]) -> ContentError:
    near = get_close_matches(name, known, 3, 0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "a rule's name, id, file or folder; `hypervigil coverage` lists the threats"
    return ContentError(f"no rule is named {name!r}, and there is no such file", hint=hint)


def _chosen(catalogue: Catalogue, ids: Iterable[str]) -> Chosen:
    wanted = set(ids)
    rules = tuple(rule for rule in catalogue.rules if rule.id in wanted)
    for rule in rules:
        for error in check_rule(rule):
            raise error
    for correlation in catalogue.correlations:  # each stands after those it refers to
        if wanted & set(correlation.refers_to):
            wanted.add(correlation.id)
    return Chosen(catalogue, rules, tuple(c for c in catalogue.correlations if c.id in wanted))
