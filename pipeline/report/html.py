"""Renders alerts and figures to one HTML file that needs no network.

Log text is hostile. Four things keep it text: Jinja escapes every value; hidden characters are made visible (finalize); JSON is
embedded with `<`, `>` and `&` escaped; and the page's policy allows only the script and the style with our own hashes.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from ..alerts import SEVERITIES, Alert, rank
from ..sigma.attack import RuleTags, older, technique
from ..text import visible
from . import attack
from .details import told
from .drawing import span
from .figures import Figures
from .pictures import picture
from .timeline import timeline

HERE = Path(__file__).parent / "templates"
PAGE = 100  # alerts in the document itself; the others wait in the embedded JSON until they are wanted
LEAD = 4
TOP = 8
MAX_SEARCH = 2000
BIG_REPORT, EVIDENCE_IN_BIG = 1000, 3
MOST = 10_000  # alerts that a browser opens and filters at ease; all of them would be 5 KB each
_WORST_FIRST = SEVERITIES[::-1]


def render(alerts: Sequence[Alert], figures: Mapping[str, Any] | Figures, out: Path, rules: Iterable[RuleTags] = ()) -> Path:
    """Write the report to `out` (replaced in one step, so a reader never sees half a page) and return the path.

    `figures` has the keys `run`, `sources` and `quarantine` (see figures.py); missing keys are left out of the page. `rules`: what watches,
    for the matrix of techniques.
    Raises pydantic.ValidationError on figures of a wrong type and OSError if the file cannot be written.
    """
    text = page(alerts, figures if isinstance(figures, Figures) else Figures.model_validate(figures), rules)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(out.name + ".part")
    part.write_text(text, encoding="utf-8", newline="\n")
    os.replace(part, out)
    return out


def page(alerts: Sequence[Alert], figures: Figures, rules: Iterable[RuleTags] = ()) -> str:
    """The text of the report."""
    environment = _environment()
    ordered = sorted((alert for alert in alerts if not alert.suppressed), key=rank)
    silenced = sorted((alert for alert in alerts if alert.suppressed), key=rank)
    listed = ordered[:MOST]
    style, script = (_asset(name) for name in ("style.css", "script.js"))
    row: Callable[..., Markup] = environment.get_template("alert.html.j2").module.alert_row  # type: ignore[attr-defined]
    evidence = EVIDENCE_IN_BIG if len(ordered) > BIG_REPORT else None
    choices = {name: _choices(listed, values) for name, values in _FILTERS.items()}
    return environment.get_template("report.html.j2").render(
        figures=figures, alerts=ordered, total=len(ordered), lead=_lead(ordered), headline=_headline(ordered),
        tally=_tally(ordered), choices=choices, index=_index(listed, choices), unlisted=len(ordered) - len(listed),
        suppressed=len(silenced), quiet=[row(alert, EVIDENCE_IN_BIG) for alert in silenced[:PAGE]],
        rows=[row(alert, evidence) for alert in listed[:PAGE]], rest=[str(row(alert, evidence)) for alert in listed[PAGE:]],
        timeline=timeline(ordered), matrices=attack.matrices(ordered, rules), machines=_touched(ordered, lambda a: a.entities.host),
        people=_touched(ordered, lambda a: a.entities.user), style=Markup(style), script=Markup(script), policy=_policy(style, script))


# --- what the first screen says -----------------------------------------------------------------------------------------------


def _lead(ordered: Sequence[Alert]) -> list[Alert]:
    """The alerts to look at first: the first of each rule, so that one noisy rule does not fill the screen."""
    firsts: dict[str, Alert] = {}
    for alert in ordered:
        firsts.setdefault(alert.rule.id, alert)
    return list(firsts.values())[:LEAD]


def _tally(ordered: Sequence[Alert]) -> list[tuple[str, int, float, float]]:
    """(severity, alerts, start and width in percent of the bar), worst first."""
    counts = Counter(alert.severity for alert in ordered)
    parts: list[tuple[str, int, float, float]] = []
    start = 0.0
    for severity in _WORST_FIRST:
        width = 100 * counts[severity] / max(len(ordered), 1)
        parts.append((severity, counts[severity], round(start, 3), round(width, 3)))
        start += width
    return parts


def _headline(ordered: Sequence[Alert]) -> str:
    counts = Counter(alert.severity for alert in ordered)
    named = [f"{counts[severity]:,} {severity}" for severity in _WORST_FIRST if counts[severity]][:2]
    if not named:
        return "No alerts"
    noun = "alert" if len(ordered) == 1 else "alerts"
    return f"{' and '.join(named)} {noun}"


def _touched(ordered: Sequence[Alert], values: Callable[[Alert], Iterable[str]]) -> list[tuple[str, str, int]]:
    """(name, worst severity, alerts) of what the alerts name: worst first, then by the number of alerts that bad, then of all."""
    found: dict[str, list[str]] = {}
    for alert in ordered:
        for value in values(alert):
            found.setdefault(value, []).append(alert.severity)
    worst = {name: min(severities, key=_WORST_FIRST.index) for name, severities in found.items()}
    order = sorted(found, key=lambda name: (_WORST_FIRST.index(worst[name]), -found[name].count(worst[name]), -len(found[name]), name))
    return [(name, worst[name], len(found[name])) for name in order[:TOP]]


# --- filters ------------------------------------------------------------------------------------------------------------------

_FILTERS: dict[str, Callable[[Alert], Iterable[str]]] = {
    "threat": lambda alert: (alert.rule.threat,), "host": lambda alert: alert.entities.host, "source": lambda alert: alert.datasets}


def _choices(ordered: Sequence[Alert], values: Callable[[Alert], Iterable[str]]) -> dict[str, int]:
    """Number of each value, in order of names. The page refers to values by number only."""
    return {name: number for number, name in enumerate(sorted({value for alert in ordered for value in values(alert)}))}


def _index(ordered: Sequence[Alert], choices: Mapping[str, Mapping[str, int]]) -> list[dict[str, Any]]:
    """What the script needs to filter and sort, one entry per alert."""
    return [{
        "id": alert.id, "severity": alert.severity, "time": alert.last.timestamp(), "text": _search_text(alert),
        **{name: [choices[name][value] for value in values(alert)] for name, values in _FILTERS.items()}} for alert in ordered]


def _search_text(alert: Alert) -> str:
    entities = alert.entities
    names = [name for key in alert.attack.v19 if (name := technique(key).name)]
    parts = [alert.rule.name, alert.rule.id, alert.rule.path, alert.explanation, alert.id, *entities.user, *entities.host, *entities.vm,
             *entities.source_ip, *alert.attack.v19, *alert.attack.v18, *names, *alert.datasets, *(e.original for e in alert.evidence)]
    return visible("\n".join(parts)[:MAX_SEARCH].lower())


# --- the environment ----------------------------------------------------------------------------------------------------------


@cache
def _environment() -> Environment:
    environment = Environment(loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
                              lstrip_blocks=True, finalize=_finalize)
    environment.filters |= {"number": _number, "figure": _figure, "utc": _utc, "few": _few, "ticks": _ticks, "span": span, "told": told}
    environment.globals |= {"picture": picture, "technique": technique, "older": older}
    return environment


def _finalize(value: object) -> object:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _number(value: float) -> str:
    return f"{value:,.0f}"


def _figure(value: float) -> str:
    return f"{value:,.6g}"


def _utc(when: datetime) -> str:
    return f"{when.astimezone(UTC) if when.tzinfo else when:%Y-%m-%d %H:%M:%S}"


def _few(values: Sequence[str], most: int = 3) -> str:
    more = f" and {len(values) - most:,} more" if len(values) > most else ""
    return ", ".join(values[:most]) + more


def _ticks(text: str) -> Markup:
    """Words of a rule's author with `commands` between backticks set as code."""
    parts = [escape(visible(part)) for part in re.split(r"`([^`]+)`", text)]
    return Markup("").join(Markup("<code>{}</code>").format(part) if number % 2 else part for number, part in enumerate(parts))


@cache
def _asset(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """Content-Security-Policy: nothing but our own style and script, by hash."""
    style_hash, script_hash = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script))
    return (f"default-src 'none'; style-src 'sha256-{style_hash}'; script-src 'sha256-{script_hash}'; img-src data:; "
            "base-uri 'none'; form-action 'none'")
