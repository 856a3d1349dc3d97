"""Finds and reads content: the folders parsers/ and detections/, whether beside the code or inside the installed package."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from .errors import ContentError


def folder(name: str) -> Path:
    """The content folder `parsers` or `detections`: inside the package when installed, else beside pipeline/."""
    here = Path(__file__).resolve().parent
    for candidate in (here / name, here.parent / name):
        if candidate.is_dir():
            return candidate
    raise ContentError(f"content folder {name}/ not found", here, hint="reinstall the package")


def version() -> str:
    """Hash of all parsers and rules: which content made these events and alerts."""
    digest = hashlib.blake2b(digest_size=6)
    for root in map(folder, ("parsers", "detections")):
        for path in sorted(p for p in root.rglob("*") if p.is_file() and p.suffix in (".yml", ".csv", ".txt")):
            digest.update(os.fsencode(path.relative_to(root)) + b"\0" + (path.read_bytes() if os.access(path, os.R_OK) else b""))
    return digest.hexdigest()


M = TypeVar("M", bound=BaseModel)


class _Loader(yaml.CSafeLoader):
    """A safe loader that refuses duplicate keys and notes the line of every mapping key."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: dict[Any, int] = {}
    for key_node, _ in node.value:
        key = loader.construct_object(key_node)
        line = key_node.start_mark.line + 1
        if key in seen:
            raise ContentError(f"duplicate key {key!r} (first on line {seen[key]})", line=line)
        seen[key] = line
    return {loader.construct_object(k, deep=True): loader.construct_object(v, deep=True) for k, v in node.value}


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
# Booleans as in YAML 1.2: `on:`, `yes` and `no` are text (a stage has a key `on`, and audit records say success=no).
_Loader.yaml_implicit_resolvers = {
    first: [(tag, regex) for tag, regex in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


def read_yaml(path: Path) -> Any:
    """The YAML document of a file. Raises ContentError with file and line on bad syntax or duplicate keys."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except ContentError as error:
        raise ContentError(error.message, path, error.line, error.hint) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise ContentError(f"not valid YAML: {error.problem}", path, mark.line + 1 if mark else None) from None
    except (yaml.YAMLError, TypeError) as error:  # a list as key, a control character
        raise ContentError(f"not valid YAML: {' '.join(str(error).split())}", path) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ContentError(f"cannot be read: {error}", path) from None


def read_model(path: Path, model: type[M]) -> M:
    """A YAML file checked by a pydantic model. Raises ContentError naming the file, the line and the first wrong key."""
    data = read_yaml(path)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        keys = tuple(key for key in first["loc"] if "[" not in str(key))  # pydantic adds the kind of value that it tried
        message = first["msg"].removeprefix("Value error, ")
        raise ContentError(f"{'.'.join(map(str, keys))}: {message}", path, line_of(path, keys)) from None


def line_of(path: Path, keys: tuple[int | str, ...]) -> int | None:
    """The 1-based line of a nested key in a YAML file, or of its nearest ancestor that exists."""
    node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    line = None
    for key in keys:
        child = None
        if isinstance(node, yaml.MappingNode):
            child = next(((k, v) for k, v in node.value if k.value == key), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
            child = (node.value[key], node.value[key])
        if child is None:
            break
        line, node = child[0].start_mark.line + 1, child[1]
    return line
