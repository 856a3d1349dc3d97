"""Evidence of one host: weighed, decayed and summed up, and the stretches of time in which it is enough for an alert.

Each rule has a weight; its evidence loses half of it in `half_life` and all after `memory`. A rule counts once, by its latest hit: a burst
of one act is no more than the act. Rules that tell of the same act (SIGNALS) count as one. The score at a time is the sum, at most 100; a
class counts with `class_least` points or more. All of it is vectorised over whole frames: O(n log n + n * signals).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import polars as pl
from pydantic import Field, field_validator

from ...context.policies import listed
from ..job import Parameters, micros

c = pl.col
CLASSES = ("integrity", "persistence", "topology", "behaviour", "timing")
INVENTORY = "inventory_"  # the rule name of a difference is this and its kind
HOUR, DAY = 3_600_000_000, 86_400_000_000
SEVERITIES = ("none", "medium", "high", "critical")
BUILT_IN = ("root", "vpxuser", "dcui")  # accounts that every host has
# Rules that tell of one act.
SIGNALS: Mapping[str, str] = {
    "esx_unsigned_software_installed": "unsigned software", "esx_update_override": "unsigned software",
    "esx_acceptance_check_skipped": "unsigned software", "vcenter_host_attestation_failed": "attestation",
    "vcenter_trusted_host_not_attested": "attestation", "esx_unknown_binary_run": "unknown program",
    "esx_dropped_program_started": "unknown program", "inventory_appeared": "unlogged change", "inventory_vanished": "unlogged change"}
# analytics.md A3 gives the weights of attestation, acceptance, VIB, policy, execInstalledOnly, Secure Boot, persistence, unknown host,
# host re-homed, VM absent from inventory, claimed identity, listener and timing; the others are set beside those that say as much.
WEIGHTS: Mapping[str, float] = {
    "vcenter_host_attestation_failed": 40, "vcenter_trusted_host_not_attested": 25, "esx_unsigned_software_installed": 40,
    "esx_update_override": 40, "esx_acceptance_check_skipped": 40, "esx_acceptance_level_lowered": 20,
    "esx_security_domain_not_enforced": 25, "esx_exec_installed_only_off": 30, "esx_secure_boot_requirement_off": 25,
    "kvm_kernel_replaced": 40, "kvm_kernel_module_inserted": 25, "kvm_guest_confinement_off": 20,
    "esx_boot_script_changed": 25, "esx_boot_image_written": 25, "esx_agent_endpoint_changed": 25, "esx_ssh_keys_changed": 20,
    "vcenter_host_added": 30, "vcenter_host_managed_elsewhere": 40, "vcenter_unknown_vm_discovered": 30, "esx_vm_registered_in_shell": 30,
    "kvm_device_opened_by_other_program": 30, "inventory_rogue": 40, "inventory_unmanaged": 30, "inventory_ghost": 30,
    "inventory_hidden": 25, "inventory_appeared": 40, "inventory_vanished": 40, "inventory_duplicate_vm": 50,
    "inventory_duplicate_host": 50,
    "esx_listener_opened": 20, "esx_ssh_tunnel_opened": 20, "esx_unknown_binary_run": 30, "esx_dropped_program_started": 25,
    "esx_supershell_opened": 25, "vcenter_vpxuser_used_outside": 20, "kvm_vsock_channel": 20, "kvm_qemu_started_program": 30,
    "kvm_tsc_unstable": 15}
# What patching, re-imaging and repair do on purpose.
PLANNED = (
    "vcenter_host_attestation_failed", "vcenter_trusted_host_not_attested", "esx_unsigned_software_installed", "esx_update_override",
    "esx_acceptance_check_skipped", "esx_acceptance_level_lowered", "esx_secure_boot_requirement_off", "kvm_kernel_replaced",
    "kvm_kernel_module_inserted", "vcenter_host_added", "vcenter_host_managed_elsewhere", "vcenter_unknown_vm_discovered",
    "esx_ssh_keys_changed", "kvm_tsc_unstable", "inventory_unmanaged", "inventory_hidden", "inventory_appeared", "inventory_vanished")
# What follows from a host that goes or comes.
BY_HOST = ("vcenter_unknown_vm_discovered", "inventory_unmanaged", "inventory_hidden", "inventory_appeared", "inventory_vanished")


class EvidenceParameters(Parameters):
    """What hyperjacking evidence is weighed by."""

    weights: Mapping[str, float] = Field(WEIGHTS, validate_default=True, description="Points of a rule or of inventory_KIND; what is "
                                         "given wins over the defaults, rule by rule")
    weight: float = Field(15, description="Points of a rule that has no weight of its own")
    half_life: timedelta = Field(timedelta(days=7), description="After so long evidence is worth half (A3)")
    memory: timedelta = Field(timedelta(days=14), description="After so long it is worth nothing; two half-lives, as a quarter of the "
                              "heaviest piece is less than the lightest")
    class_least: float = Field(5, description="Points with which a class counts: a piece of 20 does for the whole memory")
    high: float = Field(35, description="Score of an alert of level high, with two classes: two pieces of 20 within two days; a week apart "
                        "they may be chores")
    critical: float = Field(90, description="Score of a critical one, with three classes: a whole take-over")
    inventory: float = Field(40, description="Points of inventory differences that are a medium alert alone: one machine that runs and is "
                             "registered nowhere, or one change that nobody logged; no rule tells of these")
    one_class: float = Field(55, description="Score of a medium alert of one class, of two signals; one has its rule's alert")
    planned: tuple[str, ...] = Field(PLANNED, description="What a maintenance window of the host makes silent; all else is told there too")
    known_host: float = Field(10, description="Points of a host that was added, where it was known before (re-imaged, reconnected)")
    near: timedelta = Field(timedelta(minutes=30), description="Inventory lists read so close together are compared")
    stale: timedelta = Field(timedelta(days=8), description="Two readings of one list further apart are not compared: a weekly one is")
    grace: timedelta = Field(timedelta(hours=1), description="How long before and after a difference an event may lie that explains it: "
                             "long moves, slow collectors, clocks")
    heard: timedelta = Field(timedelta(days=7), description="A change counts as unlogged only where the host's log told something so long "
                             "before: of a host whose log does not come nothing is missing")

    @field_validator("weights", mode="before")
    @classmethod
    def _over_defaults(cls, value: Any) -> Any:
        return {**WEIGHTS, **value} if isinstance(value, Mapping) else value


def weighed(facts: pl.DataFrame, p: EvidenceParameters, horizon: int) -> pl.DataFrame:
    """Evidence of whole hosts: key, time, class, rule, signal, weight and what tells of it; what is explained or planned is left out.

    `facts` are those of triangulation.FACTS of hosts, with `key`; a difference that is younger than `grace` is not judged yet.
    """
    grace = micros(p.grace)
    difference = c("rule").str.starts_with(INVENTORY)
    found = facts.filter(c("kind") == "evidence").filter(~difference | (c("time") + grace <= horizon))
    changed, blind = (facts.filter(c("kind") == kind) for kind in ("host_change", "blind"))
    found = _without(found, changed, c("rule").is_in(BY_HOST), grace)
    unlogged = c("rule").is_in(["inventory_appeared", "inventory_vanished"])
    found = _without(found, blind, unlogged, grace)
    heard = _last_day(found, facts.filter(c("kind") == "heard"), c("since"))
    found = found.filter(~unlogged | (heard >= found.get_column("since") - micros(p.heard) - DAY).fill_null(False))
    known = _last_day(found, facts.filter(c("kind").is_in(["heard", "seen"])), c("time"))
    known = (known >= found.get_column("time") - micros(p.memory)).fill_null(False)
    weight = c("rule").replace_strict(dict(p.weights), default=p.weight, return_dtype=pl.Float64)
    added = (c("rule") == "vcenter_host_added") & known
    found = found.with_columns(pl.when(added).then(pl.lit(p.known_host)).otherwise(weight).alias("weight"))
    return found.filter(~_planned(p)).with_columns(c("rule").replace(dict(SIGNALS)).alias("signal"))


def _planned(p: EvidenceParameters) -> pl.Expr:
    """Whether evidence is work of a maintenance window, by somebody who is known."""
    policies = p.policies
    known = c("user").is_null() | c("user").is_in(BUILT_IN) | listed((*policies.privileged, *policies.services), c("user"))
    at_work = policies.in_maintenance(c("host"), c("time")) | policies.in_maintenance(c("host"), c("since"))
    return c("rule").is_in(p.planned) & at_work & (known if policies.privileged else pl.lit(True))


def _without(found: pl.DataFrame, causes: pl.DataFrame, which: pl.Expr, grace: int) -> pl.DataFrame:
    """Evidence without what a cause on the same host explains, from `grace` before its interval to `grace` after it."""
    asked = found.with_columns((c("since") - grace).alias("_from")).sort("_from")
    told = causes.select("key", c("time").alias("_told")).sort("_told")
    near = asked.join_asof(told, left_on="_from", right_on="_told", by="key", strategy="forward", check_sortedness=False)
    explained = (c("_told") <= c("time") + grace).fill_null(False)
    return near.filter(~(which & explained)).select(found.columns).sort("key", "time", "event", "rule", nulls_last=True)


def _last_day(found: pl.DataFrame, days: pl.DataFrame, before: pl.Expr) -> pl.Series:
    """For each row of evidence the begin of the last of some days that had passed at a time."""
    asked = found.select("key", (before - DAY).alias("_at")).with_row_index("_row").sort("_at")
    told = days.select("key", c("time").alias("_day")).sort("_day")
    joined = asked.join_asof(told, left_on="_at", right_on="_day", by="key", strategy="backward", check_sortedness=False)
    return joined.sort("_row").get_column("_day")


def condensed(found: pl.DataFrame) -> pl.DataFrame:
    """One row per host, signal and hour, with the first time, the highest weight, and some of the events, users and VMs behind it."""
    def some(name: str, most: int) -> pl.Expr:
        return c(name).drop_nulls().unique(maintain_order=True).head(most).alias(f"{name}s")

    told = pl.coalesce("event", "vm", "rule").n_unique().alias("count")
    hours = found.group_by("key", "role", "signal", (c("time") // HOUR).alias("hour")).agg(
        c("time").min(), c("weight").max(), told, c("rule").first(), some("event", 5), some("user", 3), some("vm", 20), some("other", 3),
        some("rule", 5))
    return hours.sort("key", "time", "role", "signal").drop("hour")


def scored(rows: pl.DataFrame, p: EvidenceParameters) -> pl.DataFrame:
    """Condensed rows with the score as of their time: in all (`score`), per class, how many `classes` and `signals`, and `level`."""
    pairs = rows.select("role", "signal").unique().sort("role", "signal").rows()
    half, memory = micros(p.half_life), micros(p.memory)
    for number, (role, signal) in enumerate(pairs):
        mine = (c("role") == role) & (c("signal") == signal)
        time, weight = (pl.when(mine).then(name).forward_fill().over("key") for name in (c("time"), c("weight")))
        age = c("time") - time
        rows = rows.with_columns(
            pl.when(age <= memory).then(weight * (-age / half * 0.6931471805599453).exp()).fill_null(0).alias(f"_{number}"))
    points = {role: [c(f"_{n}") for n, pair in enumerate(pairs) if pair[0] == role] for role in CLASSES}
    lists = [c(f"_{n}") for n, pair in enumerate(pairs) if pair[1].startswith(INVENTORY) or pair[1] == "unlogged change"]
    rows = rows.with_columns(*(_sum(each).alias(role) for role, each in points.items()), _sum(lists).alias("_lists"),
                             _sum([(c(f"_{n}") > 0).cast(pl.Float64) for n in range(len(pairs))]).alias("signals"))
    rows = rows.with_columns(
        pl.sum_horizontal(CLASSES).clip(upper_bound=100).alias("score"),
        pl.sum_horizontal((c(role) >= p.class_least).cast(pl.Int64) for role in CLASSES).alias("classes"))
    return rows.with_columns(_level(p).alias("level")).drop([f"_{n}" for n in range(len(pairs))] + ["_lists"])


def _sum(parts: list[pl.Expr]) -> pl.Expr:
    return pl.sum_horizontal(parts) if parts else pl.lit(0.0)


def _level(p: EvidenceParameters) -> pl.Expr:
    """0 is none, 1 medium, 2 high, 3 critical (SEVERITIES)."""
    several = c("classes") >= 2
    critical = (c("classes") >= 3) & (c("score") >= p.critical)
    medium = (c("_lists") >= p.inventory) | ((c("signals") >= 2) & (c("score") >= p.one_class))
    return (pl.when(critical).then(3).when(several & (c("score") >= p.high)).then(2).when(medium).then(1).otherwise(0)).cast(pl.Int8)


def episodes(rows: pl.DataFrame, p: EvidenceParameters) -> pl.DataFrame:
    """The scored rows that belong to an alert, with its number in `episode`.

    It starts with the oldest evidence that is still remembered when there is enough of it, and goes on as long as no more than `memory`
    passes without there being enough.
    """
    memory = micros(p.memory)
    enough = rows.filter(c("level") > 0).with_columns(
        (c("time") - c("time").shift(1).over("key") > memory).fill_null(True).cum_sum().alias("episode"))
    enough = enough.with_columns(c("time").min().over("episode").alias("_opens"))
    marks = enough.select("key", c("time").alias("_enough"), "episode", "_opens").sort("_enough")
    joined = rows.sort("time").join_asof(marks, left_on="time", right_on="_enough", by="key", strategy="forward", check_sortedness=False)
    return joined.filter(c("time") >= c("_opens") - memory).drop("_enough", "_opens").sort("key", "time", "role", "signal")
