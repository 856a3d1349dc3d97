"""What the command prints: the table of alerts for people, JSON for machines; and options that several commands share."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from .alerts import Alert, rank
from .errors import HypervigilError
from .text import one_line, visible

if TYPE_CHECKING:
    from .run import Result

out = Console(width=None if sys.stdout.isatty() else 160)  # a pipe has no width: rich would cut tables to 80
err = Console(stderr=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object with stable keys instead of text.")]
Lake = Annotated[str | None, typer.Option(help="Folder or URL of the Delta tables. Default: ./hypervigil-lake, or HYPERVIGIL_LAKE.")]
Since = Annotated[str | None, typer.Option(help="Alerts and report: only from this time on (ISO 8601, UTC).")]
Until = Annotated[str | None, typer.Option(help="Alerts and report: only before this time.")]
ParserId = Annotated[str | None, typer.Option("--parser", help="Parser id; by default each file (or line) is assigned by its content.")]

OtherRules = Annotated[list[str] | None, typer.Option("--rules", help="File or folder of other people's Sigma rules; repeatable.")]
FieldMaps = Annotated[list[str] | None, typer.Option("--field-map", help="File or folder that maps their fields to ours; repeatable.")]
Lists = Annotated[str | None, typer.Option(help="Folder of value lists that replace ours of the same names.")]
Exceptions = Annotated[str | None, typer.Option(help="Your exceptions. Default: exceptions.yml here, if there is one.")]
Context = Annotated[str | None, typer.Option(help="Folder with what you know of the site: inventories, tenants, policy; see "
                                                  "`hypervigil context check --help`.")]
GeoIp = Annotated[list[str] | None, typer.Option("--geoip", help="GeoIP file of MaxMind's format (.mmdb) or folder of them; repeatable.")]

MANY = 5  # files that one reason is told of one by one
_COLOURS = {"critical": "bold white on red", "high": "bold red", "medium": "yellow", "low": "cyan", "informational": "dim"}


def settings(**given: Any) -> Any:
    """Settings from what was given on the command line; the rest comes from environment, hypervigil.toml and defaults.

    Raises HypervigilError that names the setting which is wrong.
    """
    from pydantic import ValidationError

    from .config import Settings

    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        hint = f"--{name.replace('_', '-')}, HYPERVIGIL_{name.upper()} or hypervigil.toml"
        raise HypervigilError(f"{name} = {first['input']!r}: {first['msg']}", hint=hint) from None
    except ValueError as error:  # of the TOML reader
        raise HypervigilError(f"not valid TOML: {error}", "hypervigil.toml") from None


def alert_table(alerts: Sequence[Alert]) -> Table:
    """The alerts to look at, most urgent first: what happened, where, by whom, from where, how often."""
    table = Table("severity", "what happened", "host", "user", "vm", "events", "first seen (UTC)", box=None, header_style="dim")
    for alert in sorted(alerts, key=rank):
        people, machines, guests = (_few(names) for names in (alert.entities.user, alert.entities.host, alert.entities.vm))
        table.add_row(
            Text(alert.severity, _COLOURS[alert.severity]),
            alert.rule.name,
            machines,
            people,
            guests,
            str(alert.count),
            f"{alert.first:%Y-%m-%d %H:%M:%S}",
        )
    return table


def _few(names: tuple[str, ...]) -> str:
    return escape(visible(", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")))


def show(result: Result) -> None:
    """The outcome of a run in a few lines."""
    numbers = result.figures["run"]
    out.print(f"{numbers['lines']:,} lines of {numbers['files']:,} files = {numbers['events']:,} events + {numbers['joined']:,} joined + "
              f"{numbers['quarantined']:,} quarantined; {numbers['lines_per_s']:,.0f} lines/s", highlight=False)
    for reason, paths in _by_reason(result.figures["problems"]).items():
        shown = [one_line(path, 1000) for path in paths[:MANY]]
        rest = [f"{len(paths) - MANY:,} more files (--json names all)"] if len(paths) > MANY else []
        for path in shown + rest:
            out.print(f"[yellow]not read[/] {escape(path)}: {escape(one_line(reason, 1000))}", highlight=False, soft_wrap=True)
    if failed := result.figures.get("quality", {}).get("failed"):
        out.print(f"[yellow]quality[/] {escape('; '.join(failed))}", highlight=False, soft_wrap=True)
    for old in result.figures.get("exceptions", {}).get("expired", []):
        told = f"{old['path']}:{old['line']}: {old['rule']}, {old['owner']}, until {old['expires']}: {old['reason']}"
        out.print(f"[yellow]expired exception[/] {escape(one_line(told, 1000))}", highlight=False, soft_wrap=True)
    suppressed = f", {len(result.suppressed):,} suppressed by exceptions" if result.suppressed else ""
    out.print(f"{len(result.alerts):,} alerts{suppressed}; report: {escape(str(result.report))}", highlight=False, soft_wrap=True)


def _by_reason(problems: Iterable[Mapping[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for problem in problems:
        found.setdefault(problem["reason"], []).append(problem["path"])
    return found


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode() + "\n")
