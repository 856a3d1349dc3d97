"""event.fact_id: what happened to what. Records of several logs that tell one fact get one text, by the table parsers/facts.csv."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

from .. import content
from ..errors import ContentError
from ..schema import BY_NAME
from .scatter import Patches

c = pl.col
HEADER = ["event.action", "fact", "by"]
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
# A host writes itself with its domain or without it, as its syslog is set up; addresses stay whole.
_DOMAIN = r"^([^.:]*[a-z][^.:]*)\..*$"


@dataclass(frozen=True)
class Fact:
    """What the records with one event.action tell, and the fields that say of what. Not every log names them alike: an audit record has
    the locked account as `user.target.name`, where others have it as `user.name`."""

    name: str
    by: tuple[str, ...]


def with_fact_ids(events: pl.DataFrame, facts: dict[str, Fact]) -> pl.DataFrame:
    """`fact|value|...` in lower case, in the rows whose event.action is in the table and that have all of its fields.

    A parser sets the scratch column `_no_fact` where a record's fields do not say of what it tells.
    """
    if "event.action" not in events.columns or "event.fact_id" in events.columns:
        return events
    actions = events.get_column("event.action")
    known = actions.is_in(list(facts)).fill_null(False)
    if "_no_fact" in events.columns:
        known &= events.get_column("_no_fact").is_null()
    rows = np.flatnonzero(known.to_numpy())
    found = Patches(events.height)
    names = {action: fact.name for action, fact in facts.items()}
    told = pl.DataFrame({"row": rows, "action": actions.gather(pl.Series(rows))}).with_columns(
        c("action").replace_strict({action: "\n".join(fact.by) for action, fact in facts.items()}, return_dtype=pl.String).alias("by"),
        c("action").replace_strict(names, return_dtype=pl.String).alias("fact"),
    )
    for (by,), part in told.partition_by("by", as_dict=True).items():
        fields = str(by).split("\n")
        if all(field in events.columns for field in fields):
            values = events.select(fields)[part.get_column("row")].select(_text(events, field) for field in fields)
            ids = values.with_columns(part.get_column("fact")).select(pl.concat_str("fact", *fields, separator="|"))
            found.add("event.fact_id", part.get_column("row").to_numpy(), ids.to_series())
    return found.over(events)


def _text(events: pl.DataFrame, field: str) -> pl.Expr:
    value = c(field).list.join(",") if isinstance(events.schema[field], pl.List) else c(field).cast(pl.String)
    value = value.str.to_lowercase()
    return value.str.replace(_DOMAIN, "$1") if field == "host.name" else value


@cache
def load_facts() -> dict[str, Fact]:
    """The table of the content folder, by event.action. Raises ContentError for what cannot be right."""
    path = content.folder("parsers") / "facts.csv"
    return read_facts(path) if path.exists() else {}


def read_facts(path: Path) -> dict[str, Fact]:
    """One table of facts, checked."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = list(csv.reader(file))
    except (OSError, ValueError) as error:
        raise ContentError(f"table cannot be read: {error}", path) from None
    if header != HEADER:
        raise ContentError(f"the columns must be {', '.join(HEADER)}", path, 1)
    facts: dict[str, Fact] = {}
    widths: dict[str, int] = {}
    for line, row in enumerate(rows, 2):
        if len(row) != len(HEADER):
            raise ContentError(f"{len(row)} cells where the header has {len(HEADER)}", path, line)
        action, name, by = row[0], row[1], tuple(row[2].split(";"))
        if action in facts:
            raise ContentError(f"event.action {action!r} twice", path, line)
        if not _NAME.fullmatch(name):
            raise ContentError(f"{name!r} is no name of a fact", path, line, "lower case, digits and hyphens, such as vm-power-off")
        if unknown := [field for field in by if field not in BY_NAME]:
            raise ContentError(f"unknown fields {unknown}: not in pipeline/schema.py", path, line)
        if len(by) != widths.setdefault(name, len(by)):
            raise ContentError(f"{name} is told by {widths[name]} fields elsewhere, here by {len(by)}", path, line, "ids would never agree")
        facts[action] = Fact(name, by)
    return facts
