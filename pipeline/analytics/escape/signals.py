"""What the escape chain is tuned by, and its first pass: what is a habit, and where a guest went after it reached for its hypervisor.

Two things make a signal worth little: that the same guest did the same every other day (old VMware Tools use hypercalls that newer hosts
deny), and that the same person came from the same address before. Both are asked over all hosts, so the rows are grouped by guest and by
person here, and by host in the second pass (stages.py).
"""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
from pydantic import Field

from ...context.policies import listed
from ..job import Columns, Parameters, micros
from .timeline import Timeline

c = pl.col
ROLES = ("precursor", "probe", "moved", "fault", "host_crash", "host_effect", "host_command", "host_login", "second_vm", "hardware",
         "planned", "version")
OF_GUEST = ("precursor", "moved")
OF_PERSON = ("host_login", "second_vm")
EXCUSABLE = (*OF_PERSON, "host_command")  # what is ordinary work where it was to be expected
FIELDS = ("source.ip", "process.command_line", "process.executable", "file.path", "event.reason", "hypervisor.version", "vmware.name",
          "vmware.value")
MAX_DETAIL = 200  # characters of a command that are carried along
SEPARATOR = "\x1f"
# `time` and `host` count for chains; `happened` and `origin` are when and where it really was: earlier and elsewhere for a precursor of a
# guest that moved.
# `address`: where a login came from, `guest`: the VM that had this address. `told`: product, version, build. `known`: to be expected.
WEIGHED: Columns = {
    "role": pl.String, "rule": pl.String, "time": pl.Int64, "happened": pl.Int64, "event": pl.String, "fact": pl.String, "vm": pl.String,
    "host": pl.String, "origin": pl.String, "user": pl.String, "address": pl.String, "guest": pl.String, "detail": pl.String,
    "told": pl.String, "known": pl.Boolean}


class EscapeParameters(Parameters):
    """Windows and scores are those of design note A13; what is added to them says why."""

    precursor_window: timedelta = Field(timedelta(hours=24), description="From what a guest did to the fault that it may explain")
    fault_window: timedelta = Field(timedelta(minutes=10), description="Faults of one host so near to one another are one event")
    effect_window: timedelta = Field(timedelta(hours=1), description="From the fault (or the precursor) to what happens on the host")
    touch_window: timedelta = Field(timedelta(hours=24), description="From there to a login at the host or to the touch of a second VM")
    slack: timedelta = Field(timedelta(minutes=1), description="A core is written when the program that it let in already runs")
    doubt_window: timedelta = Field(timedelta(hours=1), description="How long before a fault a hardware error or update explains it")
    session: timedelta = Field(timedelta(hours=12), description="How long after a login commands of the same user belong to it")
    known_for: timedelta = Field(timedelta(days=14), description="How far back a habit or a known person is looked for")
    probes: int = Field(20, ge=2, description="Signals of the role probe within the fault window that make a precursor")
    score_precursor: float = Field(20, ge=0)
    score_fault: float = Field(30, ge=0)
    score_effect: float = Field(40, ge=0)
    score_touch: float = Field(40, ge=0)
    vulnerable: float = Field(1.5, ge=1, description="What the score is multiplied by on a build that is open to an escape")

    @property
    def settled(self) -> timedelta:
        """How old an earlier act must be to make a later one a habit: older than any chain that both may belong to."""
        return self.effect_window + self.touch_window

    @property
    def look_back(self) -> timedelta:
        """A touch reaches back to an effect, a fault, a precursor and its guest's move; each of these asks for habits."""
        return 2 * self.precursor_window + self.effect_window + self.touch_window + self.session + self.known_for


def keyed(rows: pl.DataFrame, parameters: EscapeParameters) -> pl.DataFrame:
    """Signals by guest (precursors and moves), by person and address (logins, touches), all others by host.

    Who touches guests by an account without an address may be anybody (root on a host): of that a habit is what is done to the same guest.
    """
    guest = c("role").is_in(OF_GUEST) & c("vm").is_not_null()
    person = c("role").is_in(OF_PERSON) & c("user").is_not_null()
    touched = pl.when(c("role") == "second_vm").then("vm")
    return rows.filter(_place().is_not_null()).with_columns(
        pl.when(guest).then(pl.concat_str(pl.lit("vm"), "vm", separator=SEPARATOR))
        .when(person).then(pl.concat_str("role", "user", pl.coalesce("source.ip", touched, pl.lit("")), separator=SEPARATOR))
        .otherwise(pl.concat_str(pl.lit("host"), _place(), separator=SEPARATOR)).alias("key"))


def _place() -> pl.Expr:
    """The host that a signal is about. A record about a guest may come from elsewhere, or from a manager."""
    return pl.when(c("role").is_in(OF_GUEST)).then(pl.coalesce("at.host", "host")).otherwise(pl.coalesce("host", "at.host"))


def _lean(rows: pl.DataFrame, parameters: EscapeParameters) -> pl.DataFrame:
    """Signals as WEIGHED has them, with their `key`; known is only what the policy knows."""
    lean = rows.select(
        "key", "role", "rule", "time", c("time").alias("happened"), "event", "fact", "vm", _place().alias("host"),
        _place().alias("origin"), c("host").alias("named"), "user",
        c("source.ip").alias("address"), c("source.vm").alias("guest"), _detail().str.slice(0, MAX_DETAIL).alias("detail"),
        _told().alias("told"))
    return lean.with_columns(_expected(parameters).alias("known"))


def _detail() -> pl.Expr:
    """What a step of the story adds to the name of its rule."""
    return (pl.when(c("role") == "precursor").then(pl.coalesce("vmware.name", "vmware.value"))
            .when(c("role").is_in(["host_effect", "host_command", "second_vm"]))
            .then(pl.coalesce("process.command_line", "process.executable", "file.path")))


def _told() -> pl.Expr:
    """`esx 8.0.2 22380479` or `qemu 7.2.22`. A build of the number 0 is a developer's and says nothing."""
    esx = c("event.reason").str.extract_groups(r"version=(\d+(?:\.\d+)+),? build=(?:build-)?([1-9]\d*)")
    qemu = c("hypervisor.version").str.extract(r"^(\d+(?:\.\d+)+)")
    return pl.when(c("role") == "version").then(pl.coalesce(
        pl.concat_str(pl.lit("esx"), esx.struct.field("1"), esx.struct.field("2"), separator=" "),
        pl.concat_str(pl.lit("qemu"), qemu, separator=" ")))


def _expected(parameters: EscapeParameters) -> pl.Expr:
    """What the policy expects: work from a bastion, work and crashes in a maintenance window."""
    policies = parameters.policies
    from_bastion = c("role").is_in(EXCUSABLE) & listed((*policies.bastions, *policies.config_management), c("guest"), c("address"))
    tended = c("role").is_in([*EXCUSABLE, "fault", "host_crash"]) & policies.in_maintenance(c("host"), c("time"))
    return from_bastion | tended


def weighed(rows: pl.DataFrame, parameters: EscapeParameters, horizon: int) -> pl.DataFrame:
    """Without habits of guests and with what is known of persons; and a precursor anew on each host that its guest moved to."""
    habit = pl.concat_str("key", pl.when(c("role") == "precursor").then(pl.concat_str("rule", c("detail").fill_null(""))).otherwise(
        pl.lit("")), separator=SEPARATOR)
    rows = _lean(rows, parameters).with_columns(habit.alias("habit")).sort("habit", "time", "event")
    earlier = _seen_before(rows, parameters)
    person = c("role").is_in(OF_PERSON) & c("user").is_not_null()
    rows = rows.with_columns(c("known") | (pl.Series(earlier) & ((c("role") == "precursor") | person)))
    placed = rows.filter((c("role") == "precursor") & ~c("known"))
    named = placed.filter(c("named") != c("host")).with_columns(c("named").alias("host"), c("named").alias("origin"))
    precursors = pl.concat([placed, named])  # where records disagree, both hosts are asked
    others = rows.filter(~c("role").is_in(OF_GUEST))
    return pl.concat([each.select(c(name).cast(dtype) for name, dtype in WEIGHED.items())
                      for each in (others, precursors, _moved(placed, rows.filter(c("role") == "moved"), parameters))])


def _seen_before(rows: pl.DataFrame, parameters: EscapeParameters) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    line = Timeline.of(rows.get_column("habit"), rows.get_column("time"), micros(parameters.known_for))
    every = np.ones(rows.height, np.bool_)
    return line.count(every, micros(parameters.known_for)) > line.count(every, micros(parameters.settled))


def _moved(precursors: pl.DataFrame, moves: pl.DataFrame, parameters: EscapeParameters) -> pl.DataFrame:
    """For each move of a guest the latest precursor of the day before it, on the host that the guest came to: one row a move at most."""
    arrivals = moves.select("vm", "host", "time").drop_nulls().sort("time")
    latest = precursors.drop_nulls("vm").drop("host").with_columns(c("time").alias("happened")).sort("time", "event")
    carried = arrivals.join_asof(latest, on="time", by="vm", strategy="backward", tolerance=micros(parameters.precursor_window),
                                 check_sortedness=False)
    return carried.filter(c("role").is_not_null() & (c("host") != c("origin")))
