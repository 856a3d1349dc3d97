"""What somebody's logins of the last 30 days were like, as of each login, and how unlike them it is.

There are two profiles: of habits (client, way in, target, hours) of the principal in this realm, and of whereabouts (prefix, ASN, country)
of the principal in all realms, since nobody is at two places; of a shared account like root in each realm for itself. A profile at a time
is made of the logins of the look-back before it, no older ones, each with the weight 2^-(age / half-life): so a run over a day with the
look-back before it says the same as a run over a year. A login counts into the profile only after an hour (`settle_minutes`): the logins of
one stay of an intruder are judged alike, the first does not excuse the second.

How unlike: a value is first seen where the logins that had it weigh less than `familiar`. Not everybody's new values mean something: who
comes from another address each time will do so again. So the weight of the signal falls with the share of different values among the logins
(1 up to `usual_variety`, 0 from `most_variety`), a plain form of the Good-Turing estimate of how likely the next value is a new one.

Cost: O(n log n) in the logins n, sorting and as-of joins, whatever their distribution over principals; no loop over logins.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
import polars as pl

from ...context.policies import listed
from ...windows import Ints, Series
from ..job import micros
from .parameters import LoginParameters

c = pl.col
WHEREABOUTS, HABITS = ("prefix", "asn", "country"), ("client", "method", "target")
FIRST_SEEN = (*WHEREABOUTS, *HABITS)
HOUR = 3_600_000_000
WEEK = 168  # bins of the histogram
# What a login says of the hours around it: the share of its own bin and of the bins one and two hours away.
SPREAD = {-2: 0.1, -1: 0.2, 0: 0.4, 1: 0.2, 2: 0.1}
SMOOTHING = 0.5  # logins that are added to every bin, so that none is impossible
_NEARLY = 1e-9  # for the rounding of sums, which depends on what else was added


def profiled(logins: pl.DataFrame, p: LoginParameters) -> pl.DataFrame:
    """Logins (sorted by user, realm, time) with their profiles.

    `profile` and `person`: the number of the profile of habits and of whereabouts; `before`: logins of the first in the look-back;
    `age_days`: since the oldest of these; `settled`, `settled_person`: whether a profile is old and large enough to call something new; for
    each of FIRST_SEEN `known_<name>`: how much the logins with that value weigh, and `rarity_<name>`: 1 where new values are rare in the
    profile, 0 where they are usual.
    """
    shared = listed(p.shared, c("user"))
    rows = logins.with_columns(
        pl.struct("user", "realm").rank("dense").cast(pl.Int64).alias("profile"),
        pl.struct("user", pl.when(shared).then(c("realm"))).rank("dense").cast(pl.Int64).alias("person"))
    rows = _with_history(rows, "profile", HABITS, p)
    rows = rows.with_columns(((c("before") >= p.cold_logins) & (c("age_days") >= p.cold_days)).alias("settled"))
    people = _with_history(rows.drop("before", "age_days"), "person", WHEREABOUTS, p)
    settled = people.select(((c("before") >= p.cold_logins) & (c("age_days") >= p.cold_days)).alias("settled_person"))
    return pl.concat([rows, people.select(*(f"{what}_{name}" for what in ("rarity", "known") for name in WHEREABOUTS)), settled],
                     how="horizontal")


def _with_history(rows: pl.DataFrame, group: str, names: Sequence[str], p: LoginParameters) -> pl.DataFrame:
    """The rows, in their order, with `before`, `age_days` and what is known of some columns in the profile that `group` numbers."""
    ordered = rows.with_row_index("_row").sort(group, "time", "event")
    series = Series(ordered.get_column(group).to_numpy(), ordered.get_column("time").to_numpy(), np.zeros(rows.height, np.int64),
                    micros(p.look_back))
    start = series.time[series.trailing.first]
    return ordered.with_columns(
        pl.Series("before", series.count(series.trailing) - 1), pl.Series("age_days", (series.time - start) / (24 * HOUR)),
        *(_rarity(series, ordered.get_column(name), p) for name in names),
        *(_known(ordered, group, name, p) for name in names)).sort("_row").drop("_row")


def _rarity(series: Series, values: pl.Series, p: LoginParameters) -> pl.Series:
    codes = values.rank("dense").cast(pl.Int64).fill_null(-1).to_numpy()
    counted = series.count(series.trailing, codes >= 0)
    share = series.distinct(codes) / np.maximum(counted, 1)
    return pl.Series(f"rarity_{values.name}", np.clip((p.most_variety - share) / (p.most_variety - p.usual_variety), 0.0, 1.0))


def _known(rows: pl.DataFrame, group: str, name: str, p: LoginParameters) -> pl.Series:
    keyed = rows.select(group, c(name).rank("dense").alias("value"), "time")
    return familiarity(keyed, keyed, [group, "value"], p).alias(f"known_{name}")


def familiarity(past: pl.DataFrame, asked: pl.DataFrame, by: Sequence[str], p: LoginParameters) -> pl.Series:
    """How much the rows of `past` weigh as of each row of `asked`, in the order of `asked`; both have `time` and the columns `by`.

    Only rows of the look-back that are older than the time to settle count, and only those with the same values of `by` (whole numbers from
    0 upwards); where one of these is null nothing weighs anything. Times are compared in milliseconds.
    """
    group, moment = _codes(past, asked, by), np.append(past.get_column("time").to_numpy(), asked.get_column("time").to_numpy()) // 1000
    if not past.height or not asked.height:
        return pl.Series(np.zeros(asked.height))
    span, settle = micros(p.look_back) // 1000, micros(p.settle) // 1000
    moment = moment - moment.min()
    axis = group * (moment.max() + span + 1) + moment  # one axis for all groups, so far apart that no look-back reaches into another
    known = np.sort(axis[:past.height][group[:past.height] >= 0])
    asked_at, of = axis[past.height:], moment[past.height:]
    # A look-back touches two epochs of its own length. Within one the weights lie close together, so that differences of sums lose nothing.
    length = moment.max() + span + 1
    age = known % length % span
    half_life = p.half_life_days * 24 * HOUR / 1000
    sums = np.append(0.0, np.cumsum(2.0 ** (age / half_life)))
    first, last = np.searchsorted(known, asked_at - span, side="left"), np.searchsorted(known, asked_at - settle, side="right")
    turn = np.clip(np.searchsorted(known, asked_at - of % span, side="left"), first, np.maximum(first, last))
    last = np.maximum(turn, last)
    now, before = 2.0 ** (-(of % span) / half_life), 2.0 ** (-(of % span + span) / half_life)
    weight = (sums[last] - sums[turn]) * now + (sums[turn] - sums[first]) * before
    return pl.Series(np.where(group[past.height:] >= 0, weight, 0.0))


def _codes(past: pl.DataFrame, asked: pl.DataFrame, by: Sequence[str]) -> Ints:
    """One number for each combination of values, the same in both frames, of `past` and then of `asked`; -1 where one is null."""
    keys = pl.concat([past.select(by), asked.select(by)]).cast(pl.Int64)
    code = reduce(lambda mixed, name: mixed * (c(name).max() + 1) + c(name), by[1:], c(by[0]))
    return keys.select(code.rank("dense").cast(pl.Int64).fill_null(-1)).to_series().to_numpy()


def first_seen(name: str, p: LoginParameters) -> pl.Expr:
    """Whether the value of a login is first seen in its profile."""
    return c(name).is_not_null() & (c(f"known_{name}") < p.familiar - _NEARLY)


def hour_share(logins: pl.DataFrame, asked: pl.DataFrame, p: LoginParameters) -> pl.Series:
    """How likely a login of the profile falls into the hour of the week of each row of `asked`, 0 to 1, in their order.

    The mean of two histograms, both spread over the hours beside and smoothed: of the 168 hours of the week, and of the hours of the day of
    all working days or of both days of the weekend; for who comes at nine on Monday and Tuesday comes at nine on Wednesday.
    """
    past = logins.join(asked, on="profile", how="semi").select("profile", "time", _bin(c("time")).alias("bin"))
    total = familiarity(past, asked, ["profile"], p)
    week = day = pl.Series(np.zeros(asked.height))
    classes = past.with_columns(_class(c("bin")).alias("bin"))
    for shift, share in SPREAD.items():
        there = (_bin(c("time")) + shift) % WEEK
        week = week + share * familiarity(past, asked.select("profile", "time", there.alias("bin")), ["profile", "bin"], p)
        alike = _class(_bin(c("time"))) // 24 * 24 + (_bin(c("time")) + shift) % 24
        day = day + share * familiarity(classes, asked.select("profile", "time", alike.alias("bin")), ["profile", "bin"], p)
    days = asked.select(pl.when(_bin(c("time")) < 120).then(5).otherwise(2)).to_series()
    return ((week + SMOOTHING) / (total + WEEK * SMOOTHING) + (day + SMOOTHING) / (total + 48 * SMOOTHING) / days) / 2


def _bin(time: pl.Expr) -> pl.Expr:
    """The hour of the week, from Monday 00:00 UTC. The epoch was a Thursday."""
    return (time // HOUR + 72) % WEEK


def _class(hour_of_week: pl.Expr) -> pl.Expr:
    """The hour of the day, 0 to 23 on working days, 24 to 47 on Saturday and Sunday."""
    return hour_of_week % 24 + pl.when(hour_of_week < 120).then(0).otherwise(24)
