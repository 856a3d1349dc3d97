"""The commands of those who write parsers and rules: test, check, realcheck, new."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from .errors import HypervigilError
from .terminal import Exceptions, FieldMaps, Json, Lists, OtherRules, err, out, print_json, settings

app = typer.Typer()
new_app = typer.Typer(no_args_is_help=True, help="Scaffold a parser or a rule that passes `check` and `test` at once.")
app.add_typer(new_app, name="new")


@app.command()
def test(
    only: Annotated[str | None, typer.Option(help="Only parsers or rules whose path contains this.")] = None,
    fix_expected: Annotated[
        bool, typer.Option(help="Rewrite the expected events of the samples; read the diff before you commit it.")
    ] = False,
    conformance: Annotated[bool, typer.Option(help="Run the Sigma conformance suite instead (tests/conformance, source tree).")] = False,
    junit: Annotated[Path | None, typer.Option(help="Also write the results as JUnit XML.")] = None,
    json: Json = False,
) -> None:
    """Run every parser sample and every rule case, without Spark.

    Example: [bold]hypervigil test --only vmware-esxi[/]
    """
    from . import proofs

    if conformance:
        from .conformance import check_single
        from .conformance_correlations import check_correlations

        results = [*check_single(only or ""), *check_correlations(only or "")]
    else:
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
def check(
    rules: OtherRules = None,
    field_map: FieldMaps = None,
    lists: Lists = None,
    exceptions: Exceptions = None,
    update_lock: Annotated[bool, typer.Option(help="Write detections.lock anew; a rule that changed needs a new custom.version.")] = False,
    json: Json = False,
) -> None:
    """Lint the content: parsers, rules, cases, evidence, and what you add to them. Every message names file and line.

    Example: [bold]hypervigil check --rules ./sigma/rules/linux[/]
    """
    from .checking import check_content

    checked = check_content(settings(rules=rules, field_maps=field_map, lists=lists, exceptions=exceptions), update_lock)
    if json:
        told = {name: [{"message": p.message, "path": str(p.path), "line": p.line, "hint": p.hint} for p in found]
                for name, found in (("problems", checked.problems), ("warnings", checked.warnings))}
        print_json(told | checked.counts)
    for colour, found in (("yellow", checked.warnings), ("red", checked.problems)):
        for each in found:
            err.print(f"[{colour}]{escape(str(each))}[/]", highlight=False, soft_wrap=True)
    counts = ", ".join(f"{n} {name}" for name, n in checked.counts.items())
    err.print(f"{counts}: {len(checked.problems)} problems, {len(checked.warnings)} warnings", highlight=False)
    if checked.problems:
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
