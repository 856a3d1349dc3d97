"""The commands of those who tune detection: what the rules cover, what a change would do, what the sources lack."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from .terminal import Json, out, print_json

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
    from .sigma.catalogue import load_catalogue

    rules = load_catalogue().everything
    written = covering.write_layers(rules, navigator) if navigator else []
    if json:
        print_json(covering.as_dict(rules) | {"layers": [str(path) for path in written]})
        return
    out.print(_threats(covering.threats(rules)))
    counts = ", ".join(f"{len(covering.techniques(rules, generation))} techniques of ATT&CK v{generation}" for generation in (19, 18))
    out.print(f"{len(rules):,} rules, {counts}", highlight=False)
    for path in written:
        out.print(f"layer: {escape(str(path))}", highlight=False, soft_wrap=True)


def _threats(threats: list[Threat]) -> Table:
    table = Table("threat", "rules", "correlations", "levels", "techniques (v19)", box=None, header_style="dim")
    for threat in threats:
        levels = ", ".join(f"{count} {level}" for level, count in threat.levels.items())
        table.add_row(threat.name, str(threat.rules), str(threat.correlations), levels, " ".join(threat.techniques))
    return table
