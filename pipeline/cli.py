"""The `hypervigil` command: thin; each command calls one module and prints what it returns.

Exit codes: 0 clean, 1 error, 3 alerts at or above `--fail-on`, 130 Ctrl-C.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from . import authoring, placing, tuning
from .errors import HypervigilError, Stopped
from .stopping import stoppable
from .terminal import (
    Context,
    Exceptions,
    FieldMaps,
    GeoIp,
    Json,
    Lake,
    Lists,
    OtherRules,
    ParserId,
    Since,
    Until,
    alert_table,
    err,
    out,
    print_json,
    settings,
    show,
)

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Detection for the layer under every virtual machine.\n\n"
    "[bold]hypervigil run sample_logs[/] turns a folder of hypervisor logs into alerts and a report;\n"
    "[bold]hypervigil parse FILE[/] shows what one file says, without Spark.",
)
app.add_typer(authoring.app)
app.add_typer(tuning.app)
app.add_typer(placing.app)


class Severity(StrEnum):
    """Severities of alerts."""

    informational = "informational"
    low = "low"
    medium = "medium"
    high = "high"
    critical = "critical"


@app.command()
def run(
    inputs: Annotated[list[str], typer.Argument(help="Log files, folders (read recursively) or URLs (s3://, gs://, abfs://, hdfs://).")],
    lake: Lake = None,
    report: Annotated[str | None, typer.Option(help="Where to write the HTML report. Default: report.html in the lake.")] = None,
    rules: OtherRules = None,
    field_map: FieldMaps = None,
    lists: Lists = None,
    exceptions: Exceptions = None,
    context: Context = None,
    geoip: GeoIp = None,
    parser: ParserId = None,
    timezone: Annotated[str | None, typer.Option(help="Zone of times that carry none, such as Europe/Berlin.")] = None,
    since: Since = None,
    until: Until = None,
    quality: Annotated[bool, typer.Option(help="Check the written tables with Great Expectations.")] = True,
    strict: Annotated[bool, typer.Option(help="Fail (exit 1) when an expectation fails; refuse content with errors.")] = False,
    fail_on: Annotated[Severity | None, typer.Option(help="Exit 3 when an alert of this severity or above is found.")] = None,
    spark_master: Annotated[str | None, typer.Option(help="Spark master. Default: local[*].")] = None,
    driver_memory: Annotated[str | None, typer.Option(help="Memory of Spark's driver. Default: 2g.")] = None,
    range_bytes: Annotated[int | None, typer.Option(help="Bytes that one task reads. Default: 64 MiB.")] = None,
    batch_bytes: Annotated[int | None, typer.Option(help="Bytes read between two commits. Default: 8 GiB.")] = None,
    spark_log: Annotated[str | None, typer.Option(help="File for what Spark has to say, stack traces included. Default: nowhere.")] = None,
    progress: Annotated[bool | None, typer.Option(help="Show a progress bar. Default: on a terminal.")] = None,
    json: Json = False,
) -> None:
    """Parse, detect and report: the whole pipeline on Spark, idempotent.

    Example: [bold]hypervigil run /var/log/remote --fail-on high[/]
    """
    from . import run as spine

    wanted = settings(
        inputs=tuple(inputs),
        lake=lake,
        report=report,
        rules=rules,
        field_maps=field_map,
        lists=lists,
        exceptions=exceptions,
        context=context,
        geoip=geoip,
        parser=parser,
        timezone=timezone,
        since=since,
        until=until,
        quality=None if quality else False,
        strict=strict or None,
        fail_on=fail_on.value if fail_on else None,
        spark_master=spark_master,
        driver_memory=driver_memory,
        range_bytes=range_bytes,
        batch_bytes=batch_bytes,
        spark_log=spark_log,
        progress=progress,
    )
    result = stoppable(lambda: spine.run(wanted, quiet=json))
    if json:
        print_json(result.as_dict())
    else:
        if result.alerts:
            out.print(alert_table(result.alerts))
        show(result)
    levels = [level.value for level in Severity]
    if wanted.fail_on and any(levels.index(a.severity) >= levels.index(wanted.fail_on) for a in result.alerts):
        raise typer.Exit(3)


@app.command()
def parse(
    file: Annotated[Path, typer.Argument(help="A log file: plain, gzip, zstd, UTF-16; `-` reads standard input.")],
    parser: ParserId = None,
    hits: Annotated[bool, typer.Option(help="Also name the rules that match each event.")] = False,
) -> None:
    """Print the events of one file without Spark: readable on a terminal, NDJSON in a pipe.

    Example: [bold]hypervigil parse /var/log/hostd.log | jq 'select(.user.name=="root")'[/]
    """
    from datetime import UTC, datetime

    from .events import ndjson, readable, to_dicts
    from .kernel.engine import Engine

    engine = Engine()
    rules = _usable_rules() if hits else ()
    detector, titles = engine.detector(rules), {rule.id: rule.title for rule in rules}
    batches = (
        engine.process_bytes(sys.stdin.buffer.read(), datetime.now(UTC), "-", parser)
        if str(file) == "-"
        else engine.process_file(str(file), parser=parser)
    )
    lines = events = joined = quarantined = recognised = 0
    for batch in batches:
        matched = _hits(detector, titles, batch.events) if hits else {}
        for number, event in enumerate(to_dicts(batch.events)):
            if number in matched:
                event["hits"] = matched[number]
            if out.is_terminal:
                out.print(readable(event), *([", ".join(matched[number])] if number in matched else []))
            else:
                sys.stdout.write(ndjson(event) + "\n")
        for row in batch.quarantine.to_dicts():
            err.print(f"[yellow]quarantined[/] {escape(str(file))} byte {row['offset']}: {escape('; '.join(row['reasons']))}")
        lines += batch.lines
        joined += batch.joined
        events += batch.events.height
        quarantined += batch.quarantine.height
        recognised += int(batch.events.get_column("_recognised").sum()) if batch.events.height else 0
    err.print(
        f"{lines:,} lines = {events:,} events + {joined:,} joined + {quarantined:,} quarantined; {recognised:,} recognised", highlight=False
    )


def _usable_rules() -> Any:
    from .rulebook import places
    from .sigma.catalogue import load_catalogue
    from .sigma.compile import usable

    catalogue = load_catalogue(places(settings()))
    rules, refused = usable(catalogue.rules)
    for error in (*catalogue.errors, *refused):
        err.print(f"[yellow]left out[/] {escape(str(error))}", highlight=False, soft_wrap=True)
    return rules


def _hits(detector: Any, titles: dict[str, str], events: Any) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for row in detector.detect(events).to_dicts():
        found.setdefault(row["event_index"], []).append(titles[row["rule_id"]])
    return found


@app.command()
def explain(
    rule: Annotated[str, typer.Argument(help="A rule: its id, or part of its file name.")],
    event: Annotated[Path, typer.Argument(help="A file with raw log lines, or with one event as JSON; `-` reads standard input.")],
    parser: ParserId = None,
) -> None:
    """Show term by term why a rule did or did not match.

    Example: [bold]hypervigil explain esxi_vm_kill hostd.log[/]
    """
    from . import explaining

    for tree in explaining.explain_text(rule, sys.stdin.buffer.read() if str(event) == "-" else explaining.read(event), parser):
        out.print(tree)


@app.command()
def report(
    lake: Lake = None,
    output: Annotated[Path, typer.Option("--out", help="The HTML file to write.")] = Path("report.html"),
    since: Since = None,
    until: Until = None,
) -> None:
    """Write the HTML report of what the lake holds.

    Example: [bold]hypervigil report --lake ./hypervigil-lake --since 2026-03-01 --out report.html[/]
    """
    from . import run as spine

    written = stoppable(lambda: spine.report(settings(lake=lake, since=since, until=until), output))
    out.print(f"report: {escape(str(written))}", highlight=False, soft_wrap=True)


@app.command()
def replay(lake: Lake = None, json: Json = False) -> None:
    """Parse the quarantined records again after a fix; those that pass become events under the same ids.

    Example: [bold]hypervigil replay --lake ./hypervigil-lake[/]
    """
    from . import run as spine

    result = stoppable(lambda: spine.replay(settings(lake=lake), quiet=json))
    if json:
        print_json(result)
    else:
        out.print(", ".join(f"{value:,} {name}" for name, value in result.items()), highlight=False)


@app.command()
def sources(json: Json = False) -> None:
    """List the supported log sources and what must be switched on at the vendor's side.

    Example: [bold]hypervigil sources[/]
    """
    from .kernel.spec import load_parsers

    specs = load_parsers().values()
    if json:
        print_json([{"id": s.id, "title": s.title, "dataset": s.dataset, "logsource": s.logsource, "enable": s.enable} for s in specs])
        return
    table = Table("parser", "what it reads", "what to switch on", show_lines=True)
    for spec in specs:
        table.add_row(spec.id, f"{spec.title}\n[dim]{escape(spec.description)}[/]", escape(spec.enable.strip()))
    out.print(table)


def main() -> None:
    """Entry point: own errors become one clear message and exit 1, Ctrl-C exits 130."""
    try:
        app()
    except Stopped as error:
        err.print(f"stopped: {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(130)
    except HypervigilError as error:
        err.print(f"[red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        for note in getattr(error, "__notes__", []):
            err.print(escape(note), highlight=False, soft_wrap=True)
        sys.exit(1)
    except OSError as error:
        err.print(f"[red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(1)
