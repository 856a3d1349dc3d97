"""Signals to edges with two ends: which machine went to which, and where both were at that time.

An end has a name (`from.name`, `to.name`), says whether it is a VM (`from.is_vm`), and where it was (`from.host`, `.tenant`, ...). It is a
VM if the placement knows one of that name or address as of the event, or if something was done to it that is done to VMs only. Else it is
a machine: a hypervisor, a manager, or an address. What each role says:

- login: from the address (source.ip) to the machine that logged it, or whose address it is (destination.ip).
- host_login: the same, to a hypervisor or manager, whatever the placement says (a vCenter is a VM too, and a door to all others).
- flow: the same; without source.ip from the machine that logged it to destination.ip.
- guest_operation, console_ticket: from the VM at source.ip, else from the manager or host that did it, to the VM.
- disk_attach: from the VM that was given the disk to the VM whose disk it is: the one that had it before (edges), else the one
  that its path names.
"""

from __future__ import annotations

import polars as pl

from ...context.columns import PLACE
from ...context.names import host_name, vm_name
from ...context.policies import listed
from ..job import Located
from .parameters import CONSOLE, DISK, FLOW, GUEST_OPERATION, HOST_LOGIN, Hopping

c = pl.col
FIELDS = ("source.ip", "destination.ip", "destination.port", "observer.name", "vm.disk.path", "process.command_line")
OWNER = r"([^/\\\]\s]+)(?:/[^/]+\.vmdk|\.(?:qcow2?|raw|img))$"  # the folder of a .vmdk, else the name of the file
LOCATED = (Located(into="source", address="source.ip"), Located(into="destination", address="destination.ip"),
           Located(into="at", vm="vm"), Located(into="here", vm="host"), Located(into="owner", vm="vm.disk.path", pattern=OWNER))
FOLDER = r"([^/\\\]\s]+)/[^/]+\.vmdk$"
COMMANDED = r"(?:qemu-agent-command|set-user-password)\s+(?:--timeout\s+\d+\s+|--\S+\s+)*([\w.-]+)"  # virsh names the guest first
SEPARATOR = "\x1f"
ENDS = {f"{end}.{name}": pl.String for end in ("from", "to") for name in ("name", *PLACE)}
FLAGS = {"from.is_vm": pl.Boolean, "to.is_vm": pl.Boolean}


def keyed(signals: pl.DataFrame, p: Hopping) -> pl.DataFrame:
    """Signals by pair of machines; disks by path, since who had one before is asked; what a person does through a manager by person and
    manager. Without what the policies allow-list.
    """
    return _ends(signals).filter(~_allowed(p)).with_columns(_key().alias("key")).select(*signals.columns, "key")


def with_ends(signals: pl.DataFrame, p: Hopping) -> pl.DataFrame:
    """Signals that have a key, as: `key`, `role`, `time`, `event`, `user`, `who` (the user without domain), `service` (it is a program),
    `through`, `port`, ENDS and FLAGS.
    """
    return _ends(signals).select(
        "key", "role", "time", "event", "user", c("user").str.split("\\").list.last().alias("who"), "through",
        listed(p.policies.services, c("user")).alias("service"), c("destination.port").alias("port"), *ENDS, *FLAGS)


def _ends(signals: pl.DataFrame) -> pl.DataFrame:
    """Adds ENDS and FLAGS, and `through`: it was done through a manager or host, not from a VM."""
    through = c("role").is_in([GUEST_OPERATION, CONSOLE])
    disk, outward = c("role") == DISK, (c("role") == FLOW) & c("source.ip").is_null()
    own = {name: pl.when(c("at.vm").is_not_null()).then(c(f"at.{name}")).otherwise(c(f"here.{name}")) for name in PLACE}
    there = {name: pl.when(c("destination.vm").is_not_null()).then(c(f"destination.{name}")).otherwise(own[name]) for name in PLACE}
    away = {name: c(f"destination.{name}") for name in PLACE}
    origin = {name: pl.when(disk).then(c(f"at.{name}")).when(outward).then(own[name]).otherwise(c(f"source.{name}")) for name in PLACE}
    goal = {name: pl.when(disk).then(c(f"owner.{name}")).when(through).then(c(f"at.{name}")).when(outward).then(away[name])
            .when(c("role") != HOST_LOGIN).then(there[name]) for name in PLACE}
    machine = pl.coalesce(host_name(c("observer.name")), "host", "source.ip")  # a cloud has no manager with a name
    commanded = vm_name(c("process.command_line").str.extract(COMMANDED))
    folder = vm_name(c("vm.disk.path").str.extract(FOLDER))
    source = pl.coalesce(c("from.vm"), pl.when(disk).then(c("vm")).when(through).then(machine).when(outward).then(pl.coalesce("vm", "host"))
                         .otherwise(c("source.ip")))
    target = pl.coalesce(c("to.vm"), pl.when(disk).then(folder).when(through).then(pl.coalesce(c("vm"), commanded))
                         .when(outward).then(c("destination.ip")).when(c("role") == HOST_LOGIN).then(c("host"))
                         .otherwise(pl.coalesce("vm", "host")))
    rows = signals.with_columns(*(each.alias(f"from.{name}") for name, each in origin.items()),
                                *(each.alias(f"to.{name}") for name, each in goal.items()))
    rows = rows.with_columns(source.alias("from.name"), target.alias("to.name"),
                             (c("from.vm").is_not_null() | disk).alias("from.is_vm"),
                             (c("to.vm").is_not_null() | through | disk).alias("to.is_vm"),
                             pl.when(through).then(pl.coalesce("to.host", "host")).otherwise(c("to.host")).alias("to.host"))
    return rows.with_columns((through & ~c("from.is_vm")).alias("through")).filter(c("from.name").is_not_null())


def _allowed(p: Hopping) -> pl.Expr:
    """Machines whose work it is to go to many others, and proxies to which backups attach disks."""
    movers = (*p.policies.bastions, *p.policies.scanners, *p.policies.config_management)
    proxies = p.policies.backup_proxies
    return listed(movers, c("from.name"), c("source.ip")) | ((c("role") == DISK) & listed(proxies, c("from.name")))


def _key() -> pl.Expr:
    pair = pl.concat_str(c("from.name"), c("to.name"), separator=SEPARATOR)
    person = pl.concat_str(c("from.name"), c("role"), c("user").fill_null(""), separator=SEPARATOR)
    disk = pl.concat_str(pl.lit("disk"), c("vm.disk.path"), separator=SEPARATOR)
    return pl.when(c("role") == DISK).then(disk).when(c("through")).then(person).otherwise(pair)
