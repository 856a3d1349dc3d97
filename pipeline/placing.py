"""The commands that ask the memory of who ran where, and check what the user says of the site."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from .errors import HypervigilError, InputError, did_you_mean
from .stopping import stoppable
from .terminal import Json, Lake, out, print_json, settings
from .text import one_line

if TYPE_CHECKING:
    import polars as pl

    from .context.asking import Separation

app = typer.Typer()
context = typer.Typer(no_args_is_help=True, help="Ask who ran where, when, and whose it was; check your files about the site.")
app.add_typer(context, name="context")
_NOTHING = "`hypervigil run` learns it from logs, and from your inventories with --context FOLDER"
_LABELS = {"host": "host", "cluster": "cluster", "tenant": "tenant", "segment": "segment", "zone": "zone", "role": "role",
           "state": "state", "addresses": "addresses", "since": "since", "until": "until", "source": "said by", "event": "in"}


class Kind(StrEnum):
    """What may be asked for."""

    vm = "vm"
    ip = "ip"
    mac = "mac"


@context.command()
def show(
    kind: Annotated[Kind, typer.Argument(help="What NAME is: a machine, or an address that one had.")],
    name: Annotated[str, typer.Argument(help="Name (or instance id) of the machine, or the address.")],
    at: Annotated[str | None, typer.Option(help="When: ISO 8601; UTC if it has no zone. Default: now.")] = None,
    lake: Lake = None,
    json: Json = False,
) -> None:
    """Tell where a machine was at a time, who owned it and what says so; or which machine had an address.

    `unknown` is an answer: it means that no record says it, or that records contradict one another, and the reason is told.

    Example: [bold]hypervigil context show vm web01 --at 2026-03-01T10:00Z[/]
    """
    from .context.asking import as_of

    moment = _moment(at, "at") if at else datetime.now(UTC)
    wanted = _canonical(kind, name)
    rows = stoppable(lambda: _intervals(settings(lake=lake).lake_url, (kind.value, wanted)))
    found = as_of(rows, kind.value, wanted, moment)
    if json:
        print_json({"kind": kind.value, "name": wanted, "at": moment.isoformat().replace("+00:00", "Z"), "found": found})
        return
    if not found:
        told = f"nothing is known of it at {moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"
        out.print(f"{escape(one_line(wanted, 200))}: {told}", highlight=False, soft_wrap=True)
    for answer in found:
        out.print(_answer(answer))


@context.command()
def separation(
    tenant_a: Annotated[str, typer.Argument(help="A tenant, as inventories or tenants.csv name it.")],
    tenant_b: Annotated[str, typer.Argument(help="Another one.")],
    since: Annotated[str, typer.Option(help="From when (ISO 8601, UTC if it has no zone).")],
    until: Annotated[str, typer.Option(help="Until before when.")],
    lake: Lake = None,
    json: Json = False,
) -> None:
    """List every interval in which two tenants shared a host, and every one in which that is unknown.

    Proof of separation is an empty first list AND an empty second one. A machine counts while it runs, or while nobody says that it
    does not.

    Example: [bold]hypervigil context separation acme globex --since 2026-03-01 --until 2026-04-01[/]
    """
    from .context.asking import separation as compare

    one, other = tenant_a.strip().lower(), tenant_b.strip().lower()
    start, end = _moment(since, "since"), _moment(until, "until")
    if one == other:
        raise HypervigilError(f"{one!r} is one tenant: separation is between two")
    if start >= end:
        raise HypervigilError("--since must lie before --until")
    rows = stoppable(lambda: _intervals(settings(lake=lake).lake_url))
    _check_tenants(rows, one, other)
    answer = compare(rows, one, other, start, end)
    if json:
        print_json({"tenants": [one, other], "since": start.isoformat(), "until": end.isoformat()} | answer.as_dict())
    else:
        _print_separation(answer, one, other)


@context.command()
def check(
    folder: Annotated[Path, typer.Argument(help="Folder with inventory*.csv, addresses*.csv, identities.csv, tenants.csv, policy.yml.")],
    json: Json = False,
) -> None:
    """Read your files about the site and say what is wrong with them, without Spark.

    What cannot be used is an error with file and line; what was put right is told.

    Example: [bold]hypervigil context check ./site[/]
    """
    from .context.files import read_context

    read = read_context(folder)
    counts = {"inventory_rows": read.inventory.height, "snapshots": read.inventory.get_column("snapshot").n_unique(),
              "address_facts": read.addresses.height, "identities": len(read.identities.principals), "tenants": len(read.tenants),
              "repaired": list(read.repaired)}
    if json:
        print_json(counts)
        return
    for line in read.repaired:
        out.print(f"[yellow]repaired[/] {escape(one_line(line, 1000))}", highlight=False, soft_wrap=True)
    told = ", ".join(f"{value:,} {name.replace('_', ' ')}" for name, value in counts.items() if isinstance(value, int))
    out.print(told, highlight=False)


def _intervals(url: str, only: tuple[str, str] | None = None) -> pl.DataFrame:
    """What the lake knows: of one machine or address and its machine's, or of all machines. Raises LakeError, InputError."""
    import polars as pl

    from .config import Settings
    from .context.tables import placed, remembered
    from .lake import Lake as House
    from .session import clear_errors, session, stop

    spark = session(Settings(lake=url))
    try:
        with clear_errors(url):
            table = placed(House(spark, url))
            if table is None:
                raise InputError("nothing is known of where machines were", url, hint=_NOTHING)
            rows = remembered(table, only)
    finally:
        stop(spark)
    if only and rows.filter((pl.col("kind") == only[0]) & (pl.col("key") == only[1])).is_empty():
        raise InputError(f"no record names the {only[0]} {only[1]!r}", url, hint=_NOTHING)
    return rows


def _canonical(kind: Kind, name: str) -> str:
    import polars as pl

    from .context import names

    make = {Kind.vm: names.vm_name, Kind.ip: names.address, Kind.mac: names.mac}[kind]
    found = pl.select(make(pl.lit(name))).item()
    if found is None:
        raise HypervigilError(f"{name!r} is no {kind.value}")
    return str(found)


def _moment(text: str, option: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise HypervigilError(f"--{option} = {text!r} is no time", hint="write 2026-03-01T10:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _check_tenants(rows: pl.DataFrame, *wanted: str) -> None:
    known = rows.get_column("tenant").drop_nulls().unique().sort().to_list()
    for name in wanted:
        if name not in known:
            hint = did_you_mean(name, known, "known: " + ", ".join(known[:10]))
            raise HypervigilError(f"no machine is of the tenant {name!r}", hint=hint)


def _answer(answer: dict[str, Any]) -> Table:
    table = Table(show_header=False, box=None, title=escape(one_line(str(answer["vm"]), 200)), title_justify="left")
    for key, label in _LABELS.items():
        value = answer[key]
        text = ", ".join(value) if isinstance(value, list) else value
        if key == "host" and text is None and answer["state"] != "removed":
            text = f"unknown: {answer['reason'] or 'no record says it'}"
        if text or key in ("tenant", "until"):
            table.add_row(f"[dim]{label}[/]", escape(one_line(str(text or ("now" if key == "until" else "unknown")), 300)))
    return table


def _print_separation(answer: Separation, one: str, other: str) -> None:
    shared = Table("host", "from (UTC)", "until", f"of {escape(one)}", f"of {escape(other)}", box=None, header_style="dim")
    for row in answer.shared:
        machines = [escape(one_line(", ".join(row["vms"][name]), 200)) for name in (one, other)]
        shared.add_row(escape(row["host"]), row["since"], row["until"], *machines)
    unknown = Table("machine", "tenant", "from (UTC)", "until", "why it is unknown", box=None, header_style="dim")
    for row in answer.unknown:
        unknown.add_row(*(escape(one_line(str(row[key] or ""), 200)) for key in ("vm", "tenant", "since", "until", "reason")))
    out.print(f"{len(answer.shared):,} intervals on one host", highlight=False)
    if answer.shared:
        out.print(shared)
    out.print(f"{len(answer.unknown):,} intervals in which it is unknown", highlight=False)
    if answer.unknown:
        out.print(unknown)
    if answer.unclaimed:
        out.print(f"{answer.unclaimed:,} machines ran whose tenant nobody names (tenants.csv)", highlight=False)
