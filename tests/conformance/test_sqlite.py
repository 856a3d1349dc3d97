"""The second opinion: every single-event case through pySigma's sqlite backend, another implementation with another evaluator.

Where the two differ, sqlite_differences.yml says who is right and why. A difference that is not listed fails, as does one that is gone.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from sigma.backends.sqlite.sqlite import sqliteBackend
from sigma.collection import SigmaCollection
from sigma.conversion.base import TextQueryBackend
from sigma.exceptions import SigmaError

from pipeline.conformance import SingleCase, name_of, read_topics
from pipeline.events import flatten

DIFFERENCES = Path(__file__).parent / "sqlite_differences.yml"
pytestmark = pytest.mark.filterwarnings("ignore:Possible (nested set|set):FutureWarning")  # of Python's `re`
RIGHT = ("suite", "either")


class Backend(sqliteBackend):
    """It refuses keywords for want of a column to search in; here the text of the record is one."""

    convert_condition_val_str = TextQueryBackend.convert_condition_val_str
    convert_condition_val_num = TextQueryBackend.convert_condition_val_num
    unbound_value_str_expression = r"`event.original` LIKE '%' || {value} || '%' ESCAPE '\'"
    unbound_value_num_expression = unbound_value_str_expression
    unbound_value_re_expression = "`event.original` REGEXP '{value}'"


def differences(half: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = yaml.safe_load(DIFFERENCES.read_text(encoding="utf-8"))[half]
    return listed


def opinion(case: SingleCase, fields: dict[str, str]) -> set[str] | str:
    """The ids that sqlite finds, or why there is none to ask. The table is made as Zircolite makes its own."""
    columns = ", ".join(f"`{name}` {'integer' if kind == 'long' else 'text collate nocase'}" for name, kind in fields.items())
    try:
        queries = Backend().convert(SigmaCollection.from_dicts([case.rule]))  # type: ignore[no-untyped-call]
        rows = [dict.fromkeys(fields) | flatten(event) for event in case.events]
        with closing(sqlite3.connect(":memory:")) as table:
            table.create_function("regexp", 2, lambda regex, value: value is not None and re.search(regex, str(value)) is not None)
            table.execute(f"create table logs (id, {columns})")
            table.executemany(f"insert into logs values ({', '.join('?' for _ in rows[0])})", [_row(row, fields) for row in rows])
            return {row[0] for query in queries for row in table.execute(re.sub(r"^SELECT \*", "SELECT id", query))}
    except (SigmaError, NotImplementedError, TypeError, sqlite3.Error) as error:
        return f"{type(error).__name__}: {error}"


def _row(row: dict[str, Any], fields: Iterable[str]) -> list[Any]:
    """Booleans by their words, arrays as JSON."""
    return [row["id"], *(json.dumps(value) if isinstance(value, bool | list) else value for value in (row[name] for name in fields))]


def test_every_difference_is_listed() -> None:
    listed = {case for entry in differences("single") for case in entry["cases"]}
    found = {name_of(path, case) for path, topic in read_topics().items() for case in topic.cases
             if opinion(case, topic.fields) != set(case.hits)}
    assert found - listed == set(), "list them in sqlite_differences.yml: who is right, and why"
    assert listed - found == set(), "these differ no longer"


@pytest.mark.parametrize("half", ["single", "correlation"])
def test_the_list_says_who_is_right_and_why(half: str) -> None:
    cases = [case for entry in differences(half) for case in entry["cases"]]
    assert len(cases) == len(set(cases))
    assert all(entry["right"] in RIGHT and entry["why"] for entry in differences(half))
