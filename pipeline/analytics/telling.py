"""Findings of jobs to alerts: the same alert as of a rule, with a score, the steps of its story, and what the job knows beyond that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import orjson
from pydantic import TypeAdapter

from ..alerts import SEVERITIES, Alert, Severity, Step
from ..raising import build, suppression
from ..rows import Row
from ..sigma.exceptions import Exceptions
from ..sigma.jobs import JobRule
from ..text import one_line
from .job import instant

MAX_EXPLANATION = 4000
_STEPS = TypeAdapter(tuple[Step, ...])


def alerts_of(job: JobRule, findings: Iterable[Row], behind: Mapping[str, Sequence[Row]],
              exceptions: Exceptions | None = None) -> list[Alert]:
    """Alerts of one job. `findings` are rows of FINDINGS; `behind`: event id -> its hits, flat rows as for raising.from_hits.

    An exception that names the job silences an alert when it holds for every row of evidence.
    """
    return [_alert(job, found, behind, exceptions) for found in findings]


def _alert(job: JobRule, found: Row, behind: Mapping[str, Sequence[Row]], exceptions: Exceptions | None) -> Alert:
    rows = [_of_job(behind[event], job) for event in found["events"] if event in behind]
    entries = exceptions.silencing(job.id, rows) if exceptions and rows else [None]
    quiet = suppression(entry for entry in entries if entry) if all(entries) else None
    first, last = instant(found["first"]), instant(found["last"])
    plain = build(job, rows, found["key"], first, count=found["count"], suppressed=quiet)
    steps = _STEPS.validate_json(found["steps"])
    hosts = plain.entities.host or sorted({each.host for each in steps if each.host})  # of inventories there is no record
    return plain.model_copy(update={
        "entities": plain.entities.model_copy(update={"host": tuple(hosts)}),
        "timestamp": first, "first": first, "last": last, "severity": _severity(job, found["severity"]), "score": found["score"],
        "events": tuple(found["events"]), "explanation": one_line(found["explanation"], MAX_EXPLANATION),
        "steps": steps, "detail": orjson.loads(found["detail"])})


def _of_job(hits: Sequence[Row], job: JobRule) -> Row:
    """The hit of an event that the job read: other rules may have hit it too."""
    return next((hit for hit in hits if hit["rule_id"] in job.reads), hits[0])


def _severity(job: JobRule, found: Severity) -> Severity:
    """What the job found, but no more than its document lets it raise."""
    highest = SEVERITIES.index(job.level) if job.level in SEVERITIES else len(SEVERITIES) - 1
    return SEVERITIES[min(SEVERITIES.index(found), highest)]
