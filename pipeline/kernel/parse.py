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
from .patterns import MATCHED
from .spec import Form, ParserSpec, Stage, When

c = pl.col
Rows = np.ndarray[tuple[int], np.dtype[Any]]
_NONE: Rows = np.empty(0, dtype=np.uint32)


def run_stages(events: pl.DataFrame, spec: ParserSpec) -> pl.DataFrame:
    """Apply every stage of a parser in order. Adds ECS columns (text), `_recognised` (bool) and `_form` (stage/form)."""
    events = events.with_columns(pl.lit(False).alias("_recognised"), pl.lit(None, pl.String).alias("_form"))
    for stage in spec.stages:
        if events.height == 0:
            break
        if not stage.when:
            events = _run(events, stage, spec)
            continue
        wanted = mask(events, stage.when)
        if not wanted.any():
            continue
        if wanted.all():  # no copy of a wide frame for nothing
            events = _run(events, stage, spec)
            continue
        events = pl.concat([events.filter(~wanted), _run(events.filter(wanted), stage, spec)], how="diagonal")
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
    if stage.forms:
        return _forms(events, stage)
    if stage.table:
        return _table(events, stage, spec)
    if stage.json_:
        return read_paths(events, stage.json_.on, stage.json_.fields)
    if stage.kv:
        return _key_values(events, stage)
    return _ops(events, stage.ops)


def _forms(events: pl.DataFrame, stage: Stage) -> pl.DataFrame:
    if stage.on not in events.columns:
        return events
    if stage.dispatch is None:
        return _race(events, stage, stage.forms)
    by_program = {
        program: tuple(f for f in stage.forms if not f.programs or program in f.programs)
        for program in {p for f in stage.forms for p in f.programs}
    }
    for_all = tuple(f for f in stage.forms if not f.programs)
    program = read(events, stage.dispatch).str.to_lowercase()
    keyed = events.with_columns(pl.when(program.is_in(list(by_program))).then(program).alias("__program"))
    parts = keyed.partition_by("__program", as_dict=True, include_key=False)
    return pl.concat([_race(part, stage, by_program.get(str(key), for_all)) for (key,), part in parts.items()], how="diagonal")


def _race(events: pl.DataFrame, stage: Stage, forms: tuple[Form, ...]) -> pl.DataFrame:
    """Try the forms in order; only rows still unmatched see the next one."""
    text = events.get_column(stage.on)
    rows_with = _literal_rows(text, forms)
    free = np.ones(events.height, dtype=bool)
    finished = []
    for form in forms:
        rows = rows_with.get(form.compiled.literal, _NONE) if form.compiled.literal else np.flatnonzero(free)
        rows = rows[free[rows]]
        if form.when and rows.size:
            rows = rows[mask(events[rows], form.when).to_numpy()]
        if not rows.size:
            continue
        groups = (text if rows.size == len(text) else text.gather(rows)).str.extract_groups(form.compiled.regex)
        hit = groups.struct.field(MATCHED).is_not_null()
        if not hit.any():
            continue
        matched = rows[hit.to_numpy()]
        free[matched] = False
        if matched.size == events.height:
            return _claim(events, groups, form, stage)
        finished.append(_claim(events[matched], groups.filter(hit), form, stage))
    return pl.concat([*finished, events.filter(pl.Series(free))], how="diagonal") if finished else events


def _literal_rows(text: pl.Series, forms: tuple[Form, ...]) -> dict[str, Rows]:
    """Which rows hold the literal of each form: one pass over the text for all forms (Aho-Corasick), instead of one per form."""
    literals = sorted({form.compiled.literal for form in forms if form.compiled.literal})
    if not literals:
        return {}
    found = (
        pl.DataFrame({"literal": text.str.extract_many(literals, overlapping=True)}).with_row_index("row").explode("literal").drop_nulls()
    )
    parts = found.unique(maintain_order=True).partition_by("literal", as_dict=True, include_key=False)
    return {str(literal): part.get_column("row").to_numpy() for (literal,), part in parts.items()}


def _claim(events: pl.DataFrame, groups: pl.Series, form: Form, stage: Stage) -> pl.DataFrame:
    """Give rows the captured values and the constants of the form that matched them. An empty capture is no value."""
    columns: dict[str, Any] = {}
    for field, names in form.compiled.fields.items():
        values = groups.struct.field(names[0])
        for name in names[1:]:
            values = values.fill_null(groups.struct.field(name))
        if (values == "").any():
            values = values.set(values == "", None)
        if field in events.columns and field != "message":
            values = values.fill_null(events.get_column(field))
        columns[field] = values
    columns |= {field: constant(value) for field, value in form.set.items()}
    columns["_form"] = pl.lit(f"{stage.name}/{form.id}")
    if not stage.envelope:
        columns["_recognised"] = pl.lit(True)
    return events.with_columns(**columns)


def _table(events: pl.DataFrame, stage: Stage, spec: ParserSpec) -> pl.DataFrame:
    """Look a key up in a CSV; table values fill only where the event has none."""
    assert stage.table and stage.key
    if stage.key not in events.columns:
        return events
    table = spec.table(stage.table)
    fields = [name for name in table.columns if name != "_key"]
    joined = events.join(
        table.rename({n: f"_table_{n}" for n in fields}).with_columns(pl.lit(True).alias("_known")),
        left_on=stage.key,
        right_on="_key",
        how="left",
        maintain_order="left",
    )
    filled = [pl.coalesce(c(n), c(f"_table_{n}")).alias(n) if n in events.columns else c(f"_table_{n}").alias(n) for n in fields]
    known = c("_known").fill_null(False)
    return joined.with_columns(*filled, *([] if stage.envelope else [(c("_recognised") | known).alias("_recognised")])).drop(
        "_known", *(f"_table_{n}" for n in fields)
    )


def _key_values(events: pl.DataFrame, stage: Stage) -> pl.DataFrame:
    assert stage.kv
    text = read(events, stage.kv.on)
    found = []
    for key, field in stage.kv.fields.items():
        regex = r"(?:^|[\s,;\[(])" + re.escape(key) + r"""=(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([^\s,\])]*))"""
        hits = text.str.extract_all(regex).list.last().str.extract_groups(regex) if stage.kv.last else text.str.extract_groups(regex)
        value = pl.coalesce(hits.struct.field(str(i)) for i in (1, 2, 3))
        value = pl.when(value.str.len_bytes() > 0).then(value)
        found.append((pl.coalesce(value, c(field)) if field in events.columns else value).alias(field))
    return events.with_columns(found)


# Operations that only change a column: nothing to do where it is absent.
_IN_PLACE = {"hex", "lower", "upper", "replace", "strip"}


def _ops(events: pl.DataFrame, ops: tuple[dict[str, Any], ...]) -> pl.DataFrame:
    for op in ops:
        name = next(key for key in op if key != "when")
        if name == "drop":
            events = events.drop(op["drop"], strict=False)
            continue
        if name in _IN_PLACE and (op[name] if isinstance(op[name], str) else op[name]["field"]) not in events.columns:
            continue
        frame = events
        columns = OPS[name](op[name], partial(read, frame))
        if op.get("when"):
            wanted = condition(events, op["when"])
            columns = {f: pl.when(wanted).then(e).otherwise(read(frame, f)) for f, e in columns.items()}
        events = events.with_columns(e.alias(f) for f, e in columns.items())
    return events
