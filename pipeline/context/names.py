"""Canonical names: one VM, host or user has one name in every log.

Expressions over flat frames whose columns are ECS fields; a column that is absent is null. All names are in lower case.

- host: the short name, or the address where a log knows only that; else `hypervisor.origin`, which tells records of hosts apart.
- vm: the instance id in a cloud (its records after the launch know no other name), else the name, else the name of the .vmx or domain
  file, else uuid, else the manager's id. A bare number is none: it is counted anew on every host.
- user: the person or service of the identity map, else `domain\\name`, else the name.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

VM_FIELDS = ("cloud.instance.id", "vm.name", "vm.path", "vm.uuid", "vm.id")
HOST_FIELDS = ("host.name", "host.hostname", "hypervisor.origin")
USER_FIELDS = ("user.domain", "user.name", "user.email", "user.id", "aws.cloudtrail.user_identity.arn")
FIELDS = (*VM_FIELDS, *HOST_FIELDS, *USER_FIELDS)  # what `canonical` reads of a hit
ADDRESS = r"^(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f.]*:[0-9a-f:.]*(?:%.+)?)$"
NO_PRINCIPALS: Mapping[str, str] = {}


def canonical(rows: pl.DataFrame, principals: Mapping[str, str] = NO_PRINCIPALS) -> pl.DataFrame:
    """The rows with the columns `vm`, `host` and `user`; `principals` are those of the identity map (identities.Identities.principals)."""
    return rows.with_columns(_vm(rows).alias("vm"), _host(rows).alias("host"), _user(rows, principals).alias("user"))


def vm_name(raw: pl.Expr) -> pl.Expr:
    """A VM's name as a manager or a user writes it; vCenter escapes slash, backslash and percent."""
    plain = raw
    for escape, char in (("%2f", "/"), ("%2F", "/"), ("%5c", "\\"), ("%5C", "\\"), ("%25", "%")):
        plain = plain.str.replace_all(escape, char, literal=True)
    return _filled(plain.str.strip_chars().str.to_lowercase())


def host_name(raw: pl.Expr) -> pl.Expr:
    """A host's name: the part before the first dot, unless it is an address."""
    plain = raw.str.strip_chars(" []").str.to_lowercase()
    return _filled(pl.when(plain.str.contains(ADDRESS)).then(plain).otherwise(plain.str.split(".").list.first()))


def mac(raw: pl.Expr) -> pl.Expr:
    """A MAC address in lower case with colons; null for what is none."""
    digits = raw.str.to_lowercase().str.replace_all("[^0-9a-f]", "")
    pairs = (digits.str.slice(start, 2) for start in range(0, 12, 2))
    return pl.when(digits.str.len_chars() == 12).then(pl.concat_str(*pairs, separator=":"))


def address(raw: pl.Expr) -> pl.Expr:
    """An IP address as the pipeline writes it: lower case, without brackets or zone; null for what is none."""
    plain = raw.str.strip_chars(" []").str.to_lowercase().str.replace(r"%.*$", "")
    return pl.when(plain.str.contains(ADDRESS)).then(plain)


def principal(raw: str) -> str:
    """A principal as a user writes it (`x@corp`, `CORP\\x`, an ARN), in the form that events are compared in."""
    text = raw.strip().lower()
    name, at, domain = text.rpartition("@")
    return f"{domain}\\{name}" if at and name and domain and "\\" not in text and ":" not in text else text


def _vm(rows: pl.DataFrame) -> pl.Expr:
    path = _text(rows, "vm.path").str.extract(r"([^/\\]+?)(?:\.[A-Za-z0-9]+)?$")
    number = _text(rows, "vm.id")
    manager = pl.when(~number.str.contains(r"^\d+$")).then(number)
    return pl.coalesce(*(vm_name(each) for each in (_text(rows, "cloud.instance.id"), _text(rows, "vm.name"), path,
                                                    _text(rows, "vm.uuid"), manager)))


def _host(rows: pl.DataFrame) -> pl.Expr:
    named = [host_name(_text(rows, field)) for field in ("host.name", "host.hostname")]
    return pl.coalesce(*named, _filled(_text(rows, "hypervisor.origin").str.to_lowercase()))


def _user(rows: pl.DataFrame, principals: Mapping[str, str]) -> pl.Expr:
    domain, name = (_filled(_text(rows, field).str.strip_chars().str.to_lowercase()) for field in ("user.domain", "user.name"))
    own = pl.coalesce(pl.concat_str(domain, name, separator="\\"), name)
    if not principals:
        return own
    ids = [_text(rows, field).str.to_lowercase() for field in ("aws.cloudtrail.user_identity.arn", "user.id")]
    known = [raw.replace_strict(dict(principals), default=None, return_dtype=pl.String) for raw in (own, _email(rows), *ids)]
    return pl.coalesce(*known, own)


def _email(rows: pl.DataFrame) -> pl.Expr:
    """An e-mail address in the form that `principal` gives it."""
    return _text(rows, "user.email").str.to_lowercase().str.replace(r"^([^@\\]+)@([^@\\]+)$", r"${2}\${1}")


def _text(rows: pl.DataFrame, field: str) -> pl.Expr:
    return pl.col(field).cast(pl.String) if field in rows.columns else pl.lit(None, pl.String)


def _filled(text: pl.Expr) -> pl.Expr:
    return pl.when(text != "").then(text)
