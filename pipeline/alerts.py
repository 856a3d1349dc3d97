"""Hits to alerts: what an analyst gets to read. Pure functions, no Spark; the same ids whatever order or batch the hits arrive in.

Hits of one rule on the same host, user and VM within one clock hour become one alert that grows. The hours are fixed
(10:00–11:00 …), not counted from the first hit: a late hit, a retried batch or a re-run of the day cannot move a window, so it
cannot change an id. The price is that a burst over a full hour gives two alerts.

What is normal once and an attack in numbers (a VM stopped by force) has `at_least` in its rule: a group raises an alert only when
its hits name that many different values of a field. Values, not hits: the same fact may come from several logs.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from .text import one_line

if TYPE_CHECKING:
    from .sigma.correlations import Correlation
    from .sigma.metadata import Custom

Severity = Literal["informational", "low", "medium", "high", "critical"]
Confidence = Literal["low", "medium", "high"]
Row = Mapping[str, Any]

SEVERITIES: tuple[Severity, ...] = ("informational", "low", "medium", "high", "critical")
WINDOW = timedelta(hours=1)
MAX_EVENTS = 20
MAX_EVIDENCE = 10
MAX_ENTITIES = 50
MAX_TEXT = 4000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PLACEHOLDER = re.compile(r"\{([@\w.]+)\}")

ENTITY_FIELDS = {
    "user": ("user.name",),
    "host": ("host.name",),
    "vm": ("vm.name", "vm.id", "vm.path"),
    "source_ip": ("source.ip",)}
# With the VM, what a group shares. The domain keeps apart two people of one name.
_NOBODY = {"user.name": "somebody", "source.ip": "an unknown address", "host.name": "an unnamed host"}
GROUP_FIELDS = ("host.name", "user.domain", "user.name")


class RuleLike(Protocol):
    """What an alert takes from a rule: single-event rules, correlations and jobs all have it."""

    @property
    def id(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def level(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def date(self) -> date | None: ...
    @property
    def tags(self) -> Sequence[str]: ...
    @property
    def falsepositives(self) -> Sequence[str]: ...
    @property
    def path(self) -> Path: ...
    @property
    def custom(self) -> Custom: ...


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class RuleInfo(_Model):
    """The rule that raised the alert; `version` is its date."""

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
    datasets: tuple[str, ...] = ()
    events: tuple[str, ...]
    evidence: tuple[EvidenceLine, ...]
    explanation: str
    falsepositives: tuple[str, ...] = ()
    blind_spots: str = ""
    response: tuple[str, ...] = ()


def from_hits(hits: Iterable[Row], rules: Iterable[RuleLike]) -> list[Alert]:
    """Alerts of single-event rules, sorted by time and id.

    `hits` are rows with `rule_id`, `event_id`, `@timestamp` (datetime or ISO text) and the flat fields of the event. A hit given
    twice counts once; a hit of a rule that is not in `rules` is ignored (the rule was removed since).
    """
    known = {rule.id: rule for rule in rules}
    groups: dict[tuple[str, str, datetime], dict[str, Row]] = defaultdict(dict)
    for hit in hits:
        if hit["rule_id"] in known:
            when = time_of(hit)
            key = group_key(hit, known[hit["rule_id"]].custom.group_by) if when else str(hit["event_id"])
            groups[hit["rule_id"], key, window_start(when or EPOCH)][str(hit["event_id"])] = hit
    alerts = [build(known[rule], rows.values(), key, start) for (rule, key, start), rows in groups.items()
              if _enough(known[rule], rows.values())]
    return sorted(alerts, key=lambda alert: (alert.timestamp, alert.id))


def from_findings(findings: Iterable[Row], correlations: Iterable[Correlation], behind: Mapping[str, Sequence[Row]]) -> list[Alert]:
    """Alerts of correlations. `findings` are rows of judge.FINDINGS; `behind`: event id -> its hits, flat rows as for `from_hits`."""
    known = {correlation.id: correlation for correlation in correlations}
    alerts = []
    for found in findings:
        correlation = known[found["correlation"]]
        first, last, closes = (EPOCH + timedelta(microseconds=found[name]) for name in ("first", "last", "closes"))
        window = Window(group=dict(zip(correlation.group_by, found["group"], strict=True)), opens=first, closes=max(closes, last),
                        value=found["value"])
        rows = [behind[event][0] for event in found["events"] if event in behind]
        alerts.append(build(correlation, rows, found["key"], first, window, found["count"]))
    return alerts


def build(rule: RuleLike, rows: Iterable[Row], key: str, start: datetime, window: Window | None = None, count: int = 0) -> Alert:
    """One alert from the rows of one group (not empty).

    Correlations and analytics jobs call it with their own key and window start; of their events `rows` may be a part, of `count`.
    """
    ordered = sorted(rows, key=lambda row: (time_of(row) or EPOCH, str(row["event_id"])))
    times = [when for when in map(time_of, ordered) if when] or [start]
    count = max(count, len(ordered))
    level: Severity = rule.level if rule.level in SEVERITIES else "medium"
    confidence, why = _confidence(rule)
    return Alert(
        id=alert_id(rule.id, key, start), timestamp=times[0], first=times[0], last=times[-1], count=count, window=window,
        rule=_rule_info(rule), severity=level, confidence=confidence, confidence_why=why, attack=_attack(rule),
        entities=Entities(**{name: _entity(ordered, fields) for name, fields in ENTITY_FIELDS.items()}),
        datasets=_distinct(ordered, ("event.dataset",)),
        events=tuple(str(row["event_id"]) for row in ordered[:MAX_EVENTS]),
        evidence=tuple(map(_evidence, _telling(ordered, MAX_EVIDENCE))), explanation=_explanation(rule, ordered, count),
        falsepositives=tuple(rule.falsepositives), blind_spots=rule.custom.blind_spots, response=tuple(rule.custom.response))


def needed_fields(rules: Iterable[RuleLike]) -> set[str]:
    """The flat fields that hits must carry for `from_hits` to write whole alerts of some rules, beside `rule_id` and `event_id`."""
    always = {"@timestamp", "event.dataset", "event.original", "log.file.path", "log.offset", *GROUP_FIELDS}
    rules = tuple(rules)
    named = {found for rule in rules
             for found in (*PLACEHOLDER.findall(rule.custom.explain), *rule.custom.group_by, *rule.custom.at_least)}
    return always | named | {field for fields in ENTITY_FIELDS.values() for field in fields}


def alert_id(rule: str, key: str, start: datetime) -> str:
    """Deterministic id of an alert. The parts are length-prefixed, so that no two triples share a text."""
    parts = (rule, key, start.astimezone(UTC).isoformat())
    return hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def group_key(hit: Row, fields: Sequence[str] = ()) -> str:
    """What hits must share to become one alert: the rule's fields, else host, user and VM; an event with none of them stands alone."""
    values = [str(hit.get(field) or "") for field in fields or GROUP_FIELDS]
    values += [] if fields else [_first(hit, ENTITY_FIELDS["vm"]) or ""]
    return "".join(f"{len(value)}:{value}" for value in values) if any(values) else str(hit["event_id"])


def _enough(rule: RuleLike, rows: Iterable[Row]) -> bool:
    return all(len({str(row[field]) for row in rows if row.get(field) is not None}) >= number
               for field, number in rule.custom.at_least.items())


def window_start(when: datetime) -> datetime:
    """Start of the fixed window that holds a time."""
    return EPOCH + (when - EPOCH) // WINDOW * WINDOW


def time_of(row: Row) -> datetime | None:
    """`@timestamp` of a row in UTC; text without a zone is UTC."""
    value = row.get("@timestamp")
    if value is None:
        return None
    when = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)


def rank(alert: Alert) -> tuple[int, int, int, float, str]:
    """Sort key: the alert to look at first comes first (severity, then confidence, then number of events, then the newest)."""
    sure = ("low", "medium", "high").index(alert.confidence)
    return (-SEVERITIES.index(alert.severity), -sure, -alert.count, -alert.last.timestamp(), alert.id)


# --- parts of an alert --------------------------------------------------------------------------------------------------------


def _rule_info(rule: RuleLike) -> RuleInfo:
    parts = rule.path.parts
    inside = parts[parts.index("detections"):] if "detections" in parts else parts[-2:]
    return RuleInfo(id=rule.id, name=rule.title, level=rule.level, path="/".join(inside), version=str(rule.date) if rule.date else None,
                    threat=rule.custom.threat or rule.path.parent.name)


def _attack(rule: RuleLike) -> Attack:
    names = [tag.removeprefix("attack.") for tag in rule.tags if tag.startswith("attack.")]
    techniques = tuple(sorted({name.upper() for name in names if re.fullmatch(r"[tT]\d{4}(\.\d{3})?", name)}))
    tactics = tuple(sorted({name.replace("_", "-") for name in names if not re.fullmatch(r"[a-zA-Z]\d{4}(\.\d{3})?", name)}))
    return Attack(v19=techniques, v18=tuple(sorted(rule.custom.attack_v18)), tactics=tactics)


def _confidence(rule: RuleLike) -> tuple[Confidence, str]:
    """How sure an alert is: as sure as its rule is proven."""
    kinds = {item.kind for item in rule.custom.evidence}
    if "assumed" in kinds:
        return "low", f"{rule.status or 'unproven'} rule; a string it compares is assumed, not yet seen in a log"
    if not kinds:
        return "low", f"{rule.status or 'unproven'} rule that names no evidence for its strings"
    seen = "captured in real logs" if "captured" in kinds else "documented by the vendor"
    if rule.status == "stable":
        return "high", f"stable rule, its strings {seen}"
    return "medium", f"{rule.status or 'unproven'} rule, its strings {seen}"


def _entity(rows: Sequence[Row], fields: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({value for row in rows if (value := _first(row, fields))})[:MAX_ENTITIES])


def _first(row: Row, fields: tuple[str, ...]) -> str | None:
    """The first of some fields that is there; the items of a list as one text."""
    value = next((row[field] for field in fields if row.get(field)), None)
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else None if value is None else str(value)


def _distinct(rows: Sequence[Row], fields: tuple[str, ...]) -> tuple[str, ...]:
    """Different values in order of time."""
    return tuple(dict.fromkeys(value for row in rows if (value := _first(row, fields))))


def _telling(rows: Sequence[Row], most: int) -> list[Row]:
    """At most `most` rows that tell what happened: the first of each base rule (the success after failures), the last, the earliest."""
    firsts: dict[Any, int] = {}
    for number, row in enumerate(rows):
        firsts.setdefault(row.get("rule_id"), number)
    wanted = dict.fromkeys([*firsts.values(), len(rows) - 1, *range(min(most, len(rows)))])
    return [rows[number] for number in sorted(list(wanted)[:most])]


def _evidence(row: Row) -> EvidenceLine:
    text = str(row.get("event.original") or row.get("message") or "")
    return EvidenceLine(
        id=str(row["event_id"]), time=time_of(row), dataset=_first(row, ("event.dataset",)), file=_first(row, ("log.file.path",)),
        offset=row.get("log.offset"), original=text if len(text) <= MAX_TEXT else text[:MAX_TEXT - 1] + "…")


def _explanation(rule: RuleLike, rows: Sequence[Row], count: int) -> str:
    """The rule's `custom.explain` with `{field}` filled in, else a sentence from title and entities; then how often and how long."""
    template = rule.custom.explain.strip()
    words = PLACEHOLDER.sub(lambda field: _values(rows, *_fields_of(field[1])), template) if template else _sentence(rule, rows)
    words = words[:1].upper() + words[1:] if template.startswith("{user.name}") and words.startswith("somebody") else words
    times = [when for when in map(time_of, rows) if when]
    if count > 1 and times:
        stop = "" if words.endswith((".", "!", "?")) else "."
        words += f"{stop} Seen {count} times from {times[0]:%H:%M:%S} to {times[-1]:%H:%M:%S} UTC."
    return words


def _fields_of(name: str) -> tuple[str, ...]:
    """What `{name}` may be filled with: a VM without a name is still known by its id or path."""
    return ENTITY_FIELDS["vm"] if name == "vm.name" else (name,)


def _sentence(rule: RuleLike, rows: Sequence[Row]) -> str:
    parts = [f"{word} {_values(rows, *fields)}" for word, fields in (
        ("on", ENTITY_FIELDS["host"]), ("VM", ENTITY_FIELDS["vm"]), ("by", ENTITY_FIELDS["user"]), ("from", ENTITY_FIELDS["source_ip"]))
        if _distinct(rows, fields)]
    return " ".join([rule.title.rstrip("."), *parts]) + "."


def _values(rows: Sequence[Row], *fields: str) -> str:
    """Up to three different values in words. Made one printable line each: the words also reach terminals, and log text is hostile."""
    values = [one_line(value, 200) for value in _distinct(rows, fields)]
    if len(values) > 3:
        values = [*values[:3], f"{len(values) - 3} more"]
    return " and ".join([", ".join(values[:-1]), values[-1]] if len(values) > 1 else values) or _NOBODY.get(fields[0], "(unknown)")
