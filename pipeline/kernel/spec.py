"""What a parser.yml may say, checked by pydantic. Errors name file and line."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from .. import content
from ..errors import ContentError
from ..schema import BY_NAME
from .patterns import MATCHED, Pattern, compile_pattern

Value = str | int | bool | list[str] | None
When = dict[str, str | int | list[str | int]]


class Strict(BaseModel):
    """A model that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def check_fields(names: Any) -> None:
    """Raise ValueError for a field that is neither in the schema nor a scratch column (`_name`)."""
    for name in names:
        if name not in BY_NAME and not name.startswith("_"):
            raise ValueError(f"unknown field {name!r}: not in pipeline/schema.py")


class Signature(Strict):
    """A regex that only this source's raw lines match."""

    pattern: str
    weight: int = Field(default=5, ge=1, le=10)


class Framing(Strict):
    """How bytes become records."""

    records: Literal["lines", "json"] = "lines"
    continuation: str | None = None
    join: str | None = None


class Form(Strict):
    """One message form: a pattern, its example line and what a match means."""

    id: str
    pattern: str
    example: str | None = None
    programs: tuple[str, ...] = ()
    when: When = {}
    set: dict[str, Value] = {}

    @field_validator("set")
    @classmethod
    def _known(cls, value: dict[str, Value]) -> dict[str, Value]:
        check_fields(value)
        return value

    @property
    def compiled(self) -> Pattern:
        return compile_pattern(self.pattern)

    @model_validator(mode="after")
    def _checked(self) -> Form:
        try:
            check_fields(self.compiled.fields)
            matches = pl.Series([self.example or ""]).str.extract_groups(self.compiled.regex).struct.field(MATCHED)[0]
        except ContentError as error:
            raise ValueError(error.message) from None
        except pl.exceptions.ComputeError as error:
            raise ValueError(f"not a regex of Rust: {error}") from None
        if self.example is not None and matches is None:
            raise ValueError(f"the example does not match the pattern of form {self.id}")
        return self


class Json(Strict):
    """Dotted paths of a JSON text to fields; objects and arrays come as compact JSON text."""

    on: str = "message"
    fields: dict[str, str]


class KeyValue(Strict):
    """Keys of `key=value` text to fields. The first occurrence wins unless `last`."""

    on: str = "message"
    fields: dict[str, str]
    last: bool = False


class Stage(Strict):
    """One step over all rows still in play: forms, a table look-up, JSON, key=value, or small operations."""

    name: str
    on: str = "message"
    when: When = {}
    envelope: bool = False
    dispatch: str | None = None
    forms: tuple[Form, ...] = ()
    table: str | None = None
    key: str | None = None
    json_: Json | None = Field(default=None, alias="json")
    kv: KeyValue | None = None
    ops: tuple[dict[str, Any], ...] = ()

    @model_validator(mode="after")
    def _one_kind(self) -> Stage:
        kinds = [
            k for k, v in (("forms", self.forms), ("table", self.table), ("json", self.json_), ("kv", self.kv), ("ops", self.ops)) if v
        ]
        if len(kinds) != 1:
            raise ValueError(f"stage {self.name!r} must have exactly one of forms, table, json, kv, ops; it has {kinds or 'none'}")
        if self.table and not self.key:
            raise ValueError(f"stage {self.name!r}: a table needs `key`")
        for fields in (self.json_.fields if self.json_ else {}, self.kv.fields if self.kv else {}):
            check_fields(fields.values())
        from .ops import check_op  # ops.py knows the operations; imported late to keep spec.py free of a circle

        for op in self.ops:
            check_op(op)
        return self


class ParserSpec(Strict):
    """A parser: parsers/<id>/parser.yml."""

    id: str
    title: str
    dataset: str
    logsource: dict[str, str]
    enable: str
    description: str = ""
    set: dict[str, Value] = {}
    timezone: str = "UTC"
    detect: tuple[Signature, ...]
    framing: Framing = Framing()
    headers: tuple[Literal["rfc5424", "bsd", "iso"], ...] = ()
    headers_not: str | None = None
    stages: tuple[Stage, ...] = ()
    _path: Path = PrivateAttr(default=Path())

    @field_validator("set")
    @classmethod
    def _known(cls, value: dict[str, Value]) -> dict[str, Value]:
        check_fields(value)
        return value

    @property
    def folder(self) -> Path:
        return self._path.parent

    def in_zone(self, timezone: str) -> ParserSpec:
        """The same parser for logs whose times are of another zone, where they carry none."""
        moved = self.model_copy(update={"timezone": timezone})
        moved._path = self._path
        return moved

    def table(self, name: str) -> pl.DataFrame:
        """A CSV of the parser's folder: first column `_key`, further columns field names (arrays split at `;`)."""
        return _read_table(self.folder / name)


@cache
def _read_table(path: Path) -> pl.DataFrame:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = list(csv.reader(file))
    except (OSError, ValueError) as error:
        raise ContentError(f"table cannot be read: {error}", path) from None
    unknown = [name for name in header[1:] if name not in BY_NAME and not name.startswith("_")]
    if unknown:
        raise ContentError(f"unknown fields {unknown}", path, 1)
    seen: dict[str, int] = {}
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise ContentError(f"{len(row)} cells where the header has {len(header)}", path, number)
        if row[0] in seen:
            raise ContentError(f"key {row[0]!r} twice (first on line {seen[row[0]]})", path, number)
        seen[row[0]] = number
    columns = {"_key": [row[0] for row in rows]} | {name: [row[i] or None for row in rows] for i, name in enumerate(header) if i}
    frame = pl.DataFrame(columns, schema={name: pl.String for name in columns})
    return frame.with_columns(pl.col(n).str.split(";") for n in header[1:] if n in BY_NAME and BY_NAME[n].many)


def load_parser(path: Path) -> ParserSpec:
    """Read and check one parser.yml."""
    spec = content.read_model(path, ParserSpec)
    if spec.id != path.parent.name:
        raise ContentError(f"id {spec.id!r} differs from the folder name", path, content.line_of(path, ("id",)))
    spec._path = path
    for stage in spec.stages:
        if stage.table:
            spec.table(stage.table)
    return spec


@cache
def load_parsers() -> dict[str, ParserSpec]:
    """Every parser of the content folder, by id."""
    return {spec.id: spec for spec in (load_parser(path) for path in sorted(content.folder("parsers").glob("*/parser.yml")))}
