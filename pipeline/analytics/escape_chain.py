"""Escape chain (design note A13): a guest reaches for its hypervisor, the hypervisor faults, something happens on the host, and somebody
logs in there or touches a second guest.

Stages, by role of the document detections/vm-escape/escape_chain.yml:
- precursor: what a guest did (`precursor`; or `probe`, which counts only in numbers);
- fault: of a guest's process or monitor (`fault`), or of the whole host (`host_crash`, which counts only after a precursor);
- host_effect: what nobody at work does on a host (`host_effect`), and commands that belong to nobody's session (`host_command`);
- touch: a login of somebody who is new here, what is done in that session, or another guest being touched (`host_login`, `second_vm`).
Other roles explain: `hardware` and `planned` (updates) make a fault near them doubtful, `moved` says where a guest went, `version` tells
the build. A doubtful fault is no stage unless a host_effect follows it.

Link: the host of the guest as of the precursor's time, where the guest went within a day, and the host that the record names (mostly the
same: placement may be stale, and a manager's record names itself); a fault that names a guest is led to by its own precursors only.
Windows: 24 h from precursor to fault, faults within 10 min are one, 1 h to the effect, 24 h to the touch. A break-out that works crashes
nothing, so an effect may also follow a precursor, within 1 h.

Not new here is who did the same from the same address on any host more than a day before (habits are older than any chain), comes from a
bastion of the policy, or works in a maintenance window; a guest that made the same denied call more than a day before has the habit too.

Score: 20 + 30 + 40 + 40 by stage (a doubtful fault half), x 1.5 on a build that is open to a guest-to-host vulnerability
(escape/builds.py), at most 100. Severity: fault and effect critical, so is precursor, effect and touch; precursor and effect, or
doubtful fault and effect, high; precursor and fault medium, and high with a touch or on an open build if the fault names the guest or
comes within 1 h (of many guests on a host, one may have denied calls by chance on the day of a crash); fault and touch medium. One stage
alone, a precursor on the most open build included, raises nothing here: its own rule has said it.

Detail: `stages` in order, `signals` per stage, `host`, `vms`, `users`, `cve_candidates`, `build`, `gap_minutes` between stages, `doubt`.

Complexity: two shuffles; O(n log n) in the rows of a group, no pairs. What one row is depends on the look-back only.
"""

from __future__ import annotations

import polars as pl

from .escape.signals import FIELDS, ROLES, WEIGHED, EscapeParameters, keyed, weighed
from .escape.stages import Host
from .escape.story import findings
from .job import FINDINGS, Job, Located, Pass


def by_host(rows: pl.DataFrame, parameters: EscapeParameters) -> pl.DataFrame:
    """Weighed signals by host."""
    return rows.with_columns(pl.col("host").alias("key"))


def chains(rows: pl.DataFrame, parameters: EscapeParameters, horizon: int) -> pl.DataFrame:
    """Findings of whole hosts."""
    ordered = rows.sort("host", "time", "event", "role", "rule")
    return findings(Host(ordered, parameters).members())


JOB = Job(
    type="escape_chain",
    title="Guest precursor, hypervisor fault, host effect, login or second guest",
    roles=ROLES,
    parameters=EscapeParameters,
    fields=FIELDS,
    located=(Located(into="at", vm="vm"), Located(into="source", address="source.ip")),
    look_back=lambda parameters: parameters.look_back,
    passes=(Pass(keyed, weighed, WEIGHED), Pass(by_host, chains, FINDINGS)),
)
