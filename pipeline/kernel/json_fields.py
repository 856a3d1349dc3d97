"""JSON text to fields by dotted path.

Scalars are decoded for the whole batch at once into a struct of text. A batch in which a value has another shape than usual (an object
where text is expected) is halved until only the odd rows are read path by path, which always works but parses the text once per path.
"""

from __future__ import annotations

from typing import Any

import polars as pl

c = pl.col
_SMALL = 32
_SAMPLE = 64


def read_paths(events: pl.DataFrame, on: str, fields: dict[str, str]) -> pl.DataFrame:
    """One text column per path (objects and arrays as compact JSON text, JSON null as null), named by the field.

    Existing values of the frame are kept where the path is absent.
    """
    if on not in events.columns:
        return events.select()
    text = events.get_column(on)
    sample = text.drop_nulls().head(_SAMPLE)
    deep = [path for path in fields if _at(sample, path).str.contains(r"^[\[{]").any()]
    flat = [path for path in fields if path not in deep and not any(other.startswith(path + ".") for other in fields)]
    by_path = [path for path in fields if path not in flat]
    columns = {path: _at(text, path) for path in by_path} | (_decode(text, flat) if flat else {})
    out: dict[str, pl.Series] = {}
    for path, field in fields.items():
        values = columns[path].set(columns[path] == "", None)
        before = out[field] if field in out else events.get_column(field) if field in events.columns else None
        out[field] = values if before is None else before.fill_null(values) if field in out else values.fill_null(before)
    return pl.DataFrame([series.alias(field) for field, series in out.items()])


def _at(text: pl.Series, path: str) -> pl.Series:
    steps = "".join(f"['{step}']" for step in path.split("."))
    try:
        values = text.str.json_path_match(f"${steps}")
    except pl.exceptions.ComputeError:
        return pl.Series([None] * len(text), dtype=pl.String)
    return values.set(values == "null", None)


def _decode(text: pl.Series, paths: list[str]) -> dict[str, pl.Series]:
    try:
        decoded = text.str.json_decode(_dtype(paths))
    except pl.exceptions.ComputeError:
        if len(text) <= _SMALL:
            return {path: _at(text, path) for path in paths}
        half = len(text) // 2
        left, right = _decode(text[:half], paths), _decode(text[half:], paths)
        return {path: pl.concat([left[path], right[path]]) for path in paths}
    return {path: _descend(decoded, path) for path in paths}


def _descend(values: pl.Series, path: str) -> pl.Series:
    for step in path.split("."):
        values = values.struct.field(step)
    return values


def _dtype(paths: list[str]) -> pl.Struct:
    tree: dict[str, Any] = {}
    for path in paths:
        node = tree
        *groups, leaf = path.split(".")
        for group in groups:
            node = node.setdefault(group, {})
        node[leaf] = None

    def build(node: dict[str, Any]) -> pl.Struct:
        return pl.Struct({name: pl.String if child is None else build(child) for name, child in node.items()})

    return build(tree)
