"""Which bytes of which file the lake has already: the table `files`, one row per file and run that read it; the newest row counts.

A file is known again by its first line and by the bytes before the point up to which it was read, so it may grow, move, be renamed or
compressed; only what is new is read. Two files with the same first line and different text get ids of their own.
The last records of a file may still grow (a line without its newline, continuations, audit records of one event): they are read again
with it, and replaced where they changed.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from .errors import InputError
from .finding import Found, Problem
from .kernel import files
from .kernel.files import FileInfo
from .kernel.framing import JOIN_WINDOW
from .sources import Committed, Piece, TailRecord, new_piece

FINGERPRINT = 64 * 1024
REACH = 2 * JOIN_WINDOW  # records that start this close to the end may be joined with lines to come
CHUNK = 1 << 20


@dataclass(frozen=True)
class Entry:
    """The newest row of a file."""

    file_id: str
    path: str
    identity: str
    stored_bytes: int
    modified: Any
    committed: Committed


class Ledger:
    """Everything committed so far."""

    def __init__(self, rows: Iterable[dict[str, Any]]) -> None:
        self.by_path: dict[str, Entry] = {}
        self.by_identity: dict[str, dict[str, Entry]] = defaultdict(dict)
        for row in sorted(rows, key=lambda row: row["run"]):
            entry = _entry(row)
            self.by_path[entry.path] = entry
            self.by_identity[entry.identity][entry.file_id] = entry

    def unchanged(self, found: Found) -> bool:
        """Whether a file is as it was when it was read: same path, size and time of change."""
        entry = self.by_path.get(found.path)
        return entry is not None and (entry.stored_bytes, entry.modified) == (found.size, found.modified)

    def known(self, info: FileInfo) -> tuple[Entry, int] | None:
        """The entry of which a file is the continuation or a copy, and the size of its text."""
        candidates = list(self.by_identity.get(info.identity, {}).values())
        if info.path in self.by_path:
            candidates.append(self.by_path[info.path])
        size = _text_size(info) if candidates else 0
        return next(((e, size) for e in candidates if _continues(info, size, e)), None)

    def file_id(self, info: FileInfo, taken: set[str]) -> str:
        """An id for a new file: its identity, with a number where another file has that."""
        used = taken | set(self.by_identity.get(info.identity, {}))
        return next(i for i in (info.identity, *(f"{info.identity}.{n}" for n in range(1, len(used) + 2))) if i not in used)


def plan(found: list[Found], infos: list[FileInfo], ledger: Ledger, parser: str | None) -> tuple[list[Piece], list[Problem]]:
    """A piece per file with something new, and what is left out: copies of other new files, and what cannot be read after all.
    `infos` is a part of `found`.
    """
    modified = {item.path: item.modified for item in found}
    pieces: list[Piece] = []
    left_out: list[Problem] = []
    new: dict[str, list[FileInfo]] = defaultdict(list)
    for info in infos:
        try:
            known = ledger.known(info)
        except InputError as error:
            left_out.append(Problem(info.path, error.message))
            continue
        if known is None:
            new[info.identity].append(info)
        elif known[1] > known[0].committed.text_bytes:
            entry, piece = known[0], new_piece(info, parser, modified[info.path])
            pieces.append(replace(piece, file_id=entry.file_id, start=entry.committed.resume, committed=entry.committed))
    for group in new.values():
        taken: set[str] = set()
        distinct, copies = _distinct(group)
        left_out += copies
        for info in distinct:
            taken.add(file_id := ledger.file_id(info, taken))
            pieces.append(replace(new_piece(info, parser, modified[info.path]), file_id=file_id))
    return sorted(pieces, key=lambda p: p.path), left_out


def _distinct(group: list[FileInfo]) -> tuple[list[FileInfo], list[Problem]]:
    """Of files with one first line: those to read, by path, and those to leave out, because another begins with all of their text or
    because they cannot be compared (what is taken for new by mistake would be read twice).
    """
    if len(group) == 1:
        return group, []
    sizes: dict[str, int] = {}
    kept: list[FileInfo] = []
    left_out: list[Problem] = []
    for info in group:
        try:
            sizes[info.path] = _text_size(info)
        except InputError as error:
            left_out.append(Problem(info.path, error.message))
    for info in sorted((i for i in group if i.path in sizes), key=lambda i: (-sizes[i.path], i.path)):
        try:  # a file without text, of which only the damage can be told, is nobody's copy
            of = next((other for other in kept if _begins_with(other, info)), None) if sizes[info.path] else None
        except InputError as error:
            left_out.append(Problem(info.path, error.message))
            continue
        if of:
            left_out.append(Problem(info.path, f"the same text as {of.path}, which is read"))
        else:
            kept.append(info)
    return sorted(kept, key=lambda i: i.path), left_out


def _text_size(info: FileInfo) -> int:
    if info.splittable:
        return info.size
    text = files.open_text(info)
    text.file.close()
    return text.size


def _begins_with(longer: FileInfo, shorter: FileInfo) -> bool:
    """Whether the text of one file begins with the whole text of another; stops at the first difference."""
    a, b = files.open_text(longer), files.open_text(shorter)
    with a.file, b.file, _reading(shorter):
        a.file.seek(0)
        b.file.seek(0)
        while chunk := b.file.read(CHUNK):
            if a.file.read(len(chunk)) != chunk:
                return False
    return True


def _continues(info: FileInfo, size: int, entry: Entry) -> bool:
    """Whether a text goes on where the entry ends; or, if it is shorter, whether the entry's file, if still there, begins with it."""
    end = entry.committed.text_bytes
    if size < end:
        whole = None if info.path == entry.path else _still_there(entry.path)
        return whole is not None and _begins_with(whole, info)
    text = files.open_text(info)
    with text.file, _reading(info):
        return fingerprint(text.file, end) == entry.committed.fingerprint


def _still_there(path: str) -> FileInfo | None:
    try:
        return files.describe(path)
    except InputError:
        return None


@contextmanager
def _reading(info: FileInfo) -> Iterator[None]:
    """A file that opens and then cannot be read is no new file: that would read it twice."""
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot be read: {error}", info.path) from None


def fingerprint(file: BinaryIO, end: int) -> str:
    """Hash of the bytes before `end`."""
    start = max(0, end - FINGERPRINT)
    file.seek(start)
    return hashlib.blake2b(file.read(end - start), digest_size=8).hexdigest()


def _entry(row: dict[str, Any]) -> Entry:
    committed = Committed(row["text_bytes"], row["lines"], row["resume"], tuple(TailRecord(**t) for t in row["tail"]), row["tail_lines"],
                          row["fingerprint"])
    return Entry(row["file_id"], row["path"], row["identity"], row["stored_bytes"], row["modified"], committed)
