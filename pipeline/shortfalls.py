"""Readiness in tables: the sources, the rules that lack something, and the settings that would bring it."""

from __future__ import annotations

from collections import Counter
from textwrap import indent

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from .needs import Need, Ready, Survey

_COLOURS = {"ready": "green", "ids never seen": "yellow", "source silent": "red", "source never seen": "red"}


def print_survey(survey: Survey, out: Console, everything: bool = False) -> None:
    """The survey for people; rules that only wait for rare events are counted, not listed, unless `everything` is wanted."""
    since, newest = (f"{time:%Y-%m-%d %H:%M}" for time in (survey.since, survey.newest))
    out.print(f"from {since} to {newest} UTC, the time of the newest event", highlight=False)
    out.print(Group(Text(), _sources(survey)))
    lacking = [ready for ready in survey.rules if ready.state != "ready"]
    shown = [ready for ready in lacking if everything or not ready.normal]
    if shown:
        out.print(Group(Text(), _rules(shown)))
    if len(shown) < len(lacking):
        out.print(f"\n{len(lacking) - len(shown):,} more rules lack nothing but the event: it is rare (--all lists them)", highlight=False)
    needs = Counter(need for ready in lacking for need in ready.missing)
    if needs:
        out.print(Text("\nto switch on at the vendor's side (of several that one rule lacks, one is enough)", "bold"))
    for need, rules in needs.most_common():
        out.print(Text.assemble((f"\n{need.parser}: {need.title}", "bold"), f" ({rules} {'rule' if rules == 1 else 'rules'})"))
        out.print(Text(indent(need.enable, "  ")), soft_wrap=True)
    out.print("\n" + ", ".join(f"{count:,} {state}" for state, count in survey.counts.items()), highlight=False)


def _sources(survey: Survey) -> Table:
    table = Table("source", "dataset", "state", "last seen (UTC)", box=None, header_style="dim")
    table.add_column("events", justify="right")
    for source in survey.sources:
        last = f"{source.last:%Y-%m-%d %H:%M}" if source.last else "–"
        table.add_row(source.parser, source.dataset, Text(source.state, _COLOURS[source.state]), last, f"{source.events:,}")
    return table


def _rules(lacking: list[Ready]) -> Table:
    table = Table("rule", "state", "what it means", "last seen (UTC)", box=None, header_style="dim")
    for ready in lacking:
        last = f"{ready.last:%Y-%m-%d %H:%M}" if ready.last else "–"
        table.add_row(Text(ready.name), Text(ready.state, "dim" if ready.normal else _COLOURS[ready.state]), Text(_meaning(ready)), last)
    return table


def _meaning(ready: Ready) -> str:
    if ready.waits_for:
        more = f" and {len(ready.waits_for) - 3} more" if len(ready.waits_for) > 3 else ""
        return f"waits for {', '.join(ready.waits_for[:3])}{more}"
    if ready.normal:
        return "rare: nothing but the event itself is missing"
    if ready.state == "ids never seen":
        return "missing: " + " or ".join(dict.fromkeys(need.title for need in ready.missing))
    if ready.state == "source silent":
        return f"{_sources_of(ready.missing)} stopped"
    return f"{_sources_of(ready.missing) or 'no parser reads its log source'}"


def _sources_of(needs: tuple[Need, ...]) -> str:
    return " and ".join(dict.fromkeys(need.title for need in needs))
