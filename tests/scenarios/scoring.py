"""How well findings of a job meet what was planted. Pure.

A finding meets a case when it names a machine, person or address of it and their times overlap (findings may grow for a day after an
attack). An attack is found when a High or Critical finding of its job meets it. A High or Critical finding is false when it meets no attack
of any job: an intruder's login on the way to a hop is rightly told by both jobs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

LOUD = ("high", "critical")
SLACK, AFTER = timedelta(minutes=45), timedelta(days=1)
WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Finding:
    """What a job says: times, severity, and all names of machines, people and addresses that it rests on, in lower case."""

    first: datetime
    last: datetime
    severity: str
    names: frozenset[str]
    told: str = ""

    @property
    def loud(self) -> bool:
        return self.severity in LOUD


@dataclass(frozen=True)
class Planted:
    """A label of labels.json."""

    job: str
    attack: str
    negative: bool
    names: frozenset[str]
    start: datetime
    end: datetime

    @classmethod
    def of(cls, label: Mapping[str, Any]) -> Planted:
        names = frozenset(name.lower() for kind in label["entities"].values() for name in kind)
        return cls(label["job"], label["attack"], label["negative"], names, datetime.fromisoformat(label["start"]),
                   datetime.fromisoformat(label["end"]))


@dataclass
class Score:
    """Counts of one job over some seeds; they add up."""

    attacks: int = 0
    found: int = 0
    loud: int = 0
    true: int = 0
    vm_weeks: float = 0
    waits: list[float] = field(default_factory=list)  # seconds from the start of an attack to its alert
    missed: list[str] = field(default_factory=list)
    false: list[str] = field(default_factory=list)
    noisy: list[str] = field(default_factory=list)  # negatives with a High or Critical finding

    def __iadd__(self, other: Score) -> Score:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)
        return self

    @property
    def recall(self) -> float:
        return self.found / self.attacks if self.attacks else 1.0

    @property
    def precision(self) -> float:
        return self.true / self.loud if self.loud else 1.0

    @property
    def false_per_1000_vm_weeks(self) -> float:
        return (self.loud - self.true) / self.vm_weeks * 1000 if self.vm_weeks else 0.0


@dataclass
class Worth:
    """What a signal of a job is worth: attacks (`seed:attack`) that are missed without it, and what is wrongly told then. It adds up."""

    finds: list[str] = field(default_factory=list)
    silences: list[str] = field(default_factory=list)

    def __iadd__(self, other: Worth) -> Worth:
        self.finds += other.finds
        self.silences += other.silences
        return self


def worth(whole: Score, without: Score) -> Worth:
    """From the scores of one data centre with a signal and without it."""
    return Worth(_more(without.missed, whole.missed), _more(without.noisy, whole.noisy) or _more(without.false, whole.false))


def _more(some: Iterable[str], others: Iterable[str]) -> list[str]:
    return sorted((Counter(some) - Counter(others)).elements())


def meets(finding: Finding, case: Planted) -> bool:
    """Whether a finding is about a case."""
    together = finding.first <= case.end + AFTER and finding.last >= case.start - SLACK
    return together and bool(finding.names & case.names)


def score(job: str, findings: Sequence[Finding], cases: Iterable[Planted], vms: int, span: timedelta, seed: int) -> Score:
    """What the findings of a job are worth against everything planted in one data centre."""
    cases = list(cases)
    mine = [case for case in cases if case.job == job and not case.negative]
    loud = [finding for finding in findings if finding.loud]
    true = [finding for finding in loud if any(meets(finding, case) for case in cases if not case.negative)]
    met = [any(meets(finding, case) for finding in loud) for case in mine]
    false = [finding for finding in loud if finding not in true]
    noisy = [case for case in cases if case.job == job and case.negative and any(meets(finding, case) for finding in false)]
    return Score(attacks=len(mine), found=sum(met), loud=len(loud), true=len(true), vm_weeks=vms * span / WEEK,
                 missed=[f"{seed}:{case.attack}" for case, hit in zip(mine, met, strict=True) if not hit],
                 false=[f"{seed}:{finding.told}" for finding in false], noisy=[f"{seed}:{case.attack}" for case in noisy])
