"""JSON documents to records: top-level objects, arrays of objects, `{"Records": [...]}` wrappers, pretty printed or not.

Found by counting braces outside strings over the whole document at once (numpy), so each record keeps its exact text and offset.
"""

from __future__ import annotations

import re

import numpy as np
import polars as pl

_WRAPPER = re.compile(rb'\s*\{\s*"(?:Records|records|Events|events|value|logEvents)"\s*:\s*\[')
Mask = np.ndarray[tuple[int], np.dtype[np.bool_]]


def split_json(document: bytes) -> pl.DataFrame:
    """The records of a document: columns `raw`, `offset` (i64), `valid` (bool: complete and UTF-8), `lines` (u32, 1 each).

    Text that belongs to no record (garbage, an object cut at the end) becomes a record with `valid` false, so that nothing is lost.
    """
    depth_of_record = 3 if _WRAPPER.match(document) else 2 if document.lstrip()[:1] == b"[" else 1
    byte = np.frombuffer(document, np.uint8)
    outside = ~_in_string(byte)
    opening = ((byte == ord("{")) | (byte == ord("["))) & outside
    closing = ((byte == ord("}")) | (byte == ord("]"))) & outside
    depth = np.cumsum(opening.astype(np.int32) - closing.astype(np.int32))
    starts = np.flatnonzero(opening & (depth == depth_of_record) & (byte == ord("{")))
    ends = np.flatnonzero(closing & (depth == depth_of_record - 1) & (byte == ord("}"))) + 1
    rows = [(int(a), int(b), True) for a, b in zip(starts, ends, strict=False)]
    if len(starts) > len(ends):
        rows.append((int(starts[len(ends)]), len(document.rstrip()), False))
    if not rows and document.strip():
        rows.append((0, len(document), False))
    texts = [_text(document[a:b]) for a, b, _ in rows]
    return pl.DataFrame(
        {
            "raw": [t for t, _ in texts],
            "offset": [a for a, _, _ in rows],
            "valid": [ok and clean for (_, _, ok), (_, clean) in zip(rows, texts, strict=True)],
            "lines": [1] * len(rows),
        },
        schema={"raw": pl.String, "offset": pl.Int64, "valid": pl.Boolean, "lines": pl.UInt32},
    )


def _text(data: bytes) -> tuple[str, bool]:
    try:
        return data.decode(), True
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace"), False


def _in_string(byte: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> Mask:
    """True for bytes inside a JSON string. A quote after an odd run of backslashes does not end it."""
    backslash = byte == ord("\\")
    run_start = np.flatnonzero(backslash & ~np.concatenate(([False], backslash[:-1])))
    run_end = np.flatnonzero(backslash & ~np.concatenate((backslash[1:], [False]))) + 1
    odd = run_end[(run_end - run_start) % 2 == 1]
    quote = byte == ord('"')
    quote[odd[odd < len(byte)]] = False
    inside: Mask = (np.cumsum(quote) % 2).astype(bool)
    return inside


def is_ndjson(head: bytes) -> bool:
    """Whether each line of the head is an object of its own (then the file is read by lines, in ranges)."""
    first = head.lstrip().split(b"\n", 1)[0].rstrip()
    return first.startswith(b"{") and first.endswith(b"}") and not _WRAPPER.match(head)
