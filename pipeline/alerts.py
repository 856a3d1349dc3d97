"""What an analyst gets to read: an alert, in the form that is stored, delivered and shown (raising.py makes them of hits)."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Severity = Literal["informational", "low", "medium", "high", "critical"]
Confidence = Literal["low", "medium", "high"]

SEVERITIES: tuple[Severity, ...] = ("informational", "low", "medium", "high", "critical")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class RuleInfo(_Model):
    """The rule that raised the alert; `version` is the rule's `custom.version`."""

    id: str
    name: str
    level: str
    path: str
    threat: str
    version: str | None = None


class Attack(_Model):
    """Techniques in both ATT&CK generations, and tactics as v19 slugs (`defense-impairment`)."""

    v19: tuple[str, ...] = ()
    v18: tuple[str, ...] = ()
    tactics: tuple[str, ...] = ()


class Entities(_Model):
    """Who and what is involved, each list sorted and bounded."""

    user: tuple[str, ...] = ()
    host: tuple[str, ...] = ()
    vm: tuple[str, ...] = ()
    source_ip: tuple[str, ...] = ()


class EvidenceLine(_Model):
    """One record behind the alert, with the place it was read from."""

    id: str
    time: datetime | None = None
    dataset: str | None = None
    file: str | None = None
    offset: int | None = None
    original: str = ""


class Window(_Model):
    """What a correlation counted: its group (field -> value), the window around the events, and the counted value."""

    group: dict[str, str]
    opens: datetime
    closes: datetime
    value: float


class Suppression(_Model):
    """The user's exception that silences an alert."""

    reason: str
    owner: str
    expires: date


class Step(_Model):
    """One step of the story that a job tells: what happened when, and how long after the step before.

    `stage` is the role or signal that the step plays; a hop goes from `source` to `target` (names of machines or of a user).
    """

    time: datetime
    what: str
    stage: str
    event: str | None = None
    source: str | None = None
    target: str | None = None
    host: str | None = None
    gap_s: float | None = None


class Alert(_Model):
    """One thing for an analyst to decide on. `model_dump(mode="json", by_alias=True)` is the form that is stored and delivered."""

    id: str
    timestamp: datetime = Field(alias="@timestamp")
    first: datetime
    last: datetime
    count: int
    rule: RuleInfo
    severity: Severity
    confidence: Confidence
    confidence_why: str
    attack: Attack
    entities: Entities
    window: Window | None = None
    suppressed: Suppression | None = None
    datasets: tuple[str, ...] = ()
    events: tuple[str, ...]
    evidence: tuple[EvidenceLine, ...]
    explanation: str
    falsepositives: tuple[str, ...] = ()
    blind_spots: str = ""
    response: tuple[str, ...] = ()
    score: float | None = None  # of a job: 0-100
    steps: tuple[Step, ...] = ()
    detail: dict[str, Any] = Field(default_factory=dict)  # what a job knows beyond that; its module documents the keys


def rank(alert: Alert) -> tuple[int, int, int, float, str]:
    """Sort key: the alert to look at first comes first (severity, then confidence, then number of events, then the newest)."""
    sure = ("low", "medium", "high").index(alert.confidence)
    return (-SEVERITIES.index(alert.severity), -sure, -alert.count, -alert.last.timestamp(), alert.id)
