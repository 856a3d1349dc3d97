"""Framing: exact offsets, joined lines, and the same records however a file is cut into ranges."""

from __future__ import annotations

import io

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.kernel.framing import RecordRules, read_records, split_lines

CONTINUED = RecordRules(continuation=r"^(?:-->|\s+at )")
JOINED = RecordRules(join=(r"msg=audit\((\d+\.\d+:\d+)\)",))
BOTH = RecordRules(continuation=r"^-->", join=(r"msg=audit\((\d+\.\d+:\d+)\)", r"^Event \[(\d+)\]"))


def whole(data: bytes, rules: RecordRules) -> tuple[pl.DataFrame, int]:
    return read_records(io.BytesIO(data), len(data), 0, len(data), rules)


def in_ranges(data: bytes, step: int, rules: RecordRules) -> tuple[pl.DataFrame, int]:
    parts = [read_records(io.BytesIO(data), len(data), a, min(a + step, len(data)), rules) for a in range(0, len(data), step)]
    return pl.concat([p[0] for p in parts]).sort("offset"), sum(p[1] for p in parts)


def test_lines_keep_exact_offsets() -> None:
    data = "first\r\nzwei ü\n\nlast".encode()
    frame = split_lines(data, 100)
    assert frame.get_column("raw").to_list() == ["first", "zwei ü", "", "last"]
    assert [data[o - 100 :].split(b"\n")[0] for o in frame.get_column("offset")] == [b"first\r", "zwei ü".encode(), b"", b"last"]


def test_invalid_utf8_keeps_offsets_of_the_raw_bytes() -> None:
    data = b"ok\nbad \xff\xfe\xff line\nafter\n"
    frame = split_lines(data, 0)
    assert frame.get_column("offset").to_list() == [0, 3, 16]
    assert frame.get_column("valid").to_list() == [True, False, True]


def test_only_newline_ends_a_line() -> None:
    assert split_lines(b"a\x1db\x0bc\x0cd\xc2\x85e\n", 0).height == 1


def test_continuation_lines_belong_to_the_record_before() -> None:
    records, lines = whole(b"one\n-->a\n-->b\ntwo\n\tat x\n", CONTINUED)
    assert records.get_column("raw").to_list() == ["one\n-->a\n-->b", "two\n\tat x"]
    assert (records.get_column("lines").to_list(), lines) == ([3, 2], 5)


def test_records_of_one_key_are_joined_across_others() -> None:
    data = b"type=A msg=audit(1.2:3): x\nother\ntype=B msg=audit(1.2:3): y\ntype=A msg=audit(1.2:4): z\n"
    records, lines = whole(data, JOINED)
    assert records.get_column("raw").to_list() == [
        "type=A msg=audit(1.2:3): x\ntype=B msg=audit(1.2:3): y",
        "other",
        "type=A msg=audit(1.2:4): z",
    ]
    assert lines == 4


def test_blank_lines_are_counted_and_give_no_record() -> None:
    records, lines = whole(b"\na\n\n\nb\n", CONTINUED)
    assert (records.height, lines) == (2, 5)


LINE = st.one_of(
    st.sampled_from(["", "-->x", "\tat java", "plain line", "ü" * 5, "Event [7] [1-2] a", "Event [7] [2-2] b"]),
    st.integers(1, 3).map(lambda n: f"type=X msg=audit(1.1:{n}): rec"),
)


@example(lines=["", "-->x"], step=1, rules=CONTINUED, end=False)
@settings(max_examples=150, deadline=None)
@given(st.lists(LINE, max_size=40), st.integers(1, 60), st.sampled_from([RecordRules(), CONTINUED, JOINED, BOTH]), st.booleans())
def test_any_cut_into_ranges_gives_the_same_records(lines: list[str], step: int, rules: RecordRules, end: bool) -> None:
    data = ("\n".join(lines) + ("\n" if end else "")).encode()
    expected, count = whole(data, rules)
    got, got_count = in_ranges(data, step, rules) if data else (expected, count)
    assert got.to_dicts() == expected.to_dicts()
    assert got_count == count == data.count(b"\n") + bool(data and not data.endswith(b"\n"))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.integers(1, 40))
def test_random_bytes_lose_no_line(data: bytes, step: int) -> None:
    expected, count = whole(data, BOTH)
    got, got_count = in_ranges(data, step, BOTH) if data else (expected, count)
    assert got.to_dicts() == expected.to_dicts()
    assert got_count == count


@pytest.mark.parametrize("gap", [65_000, 70_000])
def test_join_reaches_64_kib(gap: int) -> None:
    data = b"type=A msg=audit(1.2:3): x\n" + b"f" * gap + b"\ntype=B msg=audit(1.2:3): y\n"
    records, _ = whole(data, JOINED)
    assert records.height == (2 if gap < 65536 - 60 else 3)
    assert in_ranges(data, 1000, JOINED)[0].to_dicts() == records.to_dicts()
