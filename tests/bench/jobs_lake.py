"""A lake of hits for the benchmark of the jobs: who moved where and who logged in where, over 30 days, and what the owners know of it.

5,000 hosts of 50 clusters and 100,000 machines of 200 tenants. Of the events, 45 of 100 move, stop and start machines, 30 are logins of
3,000 people at managers and hosts, nearly all from where and to where they always go; 20 are logins and connections from machine to
machine of one tenant, 95 of 100 of them among pairs that know one another, and 1 in 20,000 to another tenant's; the rest is what the jobs
look for, at a rate at which it happens by itself.
Written without a log line: as rows of the table `hits`, day by day, in columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pipeline.delta_files import write_parquet
from pipeline.lake import TABLES, Batch, Lake
from pipeline.sigma.catalogue import Catalogue

START = datetime(2026, 3, 1, tzinfo=UTC)
DAYS, HOSTS, MACHINES, CLUSTERS, TENANTS, PEOPLE, PAIRS = 30, 5_000, 100_000, 50, 200, 3_000, 200_000
ACROSS = 1 / 20_000
DAY_US = 86_400_000_000
Ints = np.ndarray[Any, np.dtype[np.int64]]
# Rule -> its share of all events.
MOVES = {"vcenter_vm_migrated": 0.10, "vcenter_vm_moved_by_drs": 0.20, "vcenter_vm_powered_off": 0.075, "vcenter_vm_powered_on": 0.075}
LOGINS = {"vcenter_login_succeeded": 0.10, "vcenter_session_opened": 0.05, "vcenter_token_issued": 0.05, "esx_login_succeeded": 0.06,
          "esx_ssh_session_opened": 0.01, "vcenter_login_failed": 0.03}
HOPS = {"linux_audit_login": 0.10, "linux_admin_port_connected": 0.10}
SIGNS = {"esx_command_run": 0.02, "vcenter_guest_operation": 0.01, "esx_denied_hypercall": 0.0001, "esx_vmx_core_dump": 0.0001,
         "esx_unknown_binary_run": 0.00005, "esx_ssh_keys_changed": 0.00005, "esx_listener_opened": 0.00005,
         "esx_hardware_error": 0.0001, "vcenter_disk_attached": 0.01}


def write(lake: Lake, catalogue: Catalogue, events: int, seed: int = 1) -> None:
    """Fill the table of hits of a new lake."""
    world = World(np.random.default_rng(seed), {rule.path.stem: rule.id for rule in catalogue.rules})
    lake.create()
    folder, bounds = lake.path("hits"), TABLES["hits"].statistics
    adds = []
    for day in range(DAYS):
        rows = world.day(day, events // DAYS)
        adds.append(write_parquet(folder, rows, f"{START + timedelta(days=day):%Y-%m-%d}", "bench", bounds))
    lake.commit(Batch("bench", {"hits": adds}, {}))


class World:
    """The site, and where its machines are."""

    def __init__(self, chance: np.random.Generator, rules: Mapping[str, str]) -> None:
        self.chance, self.rules = chance, rules
        self.host = chance.integers(0, HOSTS, MACHINES)
        source = chance.integers(0, MACHINES, PAIRS)
        self.pairs = np.stack([source, self._neighbours(source)], axis=1)
        self.events = 0

    def day(self, day: int, number: int) -> pl.DataFrame:
        """The hits of a day in order of time."""
        counts = {kind: sum(shares.values()) for kind, shares in (("moves", MOVES), ("logins", LOGINS), ("hops", HOPS), ("signs", SIGNS))}
        whole = sum(counts.values())
        rows = [getattr(self, f"_{kind}")(self._times(day, round(number * share / whole))) for kind, share in counts.items()]
        together = pl.concat(rows, how="diagonal").sort("time")
        numbers = pl.int_range(self.events, self.events + together.height, eager=True)
        self.events += together.height
        ids = pl.col("rule").replace_strict(self.rules)
        return _nested(together.with_columns(ids.alias("rule_id"), pl.format("e{}", numbers).alias("event.id"),
                                             pl.lit("bench").alias("event.dataset")))

    def _times(self, day: int, number: int) -> Ints:
        start = int(START.timestamp()) * 1_000_000 + day * DAY_US
        return np.sort(start + self.chance.integers(0, DAY_US, number))

    def _rule(self, shares: Mapping[str, float], number: int) -> pl.Series:
        names, weights = list(shares), np.array(list(shares.values()))
        return pl.Series("rule", np.array(names)[self.chance.choice(len(names), number, p=weights / weights.sum())])

    def _moves(self, times: Ints) -> pl.DataFrame:
        """A machine stays in its cluster: a host that has the same remainder."""
        vm = self.chance.integers(0, MACHINES, len(times))
        moved = pl.DataFrame({"time": times, "vm": vm, "rule": self._rule(MOVES, len(times))}).with_columns(
            pl.col("rule").is_in(["vcenter_vm_migrated", "vcenter_vm_moved_by_drs"]).alias("moves"),
            pl.Series("new", (self.host[vm] + CLUSTERS * self.chance.integers(1, 90, len(times))) % HOSTS))
        after = pl.when("moves").then("new").forward_fill().over("vm", order_by="time")
        placed = moved.with_columns(after.alias("after")).with_columns(
            pl.coalesce(pl.col("after").shift().over("vm", order_by="time"), pl.Series("old", self.host[vm])).alias("before"))
        last = placed.filter(pl.col("after").is_not_null()).unique("vm", keep="last", maintain_order=True)
        self.host[last.get_column("vm").to_numpy()] = last.get_column("after").to_numpy()
        return placed.select("time", "rule", pl.format("vm{}", "vm").alias("vm.name"), _host(pl.col("before")).alias("host.name"),
                             pl.when("moves").then(_host(pl.col("after"))).alias("vm.target.host"))

    def _logins(self, times: Ints) -> pl.DataFrame:
        """People work from one of three places; 1 in 5,000 times from elsewhere."""
        who = self.chance.integers(0, PEOPLE, len(times))
        place = np.where(self.chance.random(len(times)) < 0.0002, self.chance.integers(0, 60_000, len(times)),
                         who * 3 + self.chance.integers(0, 3, len(times)))
        target = (who * 7 + self.chance.integers(0, 5, len(times))) % HOSTS
        rows = pl.DataFrame({"time": times, "rule": self._rule(LOGINS, len(times)), "who": who, "place": place, "target": target})
        on_host = pl.col("rule").str.starts_with("esx_")
        return rows.select(
            "time", "rule", pl.format("admin{}", "who").alias("user.name"), pl.when(on_host).then(pl.lit(None)).otherwise(
                pl.lit("CORP")).alias("user.domain"), _address("172", pl.col("place")).alias("source.ip"),
            pl.when(on_host).then(_host(pl.col("target"))).otherwise(pl.format("vc{}", pl.col("who") % 4)).alias("host.name"),
            pl.when(on_host).then(pl.lit("esxi")).otherwise(pl.lit("vsphere")).alias("hypervisor.type"),
            pl.format("s{}", pl.col("time") // 3_600_000_000 * PEOPLE + pl.col("who")).alias("session.id"),
            pl.lit("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0").alias("user_agent.original"))

    def _neighbours(self, machines: Ints) -> Ints:
        """A machine of the same tenant for each."""
        return (machines + TENANTS * self.chance.integers(1, MACHINES // TENANTS, len(machines))) % MACHINES

    def _hops(self, times: Ints) -> pl.DataFrame:
        pair = self.pairs[self.chance.integers(0, PAIRS, len(times))]
        luck = self.chance.random(len(times))
        target = np.where(luck < 0.05, self._neighbours(pair[:, 0]), pair[:, 1])
        target = np.where(luck < ACROSS, self.chance.integers(0, MACHINES, len(times)), target)
        rows = pl.DataFrame({"time": times, "rule": self._rule(HOPS, len(times)), "source": pair[:, 0], "target": target})
        login = pl.col("rule") == "linux_audit_login"
        here = pl.when(login).then("target").otherwise("source")
        return rows.select(
            "time", "rule", pl.format("vm{}", here).alias("host.name"), pl.format("svc{}", pl.col("source") % 500).alias("user.name"),
            _address("10", pl.col("source")).alias("source.ip"),
            pl.when(~login).then(_address("10", pl.col("target"))).alias("destination.ip"),
            pl.when(~login).then(pl.lit(22, pl.Int64)).alias("destination.port"))

    def _signs(self, times: Ints) -> pl.DataFrame:
        """What the jobs look for, on the host where the machine is at the end of the day."""
        vm = self.chance.integers(0, MACHINES, len(times))
        rows = pl.DataFrame({"time": times, "rule": self._rule(SIGNS, len(times)), "vm": vm, "host": self.host[vm]})
        name = pl.format("vm{}", "vm")
        return rows.select(
            "time", "rule", name.alias("vm.name"), _host(pl.col("host")).alias("host.name"),
            pl.format("admin{}", pl.col("vm") % PEOPLE).alias("user.name"),
            pl.lit("esxcli system version get").alias("process.command_line"),
            pl.format("[ds1] {}/{}.vmdk", name, name).alias("vm.disk.path"))


def _host(number: pl.Expr) -> pl.Expr:
    return pl.format("esx{}", number)


def _address(first: str, number: pl.Expr) -> pl.Expr:
    """An address of a private network for each number below 2^20."""
    second = (number // 65536 + (16 if first == "172" else 0)).cast(pl.String)
    return pl.concat_str(pl.lit(first), second, (number // 256 % 256).cast(pl.String), (number % 256).cast(pl.String), separator=".")


def _nested(rows: pl.DataFrame) -> pl.DataFrame:
    """Flat rows in the shape of the table: structs in place of dots; fields that are absent are null there."""
    tree: dict[str, Any] = {}
    for name in rows.columns:
        if "." in name:
            *path, leaf = name.split(".")
            node = tree
            for part in path:
                node = node.setdefault(part, {})
            node[leaf] = name
    structs = [_struct(node).alias(name) for name, node in tree.items()]
    return rows.select("rule_id", pl.from_epoch("time", "us").dt.replace_time_zone("UTC").alias("@timestamp"), *structs)


def _struct(node: Mapping[str, Any] | str) -> pl.Expr:
    return pl.col(node) if isinstance(node, str) else pl.struct(_struct(inner).alias(name) for name, inner in node.items())


def write_context(folder: Path) -> None:
    """What the owners know: a list of all machines with host, tenant, segment and address at the start."""
    folder.mkdir(parents=True)
    number = pl.col("n")
    machines = pl.select(pl.int_range(MACHINES).alias("n"))
    machines.select(pl.lit(f"{START:%Y-%m-%dT%H:%M:%SZ}").alias("time"), pl.format("vm{}", "n").alias("vm"),
                    _host(number % HOSTS).alias("host"), pl.lit("running").alias("state"),
                    pl.format("c{}", number % CLUSTERS).alias("cluster"),
                    pl.format("tenant{}", number % TENANTS).alias("tenant"), pl.format("seg{}", number % 400).alias("segment"),
                    _address("10", number).alias("ip")).write_csv(folder / "inventory.csv")
