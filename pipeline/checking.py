"""`hypervigil check`: what can be wrong with content, found without running it: parsers, tables, samples, rules, cases, evidence."""

from __future__ import annotations

import re
from pathlib import Path

from . import content
from .checking_rules import Checked, check_rules
from .config import Settings
from .errors import ContentError
from .families import NAME, load_families
from .kernel.facts import read_facts
from .kernel.spec import ParserSpec, load_parser


def check_content(settings: Settings | None = None, lock: bool = False) -> Checked:
    """All problems of the content folders and of what a user adds to them; `lock`: write detections.lock anew."""
    problems: list[ContentError] = []
    specs: list[ParserSpec] = []
    for path in sorted(content.folder("parsers").glob("*/parser.yml")):
        try:
            specs.append(load_parser(path))
        except ContentError as error:
            problems.append(error)
    for spec in specs:
        problems += check_parser(spec)
    problems += check_facts(content.folder("parsers") / "facts.csv", specs)
    rules = check_rules(settings or Settings(), lock)
    forms = sum(len(stage.forms) for spec in specs for stage in spec.stages)
    return Checked([*problems, *rules.problems], rules.warnings, {"parsers": len(specs), "forms": forms} | rules.counts)


def check_parser(spec: ParserSpec) -> list[ContentError]:
    """Every form shows the line it matches; every parser has samples with expected events; form ids are unique within a stage."""
    problems = []
    for number, stage in enumerate(spec.stages):
        seen: set[str] = set()
        for index, form in enumerate(stage.forms):
            keys = ("stages", number, "forms", index)
            if form.example is None:
                problems.append(_at(spec, keys, f"form {form.id} has no example line", "add `example:` with a line that it matches"))
            if form.id in seen:
                problems.append(_at(spec, keys, f"form id {form.id!r} twice in stage {stage.name}", "rename one"))
            seen.add(form.id)
    samples = [p for p in spec.folder.glob("samples/*") if not p.name.endswith(".expected.json")]
    if not samples:
        problems.append(
            ContentError("no samples", spec.folder / "samples", hint="add lines of each form, then hypervigil test --fix-expected")
        )
    problems += [
        ContentError("no expected events beside it", p, hint="hypervigil test --fix-expected, then read what it wrote")
        for p in sorted(samples)
        if not _expected(p).exists()
    ]
    return [*problems, *check_families(spec)]


def check_families(spec: ParserSpec) -> list[ContentError]:
    """The settings that bring its events read well and have ids of their own."""
    try:
        ids = [family.id for family in load_families(spec).families]
    except ContentError as error:
        return [error]
    twice = sorted({each for each in ids if ids.count(each) > 1})
    return [ContentError(f"family {each!r} twice", spec.folder / NAME, 1, "rename one") for each in twice]


def check_facts(path: Path, specs: list[ParserSpec]) -> list[ContentError]:
    """The table of facts reads well, and each of its actions is one that a parser or its tables name: a typing error would never meet."""
    if not path.exists():
        return []
    try:
        facts = read_facts(path)
    except ContentError as error:
        return [error]
    texts = [file.read_text(encoding="utf-8") for spec in specs for file in (spec.folder / "parser.yml", *spec.folder.glob("tables/*.csv"))]
    known = {word for text in texts for word in re.split(r"[^\w.-]+", text)}
    return [
        ContentError(f"no parser gives event.action {action!r}", path, line, "see event.action in `hypervigil parse FILE`")
        for line, action in enumerate(facts, 2)
        if action not in known
    ]


def _expected(sample: Path) -> Path:
    return sample.with_name(sample.name.removesuffix(sample.suffix) + ".expected.json")


def _at(spec: ParserSpec, keys: tuple[str | int, ...], message: str, hint: str) -> ContentError:
    path = spec.folder / "parser.yml"
    return ContentError(message, path, content.line_of(path, keys), hint)
