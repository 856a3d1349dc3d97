"""The escape chain's second pass: the signals of a host, in order, to chains. Vectorised: a host with a million rows costs its share.

Each row that may close a chain is judged by what lies in the windows before it, never by more, so that any part of history that holds
the look-back gives the same. Chains that share a row are one (windows.episodes); its severity is that of its worst moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from ...windows import Flags, Floats, Ints, Windows, episodes
from ..job import micros
from .builds import candidates
from .signals import SEPARATOR, EscapeParameters
from .timeline import Timeline

c = pl.col
STAGES = ("precursor", "fault", "host_effect", "touch")
NONE, MEDIUM, HIGH, CRITICAL = 0, 2, 3, 4  # places in alerts.SEVERITIES
KEPT = 4  # rows of a stage that a chain remembers: the first ones


@dataclass(frozen=True)
class Host:
    """Rows of hosts, sorted by host, time and event, and what each of them means. Flags are one per row."""

    rows: pl.DataFrame
    parameters: EscapeParameters

    def role(self, *names: str) -> Flags:
        """Rows that play one of some roles."""
        return self.rows.get_column("role").is_in(list(names)).to_numpy()

    @cached_property
    def span(self) -> dict[str, int]:
        """The windows in microseconds."""
        wanted = ("precursor_window", "fault_window", "effect_window", "touch_window", "slack", "doubt_window", "session", "known_for")
        return {name.removesuffix("_window"): micros(getattr(self.parameters, name)) for name in wanted}

    @cached_property
    def line(self) -> Timeline:
        return Timeline.of(self.rows.get_column("host"), self.rows.get_column("time"), max(self.span.values()))

    @cached_property
    def known(self) -> Flags:
        return self.rows.get_column("known").to_numpy()

    @cached_property
    def named(self) -> Flags:
        return self.rows.get_column("vm").is_not_null().to_numpy()

    # --- precursors and faults

    @cached_property
    def precursor(self) -> Flags:
        probe = self.role("probe")
        return self.role("precursor") | (probe & (self.line.count(probe, self.span["fault"]) >= self.parameters.probes))

    @cached_property
    def fault(self) -> Flags:
        return self.role("fault", "host_crash")

    @cached_property
    def nameless(self) -> Flags:
        """Faults that say of no guest what it was, nor does another record of the same fault; all guests of the host may be meant."""
        told = self.line.any(self.role("fault") & self.named, self.span["fault"], self.span["fault"])
        return self.role("host_crash") | (self.role("fault") & ~self.named & ~told)

    @cached_property
    def by_guest(self) -> tuple[Ints, Timeline]:
        """Numbers of the rows that name a guest, by guest, and their own timeline."""
        rows = self.rows.with_row_index("row").filter(pl.Series(self.named & (self.precursor | self.fault | self.role("second_vm"))))
        rows = rows.with_columns(pl.concat_str("host", "vm", separator=SEPARATOR).alias("guest")).sort("guest", "row")
        return rows.get_column("row").cast(pl.Int64).to_numpy(), Timeline.of(
            rows.get_column("guest"), rows.get_column("time"), max(self.span.values()))

    def first_of_guest(self, flags: Flags, before: int, after: int = 0) -> Ints:
        """The number of the first flagged row around each row that is about the same guest; -1 where there is none."""
        numbers, line = self.by_guest
        found = np.full(self.rows.height, -1, np.int64)
        found[numbers] = _at(numbers, line.first(flags[numbers], before, after))
        return found

    def count_of_guest(self, flags: Flags, before: int) -> Ints:
        """How many there are."""
        numbers, line = self.by_guest
        found = np.zeros(self.rows.height, np.int64)
        found[numbers] = line.count(flags[numbers], before)
        return found

    @cached_property
    def led_to_fault(self) -> Ints:
        """For each fault the first precursor that leads to it: of the guest that it names, or of any guest of the host."""
        before = self.span["precursor"]
        anyone = self.line.first(self.precursor, before)
        own = _earliest(self.first_of_guest(self.precursor, before), self.line.first(self.precursor & ~self.named, before))
        return np.where(self.nameless, anyone, np.where(self.fault & self.named, own, -1))

    @cached_property
    def near_precursor(self) -> Flags:
        """Faults that a precursor of the very guest led to, or of some guest right before."""
        own = self.role("fault") & self.named
        return (self.led_to_fault >= 0) & (own | self.line.any(self.precursor, self.span["effect"]))

    @cached_property
    def doubtful(self) -> Flags:
        """Faults that something harmless explains: hardware, an update, maintenance; and a host's crash that no precursor led to."""
        explained = self.line.any(self.role("hardware", "planned"), self.span["doubt"], self.span["fault"])
        return self.fault & (explained | self.known | (self.role("host_crash") & (self.led_to_fault < 0)))

    @cached_property
    def sure(self) -> Flags:
        return self.fault & ~self.doubtful

    # --- the host

    @cached_property
    def sessions(self) -> tuple[Flags, Flags]:
        """Of each row whether the same user logged in to the host before, lately; and whether that login was to be expected."""
        logins = self.role("host_login")
        login = self.rows.select("host", "user", *(
            pl.when(pl.Series(logins)).then(name).alias(alias) for name, alias in (("time", "since"), ("known", "usual"))))
        last = login.select(c("since", "usual").forward_fill().over("host", "user"))
        recent = (self.rows.get_column("time") - last.get_column("since") <= self.span["session"]).fill_null(False)
        recent &= self.rows.get_column("user").is_not_null()
        return recent.to_numpy(), (recent & last.get_column("usual").fill_null(False)).to_numpy()

    @cached_property
    def effect(self) -> Flags:
        """What happens on the host after a fault or right after a precursor; commands only if they belong to nobody's session and
        nothing harmless explains the fault."""
        near, slack = self.span["effect"], self.span["slack"]
        command = self.role("host_command") & ~self.known & ~self.sessions[0] & self.line.any(self.fault & ~self.doubtful, near, slack)
        after_any = self.line.any(self.fault, near, slack) | self.line.any(self.precursor, near)
        return (self.role("host_effect") & after_any) | command

    @cached_property
    def after_fault(self) -> Flags:
        return self.effect & self.line.any(self.sure, self.span["effect"], self.span["slack"])

    @cached_property
    def touch(self) -> Flags:
        """Logins of persons who were not to be expected, what they do there, and other guests than the one that crashed being touched."""
        session, usual = self.sessions
        login = self.role("host_login") | (self.role("host_command") & session)
        after = self.span["touch"]
        crashed = self.sure & (self.named | self.nameless)
        another = self.line.count(crashed, after) > self.count_of_guest(crashed & self.named, after)
        effect = self.line.any(self.effect, after)
        other = self.role("second_vm") & (another | (effect & ~self.line.any(crashed, after)))
        return (other | (login & (effect | self.line.any(self.sure, after)))) & ~self.known & ~usual

    # --- chains

    @cached_property
    def has(self) -> dict[str, Flags]:
        """Of each row that may close a chain which stages the chain has by then."""
        near, slack, after = self.span["effect"], self.span["slack"], self.span["touch"]
        led = self.fault & (self.led_to_fault >= 0)
        foretold = self.effect & (self.line.any(self.precursor, near) | self.line.any(led, near, slack))
        touched, fault, effect = self.touch, self.sure, self.effect
        return {
            "precursor": self.precursor | led | foretold | (
                touched & (self.line.any(led & fault, after) | self.line.any(foretold, after))),
            "fault": fault | self.after_fault | (touched & (self.line.any(fault, after) | self.line.any(self.after_fault, after))),
            "doubtful": self.effect & self.line.any(self.doubtful, near, slack),
            "near": self.near_precursor | (touched & self.line.any(self.near_precursor & fault, after)),
            "host_effect": effect | (touched & self.line.any(effect, after)),
            "after_fault": self.after_fault | (touched & self.line.any(self.after_fault, after)),
            "touch": touched}

    @cached_property
    def told(self) -> pl.Series:
        """The build that each row's host said last that it has; null where that is too long ago."""
        told = self.rows.select(
            c("told").forward_fill().over("host"),
            pl.when(c("told").is_not_null()).then(c("time")).forward_fill().over("host").alias("since"), "time")
        fresh = c("time") - c("since") <= self.span["known_for"]
        return told.select(pl.when(fresh).then("told")).to_series()

    @cached_property
    def score(self) -> Floats:
        has, parameters = self.has, self.parameters
        fault = np.where(has["fault"], 1.0, np.where(has["doubtful"], 0.5, 0.0))
        plain = (parameters.score_precursor * has["precursor"] + parameters.score_fault * fault
                 + parameters.score_effect * has["host_effect"] + parameters.score_touch * has["touch"])
        return np.asarray(np.minimum(plain * np.where(self.vulnerable, parameters.vulnerable, 1.0), 100.0), np.float64)

    @cached_property
    def vulnerable(self) -> Flags:
        builds = {told: bool(candidates(told)) for told in self.told.drop_nulls().unique().to_list()}
        return self.told.replace_strict(builds, default=False, return_dtype=pl.Boolean).to_numpy()

    @cached_property
    def severity(self) -> Ints:
        """By the stages, not by the sum: a login after a crash is medium, and what came out of a fault critical."""
        has = self.has
        precursor, fault, effect, touch = has["precursor"], has["fault"], has["host_effect"], has["touch"]
        critical = effect & (has["after_fault"] | (precursor & touch))
        high = (effect & (precursor | has["doubtful"])) | (precursor & fault & has["near"] & (touch | self.vulnerable))
        medium = fault & (precursor | touch)
        return np.select([critical, high, medium], [CRITICAL, HIGH, MEDIUM], NONE)

    @cached_property
    def opens(self) -> Ints:
        """The first row of the chain that each row closes."""
        near, slack, after = self.span["effect"], self.span["slack"], self.span["touch"]
        own = np.arange(self.rows.height)
        fault = np.where(self.led_to_fault >= 0, self.led_to_fault, own)
        crash = self.line.first(self.fault, near, slack)
        effect = _earliest(_at(fault, crash), self.line.first(self.precursor, near), own)
        touch = _earliest(_at(effect, self.line.first(self.effect, after)), _at(fault, self.line.first(self.sure, after)), own)
        return np.where(self.touch, touch, np.where(self.effect, effect, np.where(self.fault, fault, own)))

    @cached_property
    def closes(self) -> Ints:
        """The last row of it: itself, or the fault that its effect ran ahead of."""
        own = np.arange(self.rows.height)
        return np.where(self.effect, np.maximum(own, self.line.first(self.fault, 0, self.span["slack"])), own)

    @cached_property
    def chains(self) -> pl.DataFrame:
        """Chains as row ranges: `first`, `last`, `rank` (of severity) and `score`."""
        has = self.has
        stages = sum(has[name].astype(np.int64) for name in ("precursor", "host_effect", "touch")) + (has["fault"] | has["doubtful"])
        closing = np.flatnonzero((stages > 1) & (self.severity > NONE))
        last = self.closes[closing]
        windows = Windows(self.opens[closing], last, self.rows.get_column("time").to_numpy()[last])
        found = episodes(windows, self.severity[closing] * 1000.0 + self.score[closing])
        return found.select("first", "last", (c("value") // 1000).cast(pl.Int64).alias("rank"), (c("value") % 1000).alias("score"))

    @cached_property
    def stage(self) -> pl.Series:
        """The stage that a row is, in whatever chain it lies; null for what is none."""
        ahead = self.span["precursor"]
        meant = self.line.any(self.nameless, 0, ahead) | (self.first_of_guest(self.fault, 0, ahead) >= 0) | ~self.named
        meant |= self.line.any(self.effect, 0, self.span["effect"])
        found = np.select([self.precursor & meant, self.fault, self.effect, self.touch], STAGES, "")
        return pl.Series(found).replace("", None)

    def members(self) -> pl.DataFrame:
        """The rows of chains that tell their story: the first KEPT of each stage, with `chain`, `stage`, the `count` of events and the
        time `until` which that stage went on, the `whole` count of the chain, its `rank` and `score`, and the host's `build`."""
        chains = self.chains.sort("first")
        rows = self.rows.with_columns(self.stage.alias("stage"), self.told.alias("build"), pl.Series("doubtful", self.doubtful))
        rows = rows.with_row_index("row").filter(c("stage").is_not_null())
        place = np.searchsorted(chains.get_column("first").to_numpy(), rows.get_column("row").to_numpy(), side="right") - 1
        within = rows.with_columns(pl.Series("chain", place)).filter(c("chain") >= 0).join(
            chains.with_row_index("chain").with_columns(c("chain").cast(pl.Int64)), on="chain", maintain_order="left").filter(
                c("row") <= c("last"))
        stage = ("chain", "stage")
        events = c("event").n_unique()
        return within.with_columns(
            events.over(stage).alias("count"), events.over("chain").alias("whole"), c("time").max().over(stage).alias("until")).filter(
                pl.int_range(pl.len()).over(stage) < KEPT)


def _earliest(*numbers: Ints) -> Ints:
    """The lowest row number at each place; -1 is none."""
    highest = np.iinfo(np.int64).max
    found: Ints = np.minimum.reduce([np.where(each >= 0, each, highest) for each in numbers])
    return np.where(found == highest, -1, found)


def _at(values: Ints, numbers: Ints) -> Ints:
    """The values at some row numbers; -1 where there is none."""
    return np.where(numbers >= 0, values[np.maximum(numbers, 0)], -1)
