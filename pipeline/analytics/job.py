"""What a job is: pure functions from signals to findings, and what the engine must bring them. No Spark here.

Signals are hits of rules as flat rows, columns in this order of making:
- `role` (what the rule plays in the job, by its document), `rule` (name of the rule), `time` (microseconds UTC), `event` (event.id),
  `fact` (event.fact_id: the same in records of several logs that tell one fact);
- `vm`, `host`, `user`: canonical names (context/names.py);
- each of `Job.fields` under its name in ECS: text, or Int64 for what is a number there;
- of each `Located`, `<into>.vm`, `.host`, `.cluster`, `.tenant`, `.segment`, `.zone` and `.role` as of the row's time, null if unknown.

A run sees a part of history, from `Job.look_back` before the oldest new event. So that any cut gives the same alerts, what `judge` says
of an event must not depend on rows that are older than the look-back, even where it sees them, nor on the order in which rows came.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from pydantic import BaseModel, ConfigDict

from ..alerts import Step
from ..context.columns import PLACE
from ..context.names import vm_name
from ..context.policies import Policies
from ..sigma.jobs import Kind

Columns = Mapping[str, Any]  # name -> Polars type
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
MAX_EVENTS = 20

SIGNAL: Columns = {"role": pl.String, "rule": pl.String, "time": pl.Int64, "event": pl.String, "fact": pl.String, "vm": pl.String,
                   "host": pl.String, "user": pl.String}
# `first` and `last`: times of events, microseconds UTC. `score`: 0-100. `events`: at most MAX_EVENTS ids, the most telling first; `count`:
# the true number. `steps`: see steps_json. `detail`: a JSON object, its keys documented by the job. `explanation`: words, in order of time.
FINDINGS: Columns = {
    "key": pl.String, "first": pl.Int64, "last": pl.Int64, "severity": pl.String, "score": pl.Float64, "events": pl.List(pl.String),
    "count": pl.Int64, "steps": pl.String, "detail": pl.String, "explanation": pl.String}


class Parameters(BaseModel):
    """What a job is tuned by. `policies` come from the user's context (policy.yml), all others from the job's document or their default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    policies: Policies = Policies()


@dataclass(frozen=True)
class Located:
    """Where a machine was as of the row's time: the one that the column `vm` names, or the one that had an address (a field in ECS).

    `pattern`: where the column holds more than a name, the regular expression of which the first group is the name (`named`).
    """

    into: str
    vm: str | None = None
    address: str | None = None
    pattern: str | None = None

    def __post_init__(self) -> None:
        if (self.vm is None) == (self.address is None):
            raise ValueError("either `vm` or `address` names the column to look up")

    @property
    def named(self) -> pl.Expr:
        """What is looked up: the canonical name of a VM, or the address."""
        found = pl.col(self.vm or self.address or "")
        return vm_name(found.str.extract(self.pattern)) if self.pattern else found

    @property
    def columns(self) -> tuple[str, ...]:
        """What it adds to a signal."""
        return tuple(f"{self.into}.{name}" for name in PLACE)


@dataclass(frozen=True)
class Pass:
    """One shuffle: rows with the same key come to one task, whole.

    `keyed`: rows (signals, or what the pass before gave) to the same rows, some dropped or repeated, with a text column `key`. It sees any
    part of the rows at a time. A row whose key is null is dropped.
    `judge`: whole groups, many keys in one frame, sorted by key, time and event as far as there are such columns; with the parameters and
    the time up to which the sources were watched (microseconds) to rows of `columns`; those of the last pass are FINDINGS.
    """

    keyed: Callable[[pl.DataFrame, Any], pl.DataFrame]
    judge: Callable[[pl.DataFrame, Any, int], pl.DataFrame]
    columns: Columns


@dataclass(frozen=True, kw_only=True)
class Job(Kind):
    """A job. `fields`: what it reads of a hit, by name in ECS; `look_back`: how far before an event something may lie that bears on its
    alert, with these parameters.
    """

    fields: tuple[str, ...]
    look_back: Callable[[Any], timedelta]
    passes: tuple[Pass, ...]
    located: tuple[Located, ...] = ()

    def __post_init__(self) -> None:
        if not issubclass(self.parameters, Parameters) or not self.passes or dict(self.passes[-1].columns) != dict(FINDINGS):
            raise TypeError(f"job {self.type}: its parameters must be a Parameters, and what its last pass gives must be FINDINGS")


def step(time: int, what: str, stage: str, *, event: str | None = None, source: str | None = None, target: str | None = None,
         host: str | None = None) -> Step:
    """A step of the story that an alert tells; `time` in microseconds UTC."""
    return Step(time=instant(time), what=what, stage=stage, event=event, source=source, target=target, host=host)


def steps_json(steps: Iterable[Step]) -> str:
    """Steps as a finding has them: in order of time, each with the seconds that passed since the one before."""
    return json.dumps([each.model_dump(mode="json") for each in _with_gaps(steps)], ensure_ascii=False)


def _with_gaps(steps: Iterable[Step]) -> Iterator[Step]:
    before: Step | None = None
    for each in sorted(steps, key=lambda one: one.time):
        gap = (each.time - before.time).total_seconds() if before else None
        yield each.model_copy(update={"gap_s": gap})
        before = each


def instant(micros: int) -> datetime:
    """A time of a signal or finding as a datetime."""
    return EPOCH + micros * MICROSECOND


def micros(span: timedelta) -> int:
    """A span of time in the unit of signals."""
    return span // MICROSECOND
