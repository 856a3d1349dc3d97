"""Why a rule did or did not match one event, term by term. The terms are evaluated by the very expressions the detector uses."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import polars as pl
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from ..schema import BY_NAME, Column
from .compile import compile_rule
from .load import Rule
from .terms import TEXT_TYPES, Node, Term, dtype, expression, prepare, terms


@dataclass(frozen=True)
class Explanation:
    """One node: what it asks (`field`, `operator`, `wanted`), what the event has (`actual`) and how it came out.

    `result` is None where the event lacks the field, which counts as false; `matched` is the two-valued outcome. Groups have
    `parts` and a `title` (the selection's name and how its parts are joined), terms have none.
    """

    title: str
    matched: bool
    result: bool | None
    kind: str
    parts: tuple[Explanation, ...] = ()
    field: str = ""
    operator: str = ""
    wanted: tuple[str, ...] = ()
    actual: Any = None

    def why(self) -> list[str]:
        """The deciding terms in words: those that held if it matched, else those that failed."""
        return list(dict.fromkeys(_deciding(self)))


def explain(rule: Rule, event: Mapping[str, Any]) -> Explanation:
    """The tree of a rule for one event (nested or with dotted names). Raises ContentError for a rule that does not compile."""
    node = compile_rule(rule)
    flat = _flatten(event)
    frame = _one_row(flat, node)
    return _explain(node, flat, {term: bool(frame.select(expression(term)).item()) for term in set(terms(node))})


def render(rule: Rule, explanation: Explanation) -> Tree:
    """The explanation as a rich tree. Values are shown as Python literals: log text cannot write to the terminal."""
    verdict = "matches" if explanation.matched else "does not match"
    root = Tree(Text.assemble((rule.title, "bold"), " ", (verdict, "green" if explanation.matched else "red")))
    for line in explanation.why():
        root.add(Text("because " + line, style="italic"))
    _grow(root, explanation)
    return root


def to_text(rule: Rule, explanation: Explanation, width: int = 140) -> str:
    """The same tree as plain text."""
    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(render(rule, explanation))
    return capture.get()


_WORDS = {"all": "all of", "any": "any of", "not": "not"}
_OPERATORS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "regex": "matches regex", "like": "is like", "cidr": "is in network",
              "equals": "is", "missing": "is missing", "exists": "is present"}


def _explain(node: Node, event: Mapping[str, Any], outcome: Mapping[Term, bool]) -> Explanation:
    if isinstance(node, Term):
        actual = event.get(node.field)
        matched = outcome[node]
        asks_presence = node.op in ("missing", "exists")
        operator = _OPERATORS.get(node.op, node.op.replace("_field", " field").replace("equals field", "is the same as"))
        wanted = () if asks_presence else node.written
        return Explanation(
            title=f"{node.field} {node.part or ''}".strip(), matched=matched, kind="term", field=node.field, operator=operator,
            wanted=wanted, actual=actual, result=None if actual is None and not asks_presence else matched)
    parts = tuple(_explain(part, event, outcome) for part in node.parts)
    held = [part.matched for part in parts]
    matched = not held[0] if node.kind == "not" else all(held) if node.kind == "all" else any(held)
    title = f"{node.label}: {_WORDS[node.kind]}" if node.label and not node.label.startswith(_WORDS[node.kind]) else _WORDS[node.kind]
    return Explanation(title=title, matched=matched, result=matched, kind=node.kind, parts=parts)


def _deciding(node: Explanation) -> Iterator[str]:
    if node.kind == "term":
        yield _sentence(node)
    elif node.kind == "not":
        yield from _deciding(node.parts[0])
    else:
        # `all` fails by the parts that fail and holds by all its parts; `any` holds by the parts that hold and fails by all.
        for part in node.parts:
            if part.matched == node.matched:
                yield from _deciding(part)


def _sentence(node: Explanation) -> str:
    quoted = BY_NAME[node.field].type in TEXT_TYPES
    shown = [repr(value) if quoted else value for value in node.wanted[:5]]
    wanted = " or ".join([*shown, f"{len(node.wanted) - 5} more"] if len(node.wanted) > 5 else shown)
    ask = f"{node.title} {node.operator} {wanted}".rstrip()
    if node.actual is None:
        return f"{ask}: {'yes' if node.matched else 'no'}, the event has no {node.field}"
    return f"{ask}: {'yes' if node.matched else 'no'}, it is {_shown(node.actual)}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}... ({len(text)} characters)"


def _grow(tree: Tree, node: Explanation) -> None:
    mark, style = ("✓", "green") if node.matched else ("✗", "red") if node.result is not None else ("∅", "yellow")
    label = _sentence(node) if node.kind == "term" else node.title
    branch = tree.add(Text.assemble((mark, style), " ", label))
    for part in node.parts:
        _grow(branch, part)


# --- the event as a frame of one row ------------------------------------------------------------------------------------------


def _flatten(event: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in event.items():
        name = prefix + key
        if isinstance(value, Mapping) and name not in BY_NAME:
            flat |= _flatten(value, name + ".")
        else:
            flat[name] = value
    return flat


def _one_row(event: Mapping[str, Any], node: Node) -> pl.DataFrame:
    wanted = set(terms(node))
    columns = {term.field for term in wanted} | {str(t.values[0]) for t in wanted if t.op.endswith("_field")}
    row = pl.DataFrame([pl.Series(name, [_typed(event.get(name), BY_NAME[name])], dtype=dtype(BY_NAME[name]), strict=False)
                        for name in sorted(columns)])
    return prepare(row, wanted)


def _typed(value: Any, column: Column) -> Any:
    if value is None:
        return None
    if column.many:
        return list(value) if isinstance(value, list | tuple) else [value]
    if column.type == "date" and isinstance(value, str):
        with suppress(ValueError):
            moment = dt.datetime.fromisoformat(value)
            return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
        return None
    return str(value) if dtype(column) == pl.String else value
