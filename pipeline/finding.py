"""What there is to read: files under the inputs, their heads, and what cannot be read and why. Nothing a folder holds is fatal."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from stat import S_ISDIR, S_ISREG

import pyarrow as pa
import pyarrow.fs as pafs

from .errors import InputError
from .kernel import files
from .kernel.files import FileInfo

# What cannot be a log. Everything else is opened and judged by content.
NOT_LOGS = (".md", ".rst", ".html", ".css", ".js", ".py", ".yml", ".yaml", ".expected.json", "-expected.json", ".parquet", ".pdf", ".png",
            ".jpg", ".jpeg", ".gif", ".svg", ".ico", ".zip", ".tar", ".tgz", ".tar.gz", ".7z", ".rar", ".iso", ".ova", ".vmdk", ".exe",
            ".dll", ".so", ".jar", ".pyc", ".db", ".sqlite", ".crc", ".swp", ".toml")
HIDDEN = (".", "_")
NEITHER = "neither a file nor a folder"
LOOK = 8192
BINARY_SHARE = 0.3  # of the first characters; text with some NULs, as a crash leaves them, is still a log
THREADS = 16
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Found:
    """A file that discovery saw."""

    path: str
    size: int
    modified: datetime


@dataclass(frozen=True)
class Problem:
    """An input that was not read, and why."""

    path: str
    reason: str


Listing = tuple[list[Found], list[Problem]]


def find(inputs: Iterable[str], avoid: str | None = None) -> Listing:
    """Files under the inputs, sorted by path. A file named itself is always taken; in folders hidden files, what cannot be a log and
    the folder `avoid` (the lake) are left out. Raises InputError where none of the inputs can be opened.
    """
    found: dict[str, Found] = {}
    problems: list[Problem] = []
    failed: list[Problem] = []
    for path in (given if "://" in given else os.path.abspath(given) for given in inputs):
        try:
            inside, trouble = (_remote if "://" in path else _local)(path, avoid)
        except FileNotFoundError:
            failed.append(Problem(path, "no such file or folder"))
        except (OSError, pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            failed.append(Problem(path, f"cannot be opened: {_reason(error)}"))
        else:
            found |= {item.path: item for item in inside}
            problems += trouble if inside or trouble else [Problem(path, "no log files in it")]
    if failed and not found and not problems:
        raise InputError(failed[0].reason, failed[0].path)
    return [found[path] for path in sorted(found)], [*failed, *problems]


def _local(root: str, avoid: str | None) -> Listing:
    """Links are followed; a folder that several lead to is entered once."""
    stat = os.stat(root)
    if not S_ISDIR(stat.st_mode):
        return ([_found(root, stat)], []) if S_ISREG(stat.st_mode) else ([], [Problem(root, NEITHER)])
    os.scandir(root).close()  # a root that cannot be listed is no problem among others
    found: list[Found] = []
    problems: list[Problem] = []
    entered = {_key(os.stat(avoid))} if avoid and os.path.exists(avoid) else set()

    def enter(folder: str) -> bool:
        try:
            key = _key(os.stat(folder))
        except OSError as error:
            return refuse(error)
        new = key not in entered
        entered.add(key)
        return new

    def refuse(error: OSError) -> bool:
        problems.append(Problem(_printable(error.filename), f"cannot be opened: {_reason(error)}"))
        return False

    for folder, folders, names in os.walk(root, onerror=refuse, followlinks=True) if enter(root) else ():
        folders[:] = [name for name in folders if not name.startswith(HIDDEN) and enter(f"{folder}/{name}")]
        for path in (f"{folder}/{name}" for name in names if not name.startswith(HIDDEN) and not name.lower().endswith(NOT_LOGS)):
            try:
                stat = os.stat(path)
            except FileNotFoundError:  # a dangling link, or gone since
                continue
            except OSError as error:
                refuse(error)
                continue
            if _printable(path) != path:
                problems.append(Problem(_printable(path), "its name is not UTF-8: rename it"))
            elif not S_ISREG(stat.st_mode):
                problems.append(Problem(path, NEITHER))
            else:
                found.append(_found(path, stat))
    return found, problems


def _found(path: str, stat: os.stat_result) -> Found:
    return Found(path, stat.st_size, EPOCH + timedelta(microseconds=stat.st_mtime_ns // 1000))


def _key(stat: os.stat_result) -> tuple[int, int]:
    return stat.st_dev, stat.st_ino


def _printable(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "replace")


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _remote(url: str, avoid: str | None) -> Listing:
    system, inner = files.filesystem(url)
    prefix = url[: len(url) - len(inner)] if url.endswith(inner) else ""
    stat = system.get_file_info(inner)
    if stat.type == pafs.FileType.NotFound:
        raise FileNotFoundError(url)
    root = inner.rstrip("/")
    entries = [stat] if stat.is_file else [
        e for e in system.get_file_info(pafs.FileSelector(root, recursive=True)) if e.is_file
        and not e.base_name.lower().endswith(NOT_LOGS) and not any(part.startswith(HIDDEN) for part in e.path[len(root) + 1 :].split("/"))
        and not (avoid and (prefix + e.path).startswith(avoid.rstrip("/") + "/"))]
    now = datetime.now(UTC)
    return [Found(prefix + e.path, e.size, e.mtime.astimezone(UTC) if e.mtime else now) for e in entries], []


def describe(found: list[Found]) -> tuple[list[FileInfo], list[Problem]]:
    """Heads of files, in order; unreadable, empty and binary files become problems."""
    def one(item: Found) -> FileInfo | Problem:
        try:
            info = files.describe(item.path)
            if not info.head and not _damaged(info):
                return Problem(item.path, "empty file")
        except InputError as error:
            return Problem(item.path, error.message)
        return Problem(item.path, "binary file") if is_binary(info.head) else replace(info, size=min(info.size, item.size))

    with ThreadPoolExecutor(THREADS) as pool:
        results = list(pool.map(one, found))
    return [r for r in results if isinstance(r, FileInfo)], [r for r in results if isinstance(r, Problem)]


def _damaged(info: FileInfo) -> bool:
    text = files.open_text(info)
    text.file.close()
    return text.damage is not None


def is_binary(head: bytes) -> bool:
    """Whether the first bytes look like no text at all."""
    text = head[:LOOK].decode("utf-8", "replace")
    odd = sum(char == "\ufffd" or (char < " " and char not in "\t\n\r\x0b\x0c\x1b\x1d") for char in text)
    return odd > BINARY_SHARE * len(text)
