"""The correlation half of the conformance suite (tests/conformance/README.md), judged in memory; the tests judge it on Spark too."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import polars as pl
from pydantic import model_validator

from . import content
from .conformance import Sentence, folder, frame_of
from .errors import ContentError
from .judge import hits_of, judge
from .kernel.detect import Detector
from .proofs import Proof
from .sigma.correlation_reader import read_correlations
from .sigma.correlations import Correlation, silenced
from .sigma.documents import read_documents
from .sigma.load import Rule, load_text
from .sigma.metadata import Strict

MICROSECOND = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Alert(Strict):
    """An alert of a correlation: its group, the times of its first and last event, and what was counted."""

    correlation: str
    group: dict[str, Any]
    first: datetime
    last: datetime
    events: tuple[str, ...]
    value: float | None = None
    count: int

    def __str__(self) -> str:
        group = ", ".join(f"{name} {value}" for name, value in self.group.items()) or "all"
        value = "" if self.value is None else f"; {self.value:g}"
        return f"{self.correlation} of {group} ({', '.join(sorted(self.events))}{value})"


class Alone(Strict):
    """Events of which a single-event rule below a correlation tells by itself."""

    rule: str
    events: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.rule} alone ({', '.join(sorted(self.events))})"


class CorrelationCase(Strict):
    """Rules, correlations, events and the alerts that they must raise, and what decides that.

    `until` is the time up to which the sources were watched.
    """

    name: str
    rules: tuple[dict[str, Any], ...]
    correlations: tuple[dict[str, Any], ...]
    events: tuple[dict[str, Any], ...]
    until: datetime | None = None
    alerts: tuple[Alert | Alone, ...]
    spec: Sentence | Literal["silent"]
    why: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> CorrelationCase:
        ids = {event.get("id") for event in self.events}
        if unknown := {event for alert in self.alerts for event in alert.events} - ids:
            raise ValueError(f"alerts of {sorted(unknown)}, which are no events")
        if self.spec == "silent" and not self.why:
            raise ValueError("where the specification is silent, `why` must say what decides")
        return self


class CorrelationTopic(Strict):
    """A file of correlation/: cases, the type of every field in them, and what they share."""

    topic: str
    fields: dict[str, str]
    sentences: tuple[Sentence, ...] = ()
    rules: tuple[dict[str, Any], ...] = ()
    cases: tuple[CorrelationCase, ...]


@dataclass(frozen=True)
class Ready:
    """A case with its rules and correlations read. `number` tells its events and rules from those of the others."""

    number: int
    case: CorrelationCase
    rules: tuple[Rule, ...]
    correlations: tuple[Correlation, ...]

    @property
    def times(self) -> list[datetime]:
        return [datetime.fromisoformat(event["@timestamp"]) for event in self.case.events]

    @property
    def until(self) -> datetime:
        return self.case.until or max(self.times)

    @property
    def waits(self) -> bool:
        """Whether it makes a difference up to when the sources were watched."""
        return any(correlation.waits for correlation in self.correlations)


Judge = Callable[[pl.DataFrame, pl.DataFrame, Sequence[Correlation], datetime], pl.DataFrame]


def in_memory(events: pl.DataFrame, hits: pl.DataFrame, correlations: Sequence[Correlation], until: datetime) -> pl.DataFrame:
    """Findings of correlations over flat events and the hits (`event_index`, `rule_id`) among them."""
    return judge(hits_of(events, hits), correlations, (until - EPOCH) // MICROSECOND)


def read_correlation_topics(only: str = "") -> dict[Path, CorrelationTopic]:
    """The files of correlation/ whose path contains `only`. Raises ContentError for one that does not have the form of README.md."""
    files = sorted(folder().glob("correlation/*.yml"))
    return {path: content.read_model(path, CorrelationTopic) for path in files if only in str(path)}


def check_correlations(only: str = "", judged: Judge = in_memory) -> Iterator[Proof]:
    """Every correlation case, many in one pass."""
    started = time.perf_counter()
    cases = [(path, case) for path, topic in read_correlation_topics(only).items() for case in topic.cases]
    problems = problems_of([case for _, case in cases], judged)
    seconds = (time.perf_counter() - started) / max(len(cases), 1)
    for problem, (path, case) in zip(problems, cases, strict=True):
        yield Proof(f"conformance {path.stem}", case.name, path, problem, seconds)


def problems_of(cases: Sequence[CorrelationCase], judged: Judge = in_memory) -> list[str | None]:
    """What is wrong with each case, in words, or None."""
    ready: list[Ready] = []
    problems: dict[int, str | None] = {}
    for number, case in enumerate(cases):
        try:
            ready.append(read_case(case, number))
        except ContentError as error:
            problems[number] = f"it is refused: {error.message}"
    for until, together in _by_time(ready).items():
        problems |= _compare(together, until, judged)
    return [problems[number] for number in range(len(cases))]


def read_case(case: CorrelationCase, number: int = 0) -> Ready:
    """The rules and correlations of a case; rules without an id get one of the case's number. Raises ContentError for what is refused."""
    rules = [{"id": str(UUID(int=number << 32 | n))} | rule for n, rule in enumerate(case.rules)]
    loaded = load_text(_text(rules), Path(case.name))
    correlations, errors = read_correlations(list(read_documents(_text(case.correlations), Path(case.name))), loaded.rules)
    for error in (*loaded.errors, *errors):
        raise error
    return Ready(number, case, loaded.rules, correlations)


def _text(documents: Iterable[Mapping[str, Any]]) -> str:
    """Documents as YAML; JSON is YAML too, and written thirty times as fast."""
    return "\n---\n".join(json.dumps(document, ensure_ascii=False) for document in documents)


def _by_time(cases: Iterable[Ready]) -> dict[datetime, list[Ready]]:
    """Cases that can be judged in one go: those that ask for an absence by the time they were watched to, and all the others."""
    found: dict[datetime, list[Ready]] = defaultdict(list)
    for ready in cases:
        found[ready.until if ready.waits else datetime.max.replace(tzinfo=UTC)].append(ready)
    return found


def _compare(cases: Sequence[Ready], until: datetime, judged: Judge) -> dict[int, str | None]:
    """Problems by number of the case."""
    events, hits = _hits(cases)
    findings = judged(events, hits, [correlation for ready in cases for correlation in ready.correlations], until)
    by_correlation = {str(key): part for (key,), part in findings.partition_by("correlation", as_dict=True).items()}
    by_rule = {str(key): part for (key,), part in hits.partition_by("rule_id", as_dict=True).items()}
    ids = events.get_column("event.id").to_list()
    problems: dict[int, str | None] = {}
    for ready in cases:
        silent = silenced(ready.correlations)
        found: list[Alert | Alone] = [_alert(row, correlation) for correlation in ready.correlations if correlation.id not in silent
                                      for row in by_correlation.get(correlation.id, findings.clear()).to_dicts()]
        below = {rule for correlation in ready.correlations for rule in correlation.rules} - silent
        found += [Alone(rule=rule.name, events=tuple(_bare(ids[i]) for i in by_rule[rule.id]["event_index"]))
                  for rule in ready.rules if rule.id in below and rule.id in by_rule]
        problems[ready.number] = _problem(ready.case, found)
    return problems


def _hits(cases: Sequence[Ready]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The events of all cases, and the hits of each case's rules among its own."""
    rows = [(ready.number, event) for ready in cases for event in ready.case.events]
    events = frame_of(event for _, event in rows).with_columns(
        pl.Series("event.id", [f"{number}/{event['id']}" for number, event in rows]))
    owner = {rule.id: ready.number for ready in cases for rule in ready.rules}
    hits = Detector([rule for ready in cases for rule in ready.rules]).detect(events)
    return events, hits.filter(pl.Series([rows[index][0] == owner[rule] for rule, index in hits.iter_rows()], dtype=pl.Boolean))


def _alert(row: dict[str, Any], correlation: Correlation) -> Alert:
    return Alert(correlation=correlation.name, group=dict(zip(correlation.group_by, row["group"], strict=True)),
                 first=EPOCH + row["first"] * MICROSECOND, last=EPOCH + row["last"] * MICROSECOND,
                 events=tuple(map(_bare, row["events"])), value=row["value"], count=row["count"])


def _bare(event: str) -> str:
    return event.partition("/")[2]


def _problem(case: CorrelationCase, found: Iterable[Alert | Alone]) -> str | None:
    """Alerts that are missing or too many. Values of groups have no case; a value that is not told may be any."""
    missing, extra = list(case.alerts), list[Alert | Alone]()
    for alert in found:
        same = next((wanted for wanted in missing if _same(wanted, alert)), None)
        if same:
            missing.remove(same)
        else:
            extra.append(alert)
    said = [f"does not raise {'; '.join(map(str, missing))}"] if missing else []
    said += [f"raises {'; '.join(map(str, extra))}"] if extra else []
    return f"{' and '.join(said)}. {case.why or case.spec}" if said else None


def _same(wanted: Alert | Alone, found: Alert | Alone) -> bool:
    if isinstance(wanted, Alone) or isinstance(found, Alone):
        return isinstance(wanted, Alone) and isinstance(found, Alone) and wanted.rule == found.rule \
            and set(wanted.events) == set(found.events)
    group = [{name: str(value).lower() for name, value in alert.group.items()} for alert in (wanted, found)]
    return (wanted.correlation, group[0], wanted.first, wanted.last, set(wanted.events), wanted.count) == \
        (found.correlation, group[1], found.first, found.last, set(found.events), found.count) \
        and (wanted.value is None or (found.value is not None and abs(wanted.value - found.value) < 1e-9))
