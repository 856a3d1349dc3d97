"""Hyperjacking: whether a host is still what it says it is, from many weak signs (../shared/design/analytics.md, A3).

No single record proves that somebody runs below or beside a hypervisor. So evidence of five classes is summed up per host: `integrity`
(boot chain, signatures, guards), `persistence` (what survives a reboot), `topology` (hosts and machines that should not be there),
`behaviour` (what a host has no need to do) and `timing` (a clock that another layer disturbs). Two classes are needed for high: one
administrator who lowers one guard is not an attack, and an attack that leaves one kind of trace only is told by that trace's own rule.

Three passes, each one shuffle:
1. by host, hijacking/triangulation.py: the inventory lists of a host against one another and against those before.
   Events that say a VM moved, started or stopped go by VM and are thinned to one in five minutes.
2. by VM (and by uuid), hijacking/unlogged.py: differences that no event explains, and identities that two machines claim.
3. by host, hijacking/evidence.py: weights, decay, episodes; hijacking/story.py: words.

Planned work is silent: in a maintenance window of the host (policy.yml) what patching and re-imaging do counts nothing, if a `privileged`
principal did it or the policy lists none; a host that goes or comes (role `host_change`) explains what its lists lack; the events of a VM
(role `explains`), within an hour, explain a VM in the middle of a move and the restart by HA on another host. Where logs were lost (role
`blind`) or never came, no change is called unlogged. A VM started by hand, a boot script, an unknown program are told in a window, too.

Inventory rows come as signals: role `inventory`, rule = whose list it is (manager, registered, running, wire), `host` and `vm`, and the
fields below. A difference is judged when the logs have gone on for an hour after it.

Complexity: O(n log n) in the rows of each pass, memory that of a task's groups; Python runs per finding, over at most 40 rows of each.
"""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from ..context.names import host_name
from .hijacking.evidence import CLASSES, DAY, INVENTORY, EvidenceParameters, condensed, episodes, scored, weighed
from .hijacking.story import findings
from .hijacking.triangulation import FACTS, as_facts, differences, identified
from .hijacking.unlogged import DIFFERENCES, EXPLAINS, claims, keyed, runs, unexplained
from .job import FINDINGS, Job, Pass

c = pl.col
THINNED = 300_000_000  # one event in so long (microseconds) explains as well as many
HOST_ROLES = (*CLASSES, "host_change", "blind", "inventory")


def by_host(rows: pl.DataFrame, _: EvidenceParameters) -> pl.DataFrame:
    """Signals of hosts by host, events of VMs by VM; an event that names neither says nothing here."""
    vm = pl.concat_str(pl.lit("vm:"), "vm")
    host = pl.concat_str(pl.lit("host:"), "host")
    return rows.with_columns(pl.when(c("role") == EXPLAINS).then(vm).when(c("role").is_in(HOST_ROLES)).then(host).alias("key"))


def compared(rows: pl.DataFrame, p: EvidenceParameters, _: int) -> pl.DataFrame:
    """What the lists of each host say, and the signals as facts."""
    lists = rows.filter(c("role") == "inventory")
    rows = rows.with_columns(host_name(c("vm.target.host")).alias("other"))
    told = rows.filter(c("role") == EXPLAINS).with_columns((c("time") // THINNED).alias("_part"))
    told = told.unique(["vm", "other", "_part"], keep="first")
    signals = rows.filter(c("role").is_in([*CLASSES, "host_change", "blind"]))
    kind = pl.when(c("role").is_in(CLASSES)).then(pl.lit("evidence")).otherwise("role").alias("kind")
    told = told.drop("_part").with_columns(c("role").alias("kind"))
    facts = pl.concat([signals.with_columns(kind), told]).with_columns(since=c("time"))
    parts = [facts.select(as_facts(facts))]
    events = rows.filter(c("role") != "inventory")
    parts += [_days(pl.concat([events, events.with_columns(c("other").alias("host"))]), "heard"), _days(lists, "seen")]
    if lists.height:
        seen = identified(lists)
        parts += [differences(lists, seen, p.near, p.stale), runs(seen), claims(lists)]
    return pl.concat(parts)


def _days(rows: pl.DataFrame, kind: str) -> pl.DataFrame:
    """The days on which something of a host was told; days, since frames of a pass are cut anywhere and must say the same."""
    days = rows.filter(c("host").is_not_null()).select("host", c("time") // DAY * DAY).unique().with_columns(
        pl.lit(kind).alias("kind"), since=c("time"))
    return days.select(as_facts(days))


def by_machine(facts: pl.DataFrame, _: EvidenceParameters) -> pl.DataFrame:
    """Facts by the VM, uuid or host they are about."""
    return keyed(facts)


def left_over(facts: pl.DataFrame, p: EvidenceParameters, _: int) -> pl.DataFrame:
    """Facts of hosts: evidence, to which differences belong that no event explains."""
    found = unexplained(facts, p.grace, p.near)
    difference = c("kind").is_in([*DIFFERENCES, "duplicate_vm", "duplicate_host"])
    return found.with_columns(
        pl.when(difference).then(pl.concat_str(pl.lit(INVENTORY), "kind")).otherwise("rule").alias("rule"),
        pl.when(difference).then(pl.lit("topology")).otherwise("role").alias("role"),
        pl.when(difference).then(pl.lit("evidence")).otherwise("kind").alias("kind"))


def again_by_host(facts: pl.DataFrame, _: EvidenceParameters) -> pl.DataFrame:
    """Facts by host."""
    return facts.with_columns(pl.concat_str(pl.lit("host:"), "host").alias("key"))


def judged(facts: pl.DataFrame, p: EvidenceParameters, horizon: int) -> pl.DataFrame:
    """Findings of whole hosts."""
    return findings(episodes(scored(condensed(weighed(facts, p, horizon)), p), p))


def look_back(p: EvidenceParameters) -> timedelta:
    """Whether an alert goes on is known from when there was last enough evidence, and that from the evidence remembered then; what a piece
    weighs, from whether its host was known or heard of before, and a difference rests on the look before.
    """
    return 2 * p.memory + max(p.memory, p.stale + p.heard) + 2 * p.grace + timedelta(days=2)


JOB = Job(
    type="hyperjacking", title="Evidence that a host is hyperjacked", roles=(*CLASSES, "inventory", EXPLAINS, "host_change", "blind"),
    fields=("vm.uuid", "vm.network.mac", "vm.state", "host.id", "vm.target.host"), parameters=EvidenceParameters, look_back=look_back,
    passes=(Pass(by_host, compared, FACTS), Pass(by_machine, left_over, FACTS), Pass(again_by_host, judged, FINDINGS)))
