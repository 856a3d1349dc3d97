"""YAML documents that know the line of each of their keys, so that an error can name it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from ..errors import ContentError

KeyPath = tuple[str | int, ...]
SPECIFICATION = "see https://sigmahq.io/docs/basics/rules.html"
_YAML = "look at brackets, indentation and quotes on this line and the one before"


@dataclass(frozen=True)
class Document:
    """One YAML document: its data, its file, and the line of every key.

    `data` may be what was made of the file's text: value lists written out, fields mapped. `written` is what the file says.
    """

    path: Path
    data: dict[str, Any]
    lines: Mapping[KeyPath, int] = field(repr=False, compare=False)
    foreign: bool = False  # of somebody else's collection: readable is enough, it need not keep our conventions
    logsource: Mapping[str, str] | None = None  # in place of the rule's own, where a field map gives one
    original: dict[str, Any] | None = field(default=None, repr=False, compare=False)

    @property
    def written(self) -> dict[str, Any]:
        """The data as the file has them."""
        return self.data if self.original is None else self.original

    @property
    def kind(self) -> str:
        """What it is: a rule, a correlation, a job or a filter."""
        return next((kind for kind in ("correlation", "job", "filter") if kind in self.written), "rule")

    @property
    def version(self) -> str:
        """`custom.version`; of somebody else's rule, which has none, the day of its last change."""
        custom = self.data.get("custom")
        given = custom.get("version") if isinstance(custom, dict) else None
        day = self.data.get("modified") or self.data.get("date") if self.foreign else None
        return str(given or day or 1)

    def changed(self, data: dict[str, Any], lines: Mapping[KeyPath, int], logsource: Mapping[str, str] | None = None) -> Document:
        """The same document with other data."""
        return replace(self, data=data, lines=lines, logsource=self.logsource if logsource is None else logsource, original=self.written)

    def line(self, *keys: str | int) -> int | None:
        """Line of a key, or of its nearest ancestor that is there."""
        return next((self.lines[keys[:n]] for n in range(len(keys), -1, -1) if keys[:n] in self.lines), None)

    def at(self, *keys: str | int) -> Any:
        """The value at a key path; None if it is not there (keys of `lines` are as written, those of `data` may be typed)."""
        value: Any = self.data
        for key in keys:
            try:
                value = value[key]
            except (LookupError, TypeError):
                return None
        return value

    def error(self, message: str, *keys: str | int, hint: str | None = None) -> ContentError:
        """A ContentError at a key of this document, naming the rule."""
        kind = "filter" if self.kind == "filter" else "rule"
        return ContentError(f"{kind} {str(self.data.get('title', '?'))!r}: {message}", self.path, self.line(*keys), hint)


def read_documents(text: str, path: Path) -> Iterator[Document]:
    """The mappings of a YAML stream. Raises ContentError on bad syntax, on a duplicate key, and on anything but a mapping."""
    loader = yaml.CSafeLoader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            if not isinstance(node, yaml.MappingNode):
                raise ContentError("a rule must be a mapping", path, node.start_mark.line + 1 if node else 1, SPECIFICATION)
            lines = dict(_lines(node, (), path, set()))
            yield Document(path, loader.construct_document(node), lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise ContentError(f"not valid YAML: {error.problem}", path, mark.line + 1 if mark else 1, _YAML) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ContentError(f"not valid YAML: {error}", path, 1, _YAML) from None
    finally:
        loader.dispose()


def _lines(node: yaml.Node, keys: KeyPath, path: Path, seen: set[int]) -> Iterator[tuple[KeyPath, int]]:
    """(key path, line) of every key and list item; a node reached again through an alias is not entered twice."""
    yield keys, node.start_mark.line + 1
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise ContentError("a key must be plain text", path, line, _YAML)
            if key.value in first:
                raise ContentError(f"duplicate key {key.value!r} (first on line {first[key.value]})", path, line,
                                   "one of the two would be lost: merge them")
            first[key.value] = line
            yield from _lines(value, (*keys, key.value), path, seen)
            yield (*keys, key.value), line
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _lines(item, (*keys, number), path, seen)
