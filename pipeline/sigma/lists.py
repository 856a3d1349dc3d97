"""Value lists: what `field|expand: '%bastions%'` stands for. Data that users fill in without touching a rule.

A folder of lists holds any of: `lists.yml` (name -> values), `<name>.txt` (a value a line, `#` starts a comment), `<name>.csv` (a header,
then the values in the first column). A user's folder comes on top of ours: a list there replaces ours of the same name. Values are read
as those in a rule are, with wildcards; pySigma's own `expand` knows neither files nor networks.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import RootModel

from .. import content
from ..errors import ContentError, did_you_mean
from ..schema import BY_NAME
from .documents import Document, KeyPath
from .rewrite import pairs_of, rewrite

Value = str | int | float
PLACEHOLDER = re.compile(r"(?<!\\)%([^%]+)%")
FILES = "lists.yml"
_NAME = re.compile(r"\w+")
_HINT = "a list is a line in lists.yml, or a file <name>.txt or <name>.csv, in the folder of --lists"


class _Lists(RootModel[dict[str, tuple[Value, ...] | None]]):
    """A `lists.yml`."""


@dataclass(frozen=True)
class ValueList:
    """The values of one list, and the file they are from."""

    name: str
    values: tuple[Value, ...]
    path: Path


@dataclass(frozen=True)
class Lists:
    """All lists by name, and what is wrong with their files."""

    by_name: Mapping[str, ValueList] = field(default_factory=dict)
    errors: tuple[ContentError, ...] = ()

    def expanded(self, document: Document) -> Document:
        """The document with the values of lists in place of placeholders. Raises ContentError for an unknown one.

        A list without values cannot be written out: its placeholder stays, for the compiler to make it a term that is false.
        """
        return rewrite(document, lambda keys, key, value: self._expand(document, keys, key, value))

    def _expand(self, document: Document, keys: KeyPath, key: str, given: Any) -> tuple[str, Any]:
        name, *modifiers = key.split("|")
        if "expand" not in modifiers:
            return key, given
        texts = given if isinstance(given, list) else [given]
        for text in texts:
            self._check(document, keys, key, text)
        values = [self._written_out(text) for text in texts]
        if all(values) if "all" in modifiers else any(values):
            rest = "|".join([name, *(m for m in modifiers if m != "expand")])
            return rest, [_typed(value, name) for found in values for value in found]
        # what else the key asks for (a network, an encoding) could not be asked of a placeholder
        kept = [modifier for modifier in modifiers if modifier in ("expand", "all", "neq")]
        return "|".join([name, *kept]), [text for text, found in zip(texts, values, strict=True) if not found]

    def _check(self, document: Document, keys: KeyPath, key: str, text: Any) -> None:
        names = PLACEHOLDER.findall(text) if isinstance(text, str) else []
        if not names:
            raise document.error(f"{key}: {text!r} has no placeholder", *keys, hint="write the name of a list, such as '%bastions%'")
        for name in names:
            if name not in self.by_name:
                known = did_you_mean(name, self.by_name, f"lists: {', '.join(sorted(self.by_name)) or 'none'}")
                raise document.error(f"{key}: unknown list %{name}%", *keys, hint=f"{known}; {_HINT}")

    def _written_out(self, text: str) -> list[Value]:
        """The text with each placeholder replaced by each value of its list."""
        if whole := PLACEHOLDER.fullmatch(text):
            return list(self.by_name[whole[1]].values)
        parts = PLACEHOLDER.split(text)  # text, name, text, name, ... text
        choices = [self.by_name[part].values if number % 2 else (part,) for number, part in enumerate(parts)]
        return ["".join(map(str, chosen)) for chosen in product(*choices)]


def placeholders(document: Document) -> set[str]:
    """Names of the lists that a document, as written, refers to."""
    written = Document(document.path, document.written, {})
    values = [value for key, value in pairs_of(written) if "expand" in key.split("|")[1:]]
    return {name for value in values for text in (value if isinstance(value, list) else [value]) for name in PLACEHOLDER.findall(str(text))}


def read_lists(folders: Iterable[Path]) -> Lists:
    """The lists of some folders; those of later folders replace those of earlier ones."""
    found: dict[str, ValueList] = {}
    errors: list[ContentError] = []
    for folder in folders:
        here: dict[str, ValueList] = {}
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            try:
                for values in _read(path):
                    if values.name in here:
                        raise ContentError(f"list {values.name!r} is also in {here[values.name].path}", path, 1, "merge the two")
                    here[values.name] = values
            except ContentError as error:
                errors.append(error)
        found |= here
    return Lists(found, tuple(errors))


def _read(path: Path) -> Iterator[ValueList]:
    if path.name == FILES:
        for name, values in content.read_model(path, _Lists).root.items():
            if not _NAME.fullmatch(name):
                raise ContentError(f"{name!r} is no name of a list", path, content.line_of(path, (name,)), "letters, digits and _")
            yield ValueList(name, tuple(dict.fromkeys(values or ())), path)
    elif path.suffix in (".txt", ".csv"):
        if not _NAME.fullmatch(path.stem):
            raise ContentError(f"{path.stem!r} is no name of a list", path, 1, "letters, digits and _")
        yield ValueList(path.stem, tuple(dict.fromkeys(_lines(path))), path)
    elif path.suffix in (".yml", ".yaml"):
        raise ContentError("not read: lists in YAML are in lists.yml", path, 1, _HINT)


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ContentError(f"cannot be read: {error}", path, 1, "a list is UTF-8 text") from None
    if path.suffix == ".csv":
        return [row[0].strip() for row in list(csv.reader(text.splitlines()))[1:] if row and row[0].strip()]
    return [value for line in text.splitlines() if (value := line.split("#", 1)[0].strip())]


def _typed(value: Value, name: str) -> Value:
    """A number for a field of numbers: text files know only text."""
    numeric = name in BY_NAME and BY_NAME[name].type == "long" and isinstance(value, str)
    return int(value) if numeric and re.fullmatch(r"-?\d+", str(value)) else value
