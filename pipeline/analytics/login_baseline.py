"""Logins to the management plane that are not like the principal's own (A2 of the design).

For each login: the profile of the principal over the 30 days before (logins/profile.py), what is odd about the login
(logins/signals.py), and its risk, the noisy-or of the weights of its signals: 1 - (1 - w1)(1 - w2)... A risk of 0.5 is an alert (medium),
0.75 high, 0.95 critical. All risky logins of a principal in a realm on a day (UTC) are one alert, which grows; its risk is that of the
riskiest.

The weights, and why: alone, only what has no everyday explanation raises an alert. `saml_orphan` 0.9, `impossible_travel` 0.8,
`token_reuse` and the new country of a privileged principal 0.75 are high by themselves; `direct_to_host` 0.55, `first_seen_country` and
`mfa_missing` 0.5 are medium. `from_guest` 0.45 is a new virtual desktop, or, with a login past vCenter, high. The others must meet: another
prefix (0.35) and ASN (0.2) together are a new provider at home and stay silent, with a new client (0.25) they are somebody else's machine.
`off_hours` (0.15), `first_seen_target` (0.15) and `first_seen_method` (0.2) only tip the balance.

Silent stay: new staff (a profile needs 14 days and 20 logins before anything is new to it), travellers through the VPN, principals that
come from ever other addresses (a signal weighs less the more usual new values are), patch nights and drills in a maintenance window.

`detail` of an alert, of its riskiest login: `principal`, `realm`, `risk`, `signals` (each `name`, `weight`, `why`), `off` (signal -> why it
could not be judged), `profile` (`age_days`, `login_count`, `settled`), `previous` (`time`, `address`, `country`, `event`), `travelled_km`,
`speed_kmh`, `source` (`address`, `machine`, `prefix`, `country`, `asn`), `logins` (how many of the day were risky).

Source: design/analytics.md 3.2. Complexity: O(n log n) in the records n; Python only for the words of alerts.
"""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from .job import FINDINGS, Job, Located, Pass
from .logins.parameters import LoginParameters
from .logins.profile import profiled
from .logins.rows import FIELDS, LOGINS, ROLES, events_of, once, placed, used
from .logins.signals import weighed
from .logins.words import findings

c = pl.col


def by_user(signals: pl.DataFrame, _: LoginParameters) -> pl.DataFrame:
    """All records of a principal together, of all realms: an assertion and the login that rests on it may be told by different ones."""
    return signals.with_columns(c("user").alias("key"))


def judge(signals: pl.DataFrame, p: LoginParameters, horizon: int) -> pl.DataFrame:
    """Signals of whole principals to FINDINGS."""
    events = placed(events_of(signals), p)
    attempts = once(events.filter(pl.any_horizontal(*LOGINS, "failure")))
    logins = profiled(used(attempts.filter(pl.any_horizontal(*LOGINS)), p), p)
    uses = pl.concat([attempts.filter("failure"), events.filter(~c("failure"))])
    rows = weighed(logins, uses, p, horizon)
    return findings(rows.filter(c("risk") >= p.alert), p)


def look_back(p: LoginParameters) -> timedelta:
    """The profile of the first login of the day, and what lies near the oldest login of that."""
    return p.look_back + timedelta(days=1) + p.assertion


JOB = Job(
    type="login_baseline", title="Logins to the management plane unlike the principal's own", roles=ROLES, parameters=LoginParameters,
    fields=FIELDS, look_back=look_back, located=(Located(address="source.ip", into="source"), Located(vm="host", into="target")),
    passes=(Pass(by_user, judge, FINDINGS),))
