"""`detections.lock`: what every rule, correlation and filter was when it was last agreed upon, one line each.

A rule that changes gets a new `custom.version`, so that an alert says which rule raised it. `hypervigil check` compares, and
`hypervigil check --update-lock` writes the file anew; it refuses a rule that changed under its old version.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, RootModel

from .. import content
from ..errors import ContentError
from .documents import Document

NAME = "detections.lock"
UPDATE = "hypervigil check --update-lock"
_HEAD = f"# Written by `{UPDATE}`: id, then name, version and hash of every rule, correlation and filter.\n"


class Locked(BaseModel):
    """One line: what a rule was."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: int
    hash: str


class _Lock(RootModel[dict[str, Locked]]):
    """The file."""


def read_lock(folder: Path) -> dict[str, Locked]:
    """The lock of a folder of detections; empty if there is none. Raises ContentError for one that cannot be read."""
    path = folder / NAME
    return dict(content.read_model(path, _Lock).root) if path.exists() else {}


def check_lock(folder: Path, documents: Iterable[Document]) -> list[ContentError]:
    """Where the rules of a folder and its lock differ. A folder without a lock has agreed upon nothing yet."""
    if not (folder / NAME).exists():
        return []
    try:
        locked = read_lock(folder)
    except ContentError as error:
        return [error]
    known = {str(document.data.get("id")): document for document in documents}
    errors = [found for key, document in known.items() if (found := _difference(document, locked.get(key)))]
    lock = folder / NAME
    lines = _lines(lock) if locked.keys() - known.keys() else {}
    return errors + [ContentError(f"rule {was.name!r} is locked, and gone", lock, lines.get(key), f"restore it, or {UPDATE}")
                     for key, was in locked.items() if key not in known]


def update_lock(folder: Path, documents: Iterable[Document]) -> list[ContentError]:
    """Write the lock anew. Rules that changed under their old version keep their old line; they are what is returned."""
    locked = read_lock(folder)
    refused, lines = list[ContentError](), dict[str, Locked]()
    for document in documents:
        key, now = str(document.data.get("id")), locked_of(document)
        was = locked.get(key)
        problem = _unbumped(document, was, now) if was else None
        refused += [problem] if problem else []
        lines[key] = was if was and problem else now
    (folder / NAME).write_text(_text(lines), encoding="utf-8")
    return refused


def locked_of(document: Document) -> Locked:
    """What a rule is, as the lock has it. Comments and layout are not part of it."""
    data = json.dumps(document.written, sort_keys=True, default=str, ensure_ascii=False)
    digest = hashlib.blake2b(data.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return Locked(name=str(document.data.get("name") or document.path.stem), version=_version(document), hash=digest)


def _version(document: Document) -> int:
    return int(document.version) if document.version.isdecimal() else 1


def _difference(document: Document, was: Locked | None) -> ContentError | None:
    now = locked_of(document)
    if was is None:
        return document.error(f"is not in {NAME}", hint=UPDATE)
    if was == now:
        return None
    return _unbumped(document, was, now) or document.error(
        f"{NAME} has it as {was.name} {was.version}, it is {now.name} {now.version}", hint=UPDATE)


def _unbumped(document: Document, was: Locked, now: Locked) -> ContentError | None:
    """The error of a rule that changed, or went back, without a newer version; a rule may be renamed."""
    if now.version > was.version or (now.version == was.version and now.hash == was.hash):
        return None
    message = f"changed since version {was.version} (hash {was.hash}, now {now.hash}), and its version is {now.version}"
    return document.error(message, "custom", "version", hint=f"set custom.version: {was.version + 1}, then {UPDATE}")


def _text(lines: Mapping[str, Locked]) -> str:
    ordered = sorted(lines.items(), key=lambda line: (line[1].name, line[0]))
    return _HEAD + "".join(f"{key}: {{name: {json.dumps(x.name)}, version: {x.version}, hash: '{x.hash}'}}\n" for key, x in ordered)


def _lines(path: Path) -> dict[str, int]:
    node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return {key.value: key.start_mark.line + 1 for key, _ in node.value} if isinstance(node, yaml.MappingNode) else {}

