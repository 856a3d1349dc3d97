"""The fields of schema.py in other shapes: Arrow, Spark, pydantic, Elasticsearch, Markdown."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import cache
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, create_model

from .schema import COLUMNS, ECS_VERSION, Column

_ARROW = {
    "keyword": pa.string(),
    "text": pa.string(),
    "ip": pa.string(),
    "long": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.timestamp("us", tz="UTC"),
}
_SPARK = {
    "keyword": "STRING",
    "text": "STRING",
    "ip": "STRING",
    "long": "BIGINT",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
    "date": "TIMESTAMP",
}
_PYTHON: dict[str, Any] = {"keyword": str, "text": str, "ip": str, "long": int, "double": float, "boolean": bool, "date": datetime}

Tree = dict[str, Any]


def tree(columns: Iterable[Column] = COLUMNS) -> Tree:
    """The fields as nested dicts: group -> ... -> Column."""
    root: Tree = {}
    for column in columns:
        node = root
        *groups, leaf = column.name.split(".")
        for group in groups:
            node = node.setdefault(group, {})
        node[leaf] = column
    return root


@cache
def arrow_schema() -> pa.Schema:
    """Arrow schema of an event: groups are structs, arrays are lists, times are UTC microseconds."""

    def fields(node: Tree) -> list[pa.Field]:
        return [
            pa.field(name, _arrow_type(child) if isinstance(child, Column) else pa.struct(fields(child))) for name, child in node.items()
        ]

    return pa.schema(fields(tree()))


def _arrow_type(column: Column) -> pa.DataType:
    leaf = _ARROW[column.type]
    return pa.list_(leaf) if column.many else leaf


def spark_ddl() -> str:
    """The same schema as a Spark DDL string (no Spark needed)."""

    def fields(node: Tree, sep: str) -> str:
        return ", ".join(f"`{name}`{sep}{kind(child)}" for name, child in node.items())

    def kind(child: Column | Tree) -> str:
        if isinstance(child, Column):
            return f"ARRAY<{_SPARK[child.type]}>" if child.many else _SPARK[child.type]
        return f"STRUCT<{fields(child, ': ')}>"

    return fields(tree(), " ")


@cache
def event_model() -> type[BaseModel]:
    """A pydantic model of an event; unknown fields are refused."""

    def model(name: str, node: Tree) -> type[BaseModel]:
        parts: dict[str, Any] = {}
        for key, child in node.items():
            kind: Any = model(f"{name}_{key}".replace("@", ""), child) if isinstance(child, dict) else _python_type(child)
            parts[key.replace("@", "at_")] = (kind | None, Field(default=None, alias=key))
        return create_model(name, __config__=ConfigDict(extra="forbid", populate_by_name=True), **parts)

    return model("Event", tree())


def _python_type(column: Column) -> Any:
    kind: Any = _PYTHON[column.type]
    return list[kind] if column.many else kind


def elasticsearch_template() -> dict[str, Any]:
    """An Elasticsearch component template with one mapping per field; `text` stands for match_only_text, which not every server has."""

    def mapping(node: Tree) -> dict[str, Any]:
        return {name: _elastic_type(child) if isinstance(child, Column) else {"properties": mapping(child)} for name, child in node.items()}

    return {
        "template": {"mappings": {"dynamic": False, "date_detection": False, "properties": mapping(tree())}},
        "_meta": {"description": "Hypervigil events", "ecs_version": ECS_VERSION},
    }


def _elastic_type(column: Column) -> dict[str, Any]:
    if column.name == "event.original":
        return {"type": "keyword", "index": False, "doc_values": False}
    return {"type": column.type, "ignore_above": 8191} if column.type == "keyword" else {"type": column.type}


def markdown() -> str:
    """deploy/schema.md: the table for readers."""
    head = [
        "# Fields",
        "",
        f"Generated from pipeline/schema.py (ECS {ECS_VERSION}); `make generate` rewrites it.",
        "",
        "| field | type | many | ECS | meaning |",
        "|---|---|---|---|---|",
    ]
    rows = [f"| `{c.name}` | {c.type} | {'yes' if c.many else ''} | {'yes' if c.ecs else 'ours'} | {c.doc} |" for c in COLUMNS]
    return "\n".join([*head, *rows, ""])
