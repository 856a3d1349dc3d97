"""Hits to alerts. Pure functions, no Spark; the same ids whatever order or batch the hits arrive in.

Hits of one rule on the same host, user and VM within one clock hour become one alert that grows. The hours are fixed
(10:00–11:00 …), not counted from the first hit: a late hit, a retried batch or a re-run of the day cannot move a window, so it
cannot change an id. The price is that a burst over a full hour gives two alerts.

What a user's exception silences (sigma/exceptions.py) is left out of an alert; where nothing else is left the alert is kept, `suppressed`.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .alerts import (
    SEVERITIES,
    Alert,
    Attack,
    Confidence,
    Entities,
    EvidenceLine,
    RuleInfo,
    Severity,
    Suppression,
    Window,
)
from .rows import ENTITY_FIELDS, EPOCH, Row, distinct, first_of, time_of
from .wording import PLACEHOLDER, explanation

if TYPE_CHECKING:
    from .sigma.correlations import Correlation
    from .sigma.exceptions import Entry, Exceptions
    from .sigma.metadata import Custom

WINDOW = timedelta(hours=1)
MAX_EVENTS = 20
MAX_EVIDENCE = 10
MAX_ENTITIES = 50
MAX_TEXT = 4000
# With the VM, what a group shares. The domain keeps apart two people of one name.
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
    def version(self) -> str: ...
    @property
    def tags(self) -> Sequence[str]: ...
    @property
    def falsepositives(self) -> Sequence[str]: ...
    @property
    def path(self) -> Path: ...
    @property
    def custom(self) -> Custom: ...


def from_hits(hits: Iterable[Row], rules: Iterable[RuleLike], exceptions: Exceptions | None = None) -> list[Alert]:
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
    silenced = _silenced(groups, exceptions) if exceptions else {}
    alerts = [_alert(known[rule], rows, key, start, silenced) for (rule, key, start), rows in groups.items()]
    return sorted(alerts, key=lambda alert: (alert.timestamp, alert.id))


def _silenced(groups: Mapping[tuple[str, str, datetime], Mapping[str, Row]], exceptions: Exceptions) -> dict[tuple[str, str], Entry]:
    """The exception that silences each hit (rule, event), where there is one."""
    found: dict[tuple[str, str], Entry] = {}
    for rule in {entry.rule for entry in exceptions.active}:
        rows = {event: row for (owner, _, _), group in groups.items() if owner == rule for event, row in group.items()}
        entries = exceptions.silencing(rule, list(rows.values()))
        found |= {(rule, event): entry for event, entry in zip(rows, entries, strict=True) if entry}
    return found


def _alert(rule: RuleLike, rows: Mapping[str, Row], key: str, start: datetime, silenced: Mapping[tuple[str, str], Entry]) -> Alert:
    """The alert of a group, of the hits that are not silenced; where there are none, a suppressed one of all of them."""
    loud = [row for event, row in rows.items() if (rule.id, event) not in silenced]
    if loud:
        return build(rule, loud, key, start)
    return build(rule, rows.values(), key, start, suppressed=suppression(silenced[rule.id, event] for event in rows))


def suppression(entries: Iterable[Entry]) -> Suppression:
    """What is told of several exceptions that silence one alert: the first to end, since with it the alert comes back."""
    first = min(entries, key=lambda entry: (entry.expires, entry.reason))
    return Suppression(reason=first.reason, owner=first.owner, expires=first.expires)


def from_findings(findings: Iterable[Row], correlations: Iterable[Correlation], behind: Mapping[str, Sequence[Row]],
                  exceptions: Exceptions | None = None) -> list[Alert]:
    """Alerts of correlations. `findings` are rows of judge.FINDINGS; `behind`: event id -> its hits, flat rows as for `from_hits`.

    Findings of a correlation that is not among those given (it is a step of another, say) raise none.
    An exception that names a correlation silences an alert when it holds for every row of evidence, each with the fields of the group.
    """
    known = {correlation.id: correlation for correlation in correlations}
    alerts = []
    for found in findings:
        if (correlation := known.get(found["correlation"])) is None:
            continue
        first, last, closes = (EPOCH + timedelta(microseconds=found[name]) for name in ("first", "last", "closes"))
        window = Window(group=dict(zip(correlation.group_by, found["group"], strict=True)), opens=first, closes=max(closes, last),
                        value=found["value"])
        rows = [behind[event][0] for event in found["events"] if event in behind]
        told = [{**window.group, **row} for row in rows] or [window.group]
        entries = exceptions.silencing(correlation.id, told) if exceptions else [None]
        quiet = suppression(entry for entry in entries if entry) if all(entries) else None
        alerts.append(build(correlation, rows, found["key"], first, window, found["count"], quiet))
    return alerts


def build(rule: RuleLike, rows: Iterable[Row], key: str, start: datetime, window: Window | None = None, count: int = 0,
          suppressed: Suppression | None = None) -> Alert:
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
        suppressed=suppressed, rule=_rule_info(rule), severity=level, confidence=confidence, confidence_why=why, attack=_attack(rule),
        entities=Entities(**{name: _entity(ordered, fields) for name, fields in ENTITY_FIELDS.items()}),
        datasets=distinct(ordered, ("event.dataset",)),
        events=tuple(str(row["event_id"]) for row in ordered[:MAX_EVENTS]),
        evidence=tuple(map(_evidence, _telling(ordered, MAX_EVIDENCE))),
        explanation=explanation(rule.title, rule.custom.explain, ordered, count),
        falsepositives=tuple(rule.falsepositives), blind_spots=rule.custom.blind_spots, response=tuple(rule.custom.response))


def needed_fields(rules: Iterable[RuleLike]) -> set[str]:
    """The flat fields that hits must carry for `from_hits` to write whole alerts of some rules, beside `rule_id` and `event_id`."""
    always = {"@timestamp", "event.dataset", "event.original", "log.file.path", "log.offset", *GROUP_FIELDS}
    rules = tuple(rules)
    named = {found for rule in rules
             for found in (*PLACEHOLDER.findall(rule.custom.explain), *rule.custom.group_by)}
    return always | named | {field for fields in ENTITY_FIELDS.values() for field in fields}


def alert_id(rule: str, key: str, start: datetime) -> str:
    """Deterministic id of an alert. The parts are length-prefixed, so that no two triples share a text."""
    parts = (rule, key, start.astimezone(UTC).isoformat())
    return hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def group_key(hit: Row, fields: Sequence[str] = ()) -> str:
    """What hits must share to become one alert: the rule's fields, else host, user and VM; an event with none of them stands alone."""
    values = [str(hit.get(field) or "") for field in fields or GROUP_FIELDS]
    values += [] if fields else [first_of(hit, ENTITY_FIELDS["vm"]) or ""]
    return "".join(f"{len(value)}:{value}" for value in values) if any(values) else str(hit["event_id"])


def window_start(when: datetime) -> datetime:
    """Start of the fixed window that holds a time."""
    return EPOCH + (when - EPOCH) // WINDOW * WINDOW


# --- parts of an alert --------------------------------------------------------------------------------------------------------


def _rule_info(rule: RuleLike) -> RuleInfo:
    parts = rule.path.parts
    inside = parts[parts.index("detections"):] if "detections" in parts else parts[-2:]
    return RuleInfo(id=rule.id, name=rule.title, level=rule.level, path="/".join(inside), version=rule.version,
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
    return tuple(sorted({value for row in rows if (value := first_of(row, fields))})[:MAX_ENTITIES])


def _telling(rows: Sequence[Row], most: int) -> list[Row]:
    """At most `most` rows that tell what happened: the first of each base rule (the success after failures), the last, the earliest."""
    firsts: dict[Any, int] = {}
    for number, row in enumerate(rows):
        firsts.setdefault(row.get("rule_id"), number)
    wanted = dict.fromkeys([*firsts.values(), *range(len(rows))[-1:], *range(min(most, len(rows)))])
    return [rows[number] for number in sorted(list(wanted)[:most])]


def _evidence(row: Row) -> EvidenceLine:
    text = str(row.get("event.original") or row.get("message") or "")
    return EvidenceLine(
        id=str(row["event_id"]), time=time_of(row), dataset=first_of(row, ("event.dataset",)), file=first_of(row, ("log.file.path",)),
        offset=row.get("log.offset"), original=text if len(text) <= MAX_TEXT else text[:MAX_TEXT - 1] + "…")
