"""The commands of those who tune detection: what the rules cover, what a change would do, what the sources lack."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from .stopping import stoppable
from .terminal import Json, Lake, out, print_json, settings

if TYPE_CHECKING:
    from .coverage import Threat

app = typer.Typer()


@app.command()
def coverage(
    navigator: Annotated[Path | None, typer.Option(help="Also write ATT&CK Navigator layers: FILE-v19.json and FILE-v18.json.")] = None,
    json: Json = False,
) -> None:
    """Show what the rules cover: each threat with its rules and ATT&CK techniques.

    A layer opens in https://mitre-attack.github.io/attack-navigator/ (Open Existing Layer): the darker a technique, the more rules.

    Example: [bold]hypervigil coverage --navigator coverage.json[/]
    """
    from . import coverage as covering
    from .rulebook import places
    from .sigma.catalogue import load_catalogue

    rules = load_catalogue(places(settings())).watching
    written = covering.write_layers(rules, navigator) if navigator else []
    if json:
        print_json(covering.as_dict(rules) | {"layers": [str(path) for path in written]})
        return
    out.print(_threats(covering.threats(rules)))
    counts = ", ".join(f"{len(covering.techniques(rules, generation))} techniques of ATT&CK v{generation}" for generation in (19, 18))
    out.print(f"{len(rules):,} rules, {counts}", highlight=False)
    for path in written:
        out.print(f"layer: {escape(str(path))}", highlight=False, soft_wrap=True)


@app.command()
def backtest(
    rules: Annotated[list[str] | None, typer.Argument(help="Names, ids, files or folders of rules, also outside detections/. "
                                                           "Default: every rule that is not what made the stored hits.")] = None,
    since: Annotated[str | None, typer.Option(help="Only events from this time on (ISO 8601, UTC). Default: the oldest.")] = None,
    until: Annotated[str | None, typer.Option(help="Only events before this time. Default: the newest.")] = None,
    lake: Lake = None,
    top: Annotated[int, typer.Option(min=1, help="How many hosts, users and VMs to show.")] = 10,
    examples: Annotated[int, typer.Option(min=0, help="How many added and gone lines to show of each rule.")] = 3,
    json: Json = False,
) -> None:
    """Run new or changed rules over the stored events and show what would change; nothing is written.

    What ran before are the hits and alerts that the lake has of a rule. A rule of a file outside detections/ stands in for ours of the same
    id; correlations built upon a rule are judged anew. The range is widened to whole hours, since alerts are counted by fixed hours.

    Example: [bold]hypervigil backtest ./mine/esx_ssh_enabled.yml --since 2026-03-01[/]
    """
    from . import backtest as testing
    from .differences import print_outcome

    wanted = settings(lake=lake, since=since, until=until)
    outcome = stoppable(lambda: testing.backtest(wanted, tuple(rules or ()), top, examples, quiet=json))
    if json:
        print_json(outcome.as_dict())
    else:
        print_outcome(outcome, out)


@app.command()
def readiness(
    lake: Lake = None,
    days: Annotated[int, typer.Option(min=1, help="How many days to look back, from the newest event.")] = 30,
    everything: Annotated[bool, typer.Option("--all", help="Also list the rules that lack nothing but a rare event.")] = False,
    json: Json = False,
) -> None:
    """Show whether the events that each rule needs arrive, and what to switch on at the vendor's side if they do not.

    Ready: its event ids were seen. Ids never seen: its source arrives, these ids did not. That is normal for rare events; where a setting
    brings them and none of its events arrive, the setting is named. Source silent: nothing since. Source never seen.

    Example: [bold]hypervigil readiness --days 7[/]
    """
    from . import readiness as surveying
    from .shortfalls import print_survey

    survey = stoppable(lambda: surveying.readiness(settings(lake=lake), days, quiet=json))
    if json:
        print_json(survey.as_dict())
    else:
        print_survey(survey, out, everything)


def _threats(threats: list[Threat]) -> Table:
    table = Table("threat", "rules", "correlations", "jobs", "levels", "techniques (v19)", box=None, header_style="dim")
    for threat in threats:
        levels = ", ".join(f"{count} {level}" for level, count in threat.levels.items())
        table.add_row(threat.name, str(threat.rules), str(threat.correlations), str(threat.jobs), levels, " ".join(threat.techniques))
    return table
