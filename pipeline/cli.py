"""The `hypervigil` command: thin; each command calls one module and prints what it returns.

Exit codes: 0 clean, 1 error, 3 alerts at or above `--fail-on`.
"""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .errors import HypervigilError
from .terminal import alert_table, print_json

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Detection for the layer under every virtual machine.\n\n"
    "[bold]hypervigil run sample_logs[/] turns a folder of hypervisor logs into alerts and a report;\n"
    "[bold]hypervigil parse FILE[/] shows what one file says, without Spark.",
)
new_app = typer.Typer(no_args_is_help=True, help="Scaffold a parser or a rule that passes `check` and `test` at once.")
app.add_typer(new_app, name="new")

out = Console(width=None if sys.stdout.isatty() else 160)  # a pipe has no width: rich would cut tables to 80
err = Console(stderr=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object with stable keys instead of text.")]
ParserId = Annotated[str | None, typer.Option("--parser", help="Parser id; by default each file (or line) is assigned by its content.")]
Lake = Annotated[str | None, typer.Option(help="Folder or URL of the Delta tables. Default: ./hypervigil-lake, or HYPERVIGIL_LAKE.")]


class Severity(StrEnum):
    """Severities of alerts."""

    informational = "informational"
    low = "low"
    medium = "medium"
    high = "high"
    critical = "critical"


def settings(**given: Any) -> Any:
    """Settings from what was given on the command line; the rest comes from environment, hypervigil.toml and defaults."""
    from .config import Settings

    return Settings(**{name: value for name, value in given.items() if value is not None})


@app.command()
def run(
    inputs: Annotated[list[str], typer.Argument(help="Log files, folders (read recursively) or URLs (s3://, gs://, abfs://, hdfs://).")],
    lake: Lake = None,
    report: Annotated[str | None, typer.Option(help="Where to write the HTML report. Default: report.html in the lake.")] = None,
    parser: ParserId = None,
    timezone: Annotated[str | None, typer.Option(help="Zone of times that carry none, such as Europe/Berlin.")] = None,
    since: Annotated[str | None, typer.Option(help="Alerts and report: only from this time on (ISO 8601, UTC).")] = None,
    until: Annotated[str | None, typer.Option(help="Alerts and report: only before this time.")] = None,
    quality: Annotated[bool, typer.Option(help="Check the written tables with Great Expectations.")] = True,
    strict: Annotated[bool, typer.Option(help="Fail (exit 1) when an expectation fails; refuse content with errors.")] = False,
    fail_on: Annotated[Severity | None, typer.Option(help="Exit 3 when an alert of this severity or above is found.")] = None,
    spark_master: Annotated[str | None, typer.Option(help="Spark master. Default: local[*].")] = None,
    driver_memory: Annotated[str | None, typer.Option(help="Memory of Spark's driver. Default: 2g.")] = None,
    range_bytes: Annotated[int | None, typer.Option(help="Bytes that one task reads. Default: 64 MiB.")] = None,
    batch_bytes: Annotated[int | None, typer.Option(help="Bytes read between two commits. Default: 8 GiB.")] = None,
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
        progress=progress,
    )
    result = spine.run(wanted, quiet=json)
    if json:
        print_json(result.as_dict())
    else:
        if result.alerts:
            out.print(alert_table(result.alerts))
        spine.show(result, out)
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
    from .sigma.load import load_rules

    engine = Engine()
    rules = load_rules().rules if hits else ()
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


def _hits(detector: Any, titles: dict[str, str], events: Any) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for row in detector.detect(events).to_dicts():
        found.setdefault(row["event_index"], []).append(titles[row["rule_id"]])
    return found


@app.command()
def test(
    only: Annotated[str | None, typer.Option(help="Only parsers or rules whose path contains this.")] = None,
    fix_expected: Annotated[
        bool, typer.Option(help="Rewrite the expected events of the samples; read the diff before you commit it.")
    ] = False,
    junit: Annotated[Path | None, typer.Option(help="Also write the results as JUnit XML.")] = None,
    json: Json = False,
) -> None:
    """Run every parser sample and every rule case, without Spark.

    Example: [bold]hypervigil test --only vmware-esxi[/]
    """
    from . import proofs
    from .kernel.engine import Engine

    engine = Engine()
    results = [*proofs.check_samples(engine, only or "", fix=fix_expected), *proofs.check_cases(engine, only or "")]
    failed = [p for p in results if p.problem]
    if junit:
        proofs.junit(results, junit)
    if json:
        print_json(
            {
                "passed": len(results) - len(failed),
                "failed": len(failed),
                "results": [
                    {"suite": p.suite, "name": p.name, "path": str(p.path), "problem": p.problem, "seconds": p.seconds} for p in results
                ],
            }
        )
    for proof in failed:
        err.print(
            f"[red]FAILED[/] {escape(proof.suite)}: {escape(proof.name)} ({escape(str(proof.path))})\n  {escape(str(proof.problem))}",
            highlight=False,
        )
    err.print(f"{len(results) - len(failed)} passed, {len(failed)} failed in {sum(p.seconds for p in results):.1f} s", highlight=False)
    if failed or not results:
        raise typer.Exit(1)


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
) -> None:
    """Write the HTML report of what the lake holds.

    Example: [bold]hypervigil report --lake ./hypervigil-lake --out report.html[/]
    """
    from . import run as spine

    out.print(f"report: {spine.report(settings(lake=lake), output)}", highlight=False)


@app.command()
def replay(lake: Lake = None, json: Json = False) -> None:
    """Parse the quarantined records again after a fix; those that pass become events under the same ids.

    Example: [bold]hypervigil replay --lake ./hypervigil-lake[/]
    """
    from . import run as spine

    result = spine.replay(settings(lake=lake), quiet=json)
    if json:
        print_json(result)
    else:
        out.print(", ".join(f"{value:,} {name}" for name, value in result.items()), highlight=False)


@app.command()
def check(json: Json = False) -> None:
    """Lint the content: parsers, rules, cases, evidence. Every message names file and line.

    Example: [bold]hypervigil check[/]
    """
    from .checking import check_content

    problems, counts = check_content()
    if json:
        print_json({"problems": [{"message": p.message, "path": str(p.path), "line": p.line, "hint": p.hint} for p in problems], **counts})
    for problem in problems:
        err.print(f"[red]{escape(str(problem))}[/]", highlight=False, soft_wrap=True)
    err.print(", ".join(f"{n} {name}" for name, n in counts.items()) + f": {len(problems)} problems", highlight=False)
    if problems:
        raise typer.Exit(1)


@app.command()
def realcheck(
    tree: Annotated[Path, typer.Argument(help="Folder laid out like real_logs: one folder per source.")],
    events: Annotated[Path | None, typer.Option(help="Also write every parsed event as NDJSON to this file.")] = None,
    disagreements: Annotated[Path, typer.Option(help="Where to list the fields in which we and an expectation differ.")] = Path(
        "build/disagreements.tsv"
    ),
    json: Json = False,
) -> None:
    """Measure the parsers on real logs: recognised share, conservation, agreement with others' expected ECS.

    Example: [bold]hypervigil realcheck ../shared/real_logs --json[/]
    """
    from . import realcheck as checking
    from .kernel.engine import Engine

    if not tree.is_dir():
        raise HypervigilError("not a folder", tree)
    if events:
        with events.open("w", encoding="utf-8") as file:
            sources, differences, problems = checking.check_tree(tree, Engine(), file)
    else:
        sources, differences, problems = checking.check_tree(tree, Engine())
    checking.write_disagreements(differences, disagreements)
    if json:
        print_json({"sources": [s.as_dict() for s in sources], "problems": problems, "disagreements": str(disagreements)})
    else:
        out.print(checking.table(sources))
        for problem in problems:
            err.print(f"[yellow]{escape(problem)}[/]", highlight=False)
        out.print(f"{len(differences)} disagreements listed in {disagreements}", highlight=False)
    if not all(s.conserved for s in sources):
        raise typer.Exit(1)


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


@new_app.command("parser")
def new_parser(
    name: Annotated[str, typer.Argument(help="Id with a hyphen: vendor-product.")],
    into: Annotated[Path | None, typer.Option(help="Content folder. Default: parsers/ of this installation.")] = None,
) -> None:
    """Scaffold a parser. Example: [bold]hypervigil new parser acme-hypervisor[/]"""
    from .scaffold import new_parser as make

    _made(make(name, into))


@new_app.command("rule")
def new_rule(
    name: Annotated[str, typer.Argument(help="File name, words joined by underscores.")],
    threat: Annotated[str, typer.Option(help="Folder of detections/, such as vm-escape.")],
    into: Annotated[Path | None, typer.Option(help="Content folder. Default: detections/ of this installation.")] = None,
) -> None:
    """Scaffold a rule. Example: [bold]hypervigil new rule esxi_odd_thing --threat hardening[/]"""
    from .scaffold import new_rule as make

    _made(make(name, threat, into))


def _made(paths: list[Path]) -> None:
    for path in paths:
        out.print(f"made {path}", highlight=False)
    out.print("now: edit it, then hypervigil check && hypervigil test", highlight=False)


def main() -> None:
    """Entry point: own errors become one clear line and exit 1, Ctrl-C exits 130, a closed pipe is no error."""
    try:
        app()
    except HypervigilError as error:
        err.print(f"[red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        err.print("stopped")
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
