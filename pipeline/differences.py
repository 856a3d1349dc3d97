"""A backtest in tables: what each rule did before and does now, by day, by entity, and lines to look at."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from .comparison import Compared, Difference, Effect, Outcome
from .text import one_line

QUIET = "no rule differs from what made the stored hits; name rules, files or folders to run them anyway"
_SIGNS = {"added": ("+", "green"), "gone": ("-", "red")}
_COUNTS = ("before", "after", "added", "gone")


def print_outcome(outcome: Outcome, out: Console) -> None:
    """The whole outcome for people."""
    if not outcome.rules or outcome.since is None or outcome.until is None:
        out.print(QUIET, highlight=False)
        return
    since, until = (f"{time:%Y-%m-%d %H:%M}" for time in (outcome.since, outcome.until))
    out.print(f"{outcome.events:,} events from {since} to {until} UTC", highlight=False)
    changed = [rule for rule in outcome.rules if rule.changes or rule.alerts is None]
    if changed:
        out.print(Group(Text(), _rules(changed), Text(), _days(outcome)))
        for title, found in (("hits by entity", outcome.hits), ("alerts by entity", outcome.alerts)):
            if any(found.by_entity.values()):
                out.print(Group(Text(), _entities(title, found)))
        for line in _examples(changed):
            out.print(line, soft_wrap=True)
        out.print()
    same = len(outcome.rules) - len(changed)
    out.print(f"{len(changed):,} rules make a difference, {same:,} make none", highlight=False)


def _rules(rules: list[Effect]) -> Table:
    table = _table("rule", "since then", *(f"hits {name}" for name in _COUNTS), *(f"alerts {name}" for name in _COUNTS))
    for rule in rules:
        alerts = _cells(rule.alerts) if rule.alerts else [Text("too many", "dim"), Text(), Text(), Text()]
        table.add_row(Text(rule.name), Text(rule.change, "dim"), *_cells(rule.hits), *alerts)
    return table


def _days(outcome: Outcome) -> Table:
    table = _table("day", *(f"hits {name}" for name in _COUNTS), *(f"alerts {name}" for name in _COUNTS))
    for day, hits, alerts in outcome.days:
        table.add_row(Text(str(day)), *_cells(hits), *_cells(alerts))
    return table


def _entities(title: str, found: Compared) -> Table:
    table = _table(title, "", *_COUNTS)
    for kind, entities in found.by_entity.items():
        for name, difference in entities.items():
            table.add_row(Text(kind, "dim"), Text(one_line(name, 60)), *_cells(difference))
    return table


def _examples(rules: list[Effect]) -> Iterator[Text]:
    """The lines are hostile text: made one printable line each."""
    for rule in rules:
        if rule.examples:
            yield Text()
            yield Text(f"{rule.name}: {one_line(rule.title, 200)}", "bold")
        for state, (sign, colour) in _SIGNS.items():
            for example in rule.examples.get(state, ()):
                where = f" {one_line(example.host, 60)}" if example.host else ""
                yield Text.assemble((f"{sign} {example.time:%Y-%m-%d %H:%M:%S}{where} ", colour), one_line(example.line, 400))


def _table(*columns: str) -> Table:
    """A table whose columns of counts stand at the right."""
    table = Table(box=None, header_style="dim")
    for name in columns:
        table.add_column(name, justify="right" if name.endswith(_COUNTS) else "left")
    return table


def _cells(found: Difference | None) -> list[Text]:
    if found is None:
        return [Text("–", "dim")] * 4
    counts = (found.before, found.after, found.added, found.gone)
    styles = ("", "", "green" if found.added else "dim", "red" if found.gone else "dim")
    return [Text(f"{count:,}", style) for count, style in zip(counts, styles, strict=True)]
