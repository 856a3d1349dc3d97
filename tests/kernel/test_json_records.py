"""JSON documents to records, in all four wrappers; nothing is lost at a cut-off end."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.kernel.json_fields import read_paths
from pipeline.kernel.json_records import is_ndjson, split_json

VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(), v, max_size=3),
    max_leaves=8,
)
RECORDS = st.lists(st.dictionaries(st.text(min_size=1), VALUE, min_size=1, max_size=4), min_size=1, max_size=5)


@given(RECORDS, st.sampled_from(["wrapper", "array", "lines"]), st.sampled_from([None, 2]))
def test_records_come_back_whole(records: list[dict[str, object]], shape: str, indent: int | None) -> None:
    if shape == "wrapper":
        text = json.dumps({"Records": records}, indent=indent)
    elif shape == "array":
        text = json.dumps(records, indent=indent)
    else:
        text = "\n".join(json.dumps(r, indent=indent) for r in records)
    frame = split_json(text.encode())
    assert [json.loads(raw) for raw in frame.get_column("raw")] == records
    assert all(text.encode()[o : o + 1] == b"{" for o in frame.get_column("offset"))
    assert frame.get_column("valid").all()


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ('{"Records":[{"a":1},{"b":', [True, False]),
        ('[{"a":"}"},{"b":"\\"{"}]', [True, True]),
        ("not json at all", [False]),
        ("", []),
    ],
)
def test_broken_documents(text: str, valid: list[bool]) -> None:
    assert split_json(text.encode()).get_column("valid").to_list() == valid


def test_ndjson_is_told_from_documents() -> None:
    assert is_ndjson(b'{"a":1}\n{"b":2}\n')
    assert not is_ndjson(b'{"Records":[{"a":1}]}')
    assert not is_ndjson(b'{\n "a":1\n}\n')


def test_paths_of_odd_shapes_are_read_too() -> None:
    rows = ['{"a":1,"b":{"c":true},"o":{"x":[1]}}', '{"a":{"odd":2},"b":"text","o":null}', '{"z":1}', "broken"]
    frame = read_paths(pl.DataFrame({"message": rows * 40}), "message", {"a": "event.code", "b.c": "event.reason", "o": "error.message"})
    assert frame.select("event.code", "event.reason", "error.message").rows()[:4] == [
        ("1", "true", '{"x":[1]}'),
        ('{"odd":2}', None, None),
        (None, None, None),
        (None, None, None),
    ]
