"""Runs the stages of a parser.yml over a batch: each row leaves a stage at the first form that matches it."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from ..schema import BY_NAME
from .json_fields import read_paths
from .ops import OPS, constant
from .scatter import Patches, Rows
from .spec import Form, KeyValue, ParserSpec, Stage, When

c = pl.col
_NONE: Rows = np.empty(0, dtype=np.uint32)


def run_stages(events: pl.DataFrame, spec: ParserSpec) -> pl.DataFrame:
    """Apply the stages of a parser in order; rows stay in theirs. Adds columns (text), `_recognised` (bool) and `_form` (stage/form)."""
    events = events.with_columns(pl.lit(False).alias("_recognised"), pl.lit(None, pl.String).alias("_form"))
    for stage in spec.stages:
        rows = np.flatnonzero(mask(events, stage.when).to_numpy()) if stage.when else np.arange(events.height)
        if not rows.size:
            continue
        if stage.forms:
            events = _forms(events, stage, rows)
        elif rows.size == events.height:
            events = events.with_columns(_run(events, stage, spec))
        else:
            changed = Patches(events.height)
            for column in _run(events[rows], stage, spec):
                changed.add(column.name, rows, column)
            events = changed.over(events)
    return events


def condition(events: pl.DataFrame, when: When) -> pl.Expr:
    """A `when` as an expression: equality with one or many values, `*` not null, `!` null; absent columns are null."""
    terms = []
    for field, value in when.items():
        column = read(events, field)
        if value == "*":
            terms.append(column.is_not_null())
        elif value == "!":
            terms.append(column.is_null())
        else:
            values = [str(v) for v in (value if isinstance(value, list) else [value])]
            terms.append(column.is_in(values).fill_null(False))
    return pl.all_horizontal(terms)


def mask(events: pl.DataFrame, when: When) -> pl.Series:
    """Which rows satisfy a `when`; as long as the frame even if all its columns are absent."""
    return events.select(pl.repeat(True, pl.len()).and_(condition(events, when))).to_series()


def read(events: pl.DataFrame, field: str) -> pl.Expr:
    """A column, or null text where the frame lacks it."""
    many = field in BY_NAME and BY_NAME[field].many
    return c(field) if field in events.columns else pl.lit(None, pl.List(pl.String) if many else pl.String)


def _run(events: pl.DataFrame, stage: Stage, spec: ParserSpec) -> pl.DataFrame:
    """The columns that a stage other than forms makes or changes."""
    if stage.table:
        return _table(events, stage, spec)
    if stage.json_:
        return read_paths(events, stage.json_.on, stage.json_.fields)
    if stage.kv:
        return _key_values(events, stage.kv)
    return _ops(events, stage.ops)


def _forms(events: pl.DataFrame, stage: Stage, rows: Rows) -> pl.DataFrame:
    if stage.on not in events.columns:
        return events
    found = Patches(events.height)
    if stage.dispatch is None:
        _race(events, stage, stage.forms, rows, found)
        return found.over(events)
    by_program = {
        program: tuple(f for f in stage.forms if not f.programs or program in f.programs)
        for program in {p for f in stage.forms for p in f.programs}
    }
    for_all = tuple(f for f in stage.forms if not f.programs)
    program = events.select(read(events, stage.dispatch).str.to_lowercase().alias("program"), pl.row_index("row"))[rows]
    keyed = program.with_columns(pl.when(c("program").is_in(list(by_program))).then(c("program")))
    for (key,), part in keyed.partition_by("program", as_dict=True, include_key=False).items():
        _race(events, stage, by_program.get(str(key), for_all), part.get_column("row").to_numpy(), found)
    return found.over(events)


def _race(events: pl.DataFrame, stage: Stage, forms: tuple[Form, ...], rows: Rows, found: Patches) -> None:
    """Try the forms in order; only rows still unmatched see the next one."""
    text = events.get_column(stage.on)
    if rows.size < events.height:
        text = text.gather(pl.Series(rows))
    rows_with = _literal_rows(text, forms)
    free = np.ones(rows.size, dtype=bool)
    for form in forms:
        tried = rows_with.get(form.compiled.literal, _NONE) if form.compiled.literal else np.flatnonzero(free)
        tried = tried[free[tried]]
        if form.when and tried.size:
            tried = tried[mask(events, form.when).to_numpy()[rows[tried]]]
        if not tried.size:
            continue
        hit, values = form.compiled.match(text if tried.size == rows.size else text.gather(pl.Series(tried)))
        if not hit.all():
            tried, values = tried[hit.to_numpy()], {field: column.filter(hit) for field, column in values.items()}
        free[tried] = False
        if tried.size:
            _claim(events, rows[tried], values, form, stage, found)


def _literal_rows(text: pl.Series, forms: tuple[Form, ...]) -> dict[str, Rows]:
    """Which rows hold the literal of each form: one pass over the text for all forms (Aho-Corasick), instead of one per form."""
    literals = sorted({form.compiled.literal for form in forms if form.compiled.literal})
    if not literals:
        return {}
    found = text.str.extract_many(literals, overlapping=True)
    times = found.list.len().fill_null(0).to_numpy()
    rows = np.repeat(np.arange(times.size, dtype=np.uint32), times)
    number = found.explode().drop_nulls().cast(pl.Enum(literals)).to_physical().to_numpy()
    order = np.argsort(number, kind="stable")
    ends = np.cumsum(np.bincount(number, minlength=len(literals)))[:-1]
    parts = np.split(rows[order], ends)  # in order; a literal twice in a text gives its row twice
    return {literal: part[np.diff(part, prepend=-1) != 0] for literal, part in zip(literals, parts, strict=True)}


def _claim(events: pl.DataFrame, rows: Rows, captured: dict[str, pl.Series], form: Form, stage: Stage, found: Patches) -> None:
    """Give rows the captured values and the constants of the form that matched them. An empty capture is no value."""
    for field, values in captured.items():
        if field in form.set:
            continue
        if (values == "").any():
            values = values.set(values == "", None)
        if field in events.columns and field != "message" and values.has_nulls():
            values = values.fill_null(events.get_column(field).gather(pl.Series(rows)))
        if values.null_count() < len(values) or field == "message":  # an optional part that no row has is nothing to add
            found.add(field, rows, values)
    for field, value in form.set.items():
        found.add(field, rows, pl.select(constant(value)).to_series())
    found.add("_form", rows, pl.Series([f"{stage.name}/{form.id}"]))
    if not stage.envelope:
        found.add("_recognised", rows, pl.Series([True]))


def _table(events: pl.DataFrame, stage: Stage, spec: ParserSpec) -> pl.DataFrame:
    """Look a key up in a CSV; table values fill only where the event has none."""
    assert stage.table and stage.key
    if stage.key not in events.columns:
        return events.select()
    table = spec.table(stage.table)
    keys = events.select(c(stage.key).alias("_key"))
    found = keys.join(table.with_columns(pl.lit(True).alias("_known")), on="_key", how="left", maintain_order="left")
    fields = [name for name in table.columns if name != "_key"]
    columns = [found.get_column(n) if n not in events.columns else events.get_column(n).fill_null(found.get_column(n)) for n in fields]
    if not stage.envelope:
        columns.append((events.get_column("_recognised") | found.get_column("_known").fill_null(False)).alias("_recognised"))
    return pl.DataFrame(columns)


def _key_values(events: pl.DataFrame, kv: KeyValue) -> pl.DataFrame:
    text = read(events, kv.on)
    found = []
    for key, field in kv.fields.items():
        regex = r"(?:^|[\s,;\[(])" + re.escape(key) + r"""=(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([^\s,\])]*))"""
        hits = text.str.extract_all(regex).list.last().str.extract_groups(regex) if kv.last else text.str.extract_groups(regex)
        value = pl.coalesce(hits.struct.field(str(i)) for i in (1, 2, 3))
        value = pl.when(value.str.len_bytes() > 0).then(value)
        found.append((pl.coalesce(value, c(field)) if field in events.columns else value).alias(field))
    return events.select(found)


# Operations that only change a column: nothing to do where it is absent.
_IN_PLACE = {"hex", "lower", "upper", "replace", "strip"}


def _ops(events: pl.DataFrame, ops: tuple[dict[str, Any], ...]) -> pl.DataFrame:
    touched: dict[str, None] = {}
    for op in ops:
        name = next(key for key in op if key != "when")
        if name in _IN_PLACE and (op[name] if isinstance(op[name], str) else op[name]["field"]) not in events.columns:
            continue
        frame = events
        columns = OPS[name](op[name], partial(read, frame))
        if op.get("when"):
            wanted = condition(events, op["when"])
            columns = {f: pl.when(wanted).then(e).otherwise(read(frame, f)) for f, e in columns.items()}
        events = events.with_columns(e.alias(f) for f, e in columns.items())
        touched |= dict.fromkeys(columns)
    return events.select(list(touched))
