"""The folder that the user gives as context, read and checked: what is wrong is refused, or repaired and told, with file and row.

inventory*.csv  lists of VMs at a time: `time` (ISO 8601 with zone), `vm`, `host`; optional `view` (manager, registered, running, wire),
                `source`, `uuid`, `state`, `cluster`, `tenant`, `segment`, `zone`, `role`, `ip`, `mac`, `host_uuid` (the
                host's own, of its firmware). A row with a host and no machine: this host was looked at and is empty
addresses*.csv  who had which address: `vm`, `address` (IP or MAC), `valid_from`; optional `valid_to`, `segment`
identities.csv  `principal`, `person`; optional `kind` (person, service)
tenants.csv     `tenant`; optional `name`, `zone`, `by`, `value` (tenants.TenantRow)
policy.yml      policies.Policies
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import polars as pl
from pydantic import BaseModel, ValidationError

from .. import content
from ..errors import ContentError, InputError, did_you_mean
from .columns import ADDRESS_FACTS, INVENTORY, empty
from .identities import Identities, IdentityError, IdentityRow, resolve
from .lists import addresses, inventories
from .policies import Policies
from .tenants import TenantRow

R = TypeVar("R", bound=BaseModel)
NAMES = "inventory*.csv, addresses*.csv, identities.csv, tenants.csv, policy.yml"


@dataclass(frozen=True)
class Context:
    """What a user says of the site. `repaired`: what was put right, in words; `version`: a hash of all that was read."""

    inventory: pl.DataFrame = field(default_factory=lambda: empty(INVENTORY))
    addresses: pl.DataFrame = field(default_factory=lambda: empty(ADDRESS_FACTS))
    identities: Identities = field(default_factory=Identities)
    tenants: tuple[TenantRow, ...] = ()
    policies: Policies = field(default_factory=Policies)
    repaired: tuple[str, ...] = ()
    version: str = ""


def read_context(folder: str | Path | None) -> Context:
    """The context of a folder; an empty one for None. Raises InputError or ContentError for what cannot be used."""
    if folder is None:
        return Context()
    root = Path(folder)
    if not root.is_dir():
        raise InputError("no such folder", root, hint=f"--context names a folder with some of {NAMES}")
    lists, moved = sorted(root.glob("inventory*.csv")), sorted(root.glob("addresses*.csv"))
    others = [root / name for name in ("identities.csv", "tenants.csv", "policy.yml") if (root / name).exists()]
    if not lists and not moved and not others:
        raise InputError("the folder holds no context", root, hint=f"it may hold {NAMES}")
    tenants = _tenants(root / "tenants.csv")
    known = frozenset(row.tenant for row in tenants)
    inventory, repaired = inventories(lists, known)
    return Context(inventory, addresses(moved), _identities(root / "identities.csv"), tenants, _policies(root / "policy.yml", known),
                   tuple(repaired), _version([*lists, *moved, *others]))


def _version(paths: Sequence[Path]) -> str:
    digest = hashlib.blake2b(digest_size=6)
    for path in paths:
        digest.update(path.name.encode("utf-8", "surrogateescape") + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _identities(path: Path) -> Identities:
    rows = _rows(path, IdentityRow)
    try:
        return resolve(row for _, row in rows)
    except IdentityError as error:
        raise InputError(str(error), path, rows[error.row][0], "each principal leads to one person") from None


def _tenants(path: Path) -> tuple[TenantRow, ...]:
    rows = _rows(path, TenantRow)
    owner: dict[tuple[str, str], tuple[int, str]] = {}
    for line, row in rows:
        if row.by:
            first, tenant = owner.setdefault((row.by, row.value), (line, row.tenant))
            if tenant != row.tenant:
                raise InputError(f"{row.by} {row.value!r} is of {row.tenant!r} here and of {tenant!r} on line {first}", path, line,
                                 "let one of them go, or narrow the pattern")
    return tuple(row for _, row in rows)


def _policies(path: Path, tenants: frozenset[str]) -> Policies:
    if not path.exists():
        return Policies()
    found = content.read_model(path, Policies)
    for number, flow in enumerate(found.segmentation):
        for side in ("source", "target"):
            kind, _, name = str(getattr(flow, side)).partition(":")
            if tenants and kind == "tenant" and name not in tenants and not set("*?") & set(name):
                raise ContentError(f"segmentation: unknown tenant {name!r}", path, content.line_of(path, ("segmentation", number, side)),
                                   did_you_mean(name, tenants, "tenants.csv names the tenants"))
    return found


def _rows(path: Path, model: type[R]) -> list[tuple[int, R]]:
    """Rows of a small CSV file with their lines, checked by a model. An empty cell is an absent one."""
    if not path.exists():
        return []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            _check_header(path, reader.fieldnames or (), model)
            return [(reader.line_num, _row(path, reader.line_num, record, model)) for record in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"not a CSV file in UTF-8: {error}", path) from None


def _check_header(path: Path, header: Sequence[str], model: type[BaseModel]) -> None:
    known = list(model.model_fields)
    for name in header:
        if name not in known:
            raise InputError(f"unknown column {name!r}", path, 1, did_you_mean(name, known, "columns: " + ", ".join(known)))
    missing = [name for name, each in model.model_fields.items() if each.is_required() and name not in header]
    if missing:
        raise InputError(f"column {missing[0]!r} is missing", path, 1, "columns: " + ", ".join(known))


def _row(path: Path, line: int, record: dict[str, str], model: type[R]) -> R:
    if None in record:  # DictReader keeps what is too much under None
        raise InputError("more cells than columns", path, line, "put text with a comma in quotes")
    try:
        return model.model_validate({name: value for name, value in record.items() if value})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{where}: {message}" if where else message, path, line) from None
