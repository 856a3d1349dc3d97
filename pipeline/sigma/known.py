"""What is known about log sources and event ids: the parsers we ship, the vendor tables and samples beside them."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from .. import content
from ..schema import BY_NAME


@dataclass(frozen=True)
class Known:
    """`ids`: event ids of vendor tables and those our parsers set; `tables`: first columns by file name; `fields`: by log source."""

    parsers: frozenset[str] = frozenset()
    logsources: tuple[Mapping[str, str], ...] = ()
    tables: Mapping[str, frozenset[str]] = field(default_factory=dict)
    parser_ids: frozenset[str] = frozenset()
    root: Path | None = None
    fields: tuple[tuple[Mapping[str, str], frozenset[str]], ...] = ()
    datasets: frozenset[str] = frozenset()

    @property
    def ids(self) -> pl.Series:
        return pl.Series(sorted(self.parser_ids.union(*self.tables.values())), dtype=pl.String)

    def fields_of(self, logsource: Mapping[str, str]) -> frozenset[str]:
        """The fields that events of a log source may have; empty if nothing is known of it."""
        return frozenset().union(*(fields for source, fields in self.fields if logsource.items() <= source.items()))

    def contradicts(self, source: str, value: str) -> bool:
        """Whether the source is a table or file that we ship, and does not have the value."""
        name = Path(source).name
        if name in self.tables:
            return value not in self.tables[name]
        file = self.root / source.removeprefix("parsers/") if self.root else None
        return bool(file and file.is_file()) and value not in _text(file)


@cache
def shipped() -> Known:
    """What the folder parsers/ holds."""
    return read_known(content.folder("parsers"))


def read_known(root: Path) -> Known:
    """What a folder of parsers holds. Raises ContentError for a parser.yml that cannot be read."""
    specs = {path.parent.name: content.read_yaml(path) for path in sorted(root.glob("*/parser.yml"))}
    specs = {name: spec for name, spec in specs.items() if isinstance(spec, dict)}
    tables: dict[str, frozenset[str]] = {}
    for path in sorted(root.glob("*/tables/*.csv")):
        tables[path.name] = tables.get(path.name, frozenset()) | _first_column(path)
    return Known(frozenset(specs), tuple(spec["logsource"] for spec in specs.values() if spec.get("logsource")), tables,
                 frozenset(value for spec in specs.values() for value in _ids_set(spec)), root,
                 tuple((spec["logsource"], _fields(root / name)) for name, spec in specs.items() if spec.get("logsource")),
                 frozenset(str(spec["dataset"]) for spec in specs.values() if spec.get("dataset")))


_NAME = re.compile(r"[@\w]+(?:\.\w+)*")


def _fields(parser: Path) -> frozenset[str]:
    """Fields of the schema that a parser may set: those that it or its tables name anywhere, and those that its samples show (what the
    kernel derives, such as related.ip, is among them)."""
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in (parser / "parser.yml", *sorted(parser.glob("tables/*.csv")))]
    shown = {name for path in sorted(parser.glob("samples/*.expected.json")) for event in orjson.loads(path.read_bytes())
             for name in _leaves(event)}
    return frozenset({name for text in texts for name in _NAME.findall(text)} | shown) & BY_NAME.keys()


def _leaves(value: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{prefix}.{key}" if prefix else key)
    else:
        yield prefix


def _first_column(path: Path) -> frozenset[str]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    return frozenset(row[0] for row in rows[1:] if row)


def _ids_set(spec: Any) -> Iterator[str]:
    """Constants that a parser.yml gives to event.action or event.code, under `set` or `map`; each form has an example line."""
    if isinstance(spec, list):
        for part in spec:
            yield from _ids_set(part)
    elif isinstance(spec, dict):
        for key in ("event.action", "event.code"):
            if isinstance(spec.get("set"), dict) and isinstance(spec["set"].get(key), str):
                yield spec["set"][key]
            if spec.get("field") == key and isinstance(spec.get("values"), dict):
                yield from (value for value in spec["values"].values() if isinstance(value, str))
        for part in spec.values():
            yield from _ids_set(part)


@cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
