"""The Sigma conformance suite: cases as data (tests/conformance/README.md), judged by the detector that judges logs."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import polars as pl
import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, model_validator

from . import content
from .errors import ContentError
from .events import flatten
from .kernel.detect import Detector
from .proofs import Proof
from .schema import BY_NAME, Column
from .sigma.compile import compile_rule
from .sigma.load import Rule, load_text
from .sigma.terms import TEXT_TYPES, dtype


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Sentence(_Strict):
    """A sentence of the Sigma specification."""

    document: str
    section: str
    quote: str

    def __str__(self) -> str:
        return f"{self.quote} ({self.document}, {self.section})"


class SingleCase(_Strict):
    """A rule, events, the ids of those that it must find, and what decides that: the specification, or a reason where that is silent."""

    name: str
    rule: dict[str, Any]
    events: tuple[dict[str, Any], ...]
    hits: tuple[str, ...]
    spec: Sentence | Literal["silent"]
    why: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> SingleCase:
        ids = [event.get("id") for event in self.events]
        if len(set(ids)) < len(ids) or not all(isinstance(each, str) for each in ids):
            raise ValueError("every event needs an `id` of its own, a text")
        if unknown := set(self.hits) - set(ids):
            raise ValueError(f"hits {sorted(unknown)} are no events")
        if self.spec == "silent" and not self.why:
            raise ValueError("where the specification is silent, `why` must say what decides")
        return self


class Topic(_Strict):
    """A file of single/: cases, and the type of every field in them."""

    topic: str
    fields: dict[str, str]
    sentences: tuple[Sentence, ...] = ()
    cases: tuple[SingleCase, ...]


class Deviation(_Strict):
    """A case that this engine is known not to pass."""

    case: str
    why: str


def folder() -> Path:
    """The suite in the source tree; it is no part of the installed package."""
    try:
        return content.folder("tests/conformance")
    except ContentError as error:
        raise ContentError("no conformance suite here", hint="it is in the source tree, in tests/conformance") from error


def read_topics(only: str = "") -> dict[Path, Topic]:
    """The files of single/ whose path contains `only`. Raises ContentError for one that does not have the form of README.md."""
    return {path: content.read_model(path, Topic) for path in sorted(folder().glob("single/*.yml")) if only in str(path)}


def name_of(path: Path, case: SingleCase) -> str:
    """How a case is named outside its file."""
    return f"{path.stem}: {case.name}"


def check_single(only: str = "") -> Iterator[Proof]:
    """Every single-event case, all of them in one pass of the detector. A known deviation must still be one."""
    started = time.perf_counter()
    cases = [(path, case) for path, topic in read_topics(only).items() for case in topic.cases]
    known = {deviation.case for deviation in deviations()}
    problems = [_verdict(problem, name_of(path, case) in known)
                for problem, (path, case) in zip(judge([case for _, case in cases]), cases, strict=True)]
    seconds = (time.perf_counter() - started) / max(len(cases), 1)
    for problem, (path, case) in zip(problems, cases, strict=True):
        deviates = " (known deviation)" if name_of(path, case) in known else ""
        yield Proof(f"conformance {path.stem}", case.name + deviates, path, problem, seconds)


def deviations() -> list[Deviation]:
    """The cases that this engine does not pass, and why."""
    return TypeAdapter(list[Deviation]).validate_python(content.read_yaml(folder() / "deviations.yml"))


def _verdict(problem: str | None, known: bool) -> str | None:
    if not known:
        return problem
    return None if problem else "passes, so it is no deviation any more: take it out of deviations.yml"


def judge(cases: list[SingleCase]) -> list[str | None]:
    """What is wrong with each case, in words, or None."""
    rules: list[Rule] = []
    refused: dict[int, str] = {}
    for number, case in enumerate(cases):
        try:
            rules.append(rule_of(case, number))
        except ContentError as error:
            refused[number] = f"the rule is refused: {error.message}"
    starts = [0, *accumulate(len(case.events) for case in cases)]
    found: dict[str, set[int]] = defaultdict(set)
    for rule_id, index in Detector(rules).detect(frame_of(event for case in cases for event in case.events)).iter_rows():
        found[rule_id].add(index)
    return [refused.get(number) or _problem(case, {i - starts[number] for i in found[str(UUID(int=number))]})
            for number, case in enumerate(cases)]


def rule_of(case: SingleCase, number: int = 0) -> Rule:
    """The rule of a case, with an id that tells its number. Raises ContentError if it is refused."""
    text = yaml.safe_dump(case.rule | {"id": str(UUID(int=number))}, allow_unicode=True)
    loaded = load_text(text, Path(case.name))
    for error in loaded.errors:
        raise error
    compile_rule(loaded.rules[0])
    return loaded.rules[0]


def _problem(case: SingleCase, found: set[int]) -> str | None:
    hits = {event["id"]: number in found for number, event in enumerate(case.events)}
    missed = [name for name, hit in hits.items() if name in case.hits and not hit]
    extra = [name for name, hit in hits.items() if hit and name not in case.hits]
    if not missed and not extra:
        return None
    said = [f"does not find {', '.join(missed)}"] if missed else []
    said += [f"finds {', '.join(extra)}"] if extra else []
    return f"{' and '.join(said)}. {case.why or case.spec}"


# --- events of the suite as a flat frame --------------------------------------------------------------------------------------


def frame_of(events: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """The events as the detector reads them: one column per field, typed as the schema says."""
    rows = [{name: value for name, value in flatten(dict(event)).items() if name != "id"} for event in events]
    columns = [BY_NAME[name] for name in sorted({name for row in rows for name in row})]
    series = [pl.Series(c.name, [_typed(row.get(c.name), c) for row in rows], dtype(c)) for c in columns]
    return pl.DataFrame([pl.Series("event.id", map(str, range(len(rows)))), *series])


def _typed(value: Any, column: Column) -> Any:
    if column.many and value is not None:
        return [_leaf(each, column) for each in (value if isinstance(value, list) else [value])]
    return _leaf(value, column)


def _leaf(value: Any, column: Column) -> Any:
    """A value of JSON as the field's type has it: a text field holds a number or a boolean as its JSON text."""
    if value is None or isinstance(value, str):
        return datetime.fromisoformat(value) if value and column.type == "date" else value
    return str(value).lower() if column.type in TEXT_TYPES else value
