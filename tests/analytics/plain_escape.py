"""The escape chain's second pass once more, the obvious way: loops over the rows of one host, as escape_chain.py describes it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from pipeline.analytics.escape.signals import EscapeParameters

Row = dict[str, Any]
Meets = Callable[[int], bool]
MINUTE, HOUR, DAY = 60 * 10**6, 3600 * 10**6, 86400 * 10**6
RANKS = {"none": 0, "medium": 2, "high": 3, "critical": 4}


class PlainHost:
    """Rows of one host, sorted by time, event, role and rule; windows are the defaults."""

    def __init__(self, rows: list[Row], open_: Callable[[Row], bool]) -> None:
        self.rows, self.open = rows, open_
        self.all = range(len(rows))

    def around(self, i: int, meets: Meets, before: int, after: int = 0) -> list[int]:
        now = self.rows[i]["time"]
        return [j for j in self.all if now - before <= self.rows[j]["time"] <= now + after and meets(j)]

    def role(self, i: int) -> str:
        return str(self.rows[i]["role"])

    def vm(self, i: int) -> str | None:
        name: str | None = self.rows[i]["vm"]
        return name

    def precursor(self, i: int) -> bool:
        probes = self.around(i, lambda j: self.role(j) == "probe", 10 * MINUTE)
        return self.role(i) == "precursor" or (self.role(i) == "probe" and len(probes) >= 20)

    def fault(self, i: int) -> bool:
        return self.role(i) in ("fault", "host_crash")

    def named_fault(self, i: int) -> bool:
        return self.role(i) == "fault" and self.vm(i) is not None

    def nameless(self, i: int) -> bool:
        told = self.around(i, self.named_fault, 10 * MINUTE, 10 * MINUTE)
        return self.role(i) == "host_crash" or (self.role(i) == "fault" and self.vm(i) is None and not told)

    def led(self, i: int) -> int | None:
        if self.nameless(i):
            return min(self.around(i, self.precursor, DAY), default=None)
        if not self.named_fault(i):
            return None
        return min(self.around(i, lambda j: self.precursor(j) and self.vm(j) in (None, self.vm(i)), DAY), default=None)

    def near(self, i: int) -> bool:
        return self.fault(i) and self.led(i) is not None and (self.named_fault(i) or bool(self.around(i, self.precursor, HOUR)))

    def doubtful(self, i: int) -> bool:
        why = self.around(i, lambda j: self.role(j) in ("hardware", "planned"), HOUR, 10 * MINUTE)
        return self.fault(i) and bool(why or self.rows[i]["known"] or (self.role(i) == "host_crash" and self.led(i) is None))

    def sure(self, i: int) -> bool:
        return self.fault(i) and not self.doubtful(i)

    def session(self, i: int) -> int | None:
        """The login that a row belongs to."""
        logins = [j for j in range(i + 1) if self.role(j) == "host_login" and self.rows[j]["user"] == self.rows[i]["user"]]
        mine = logins[-1] if logins and self.rows[i]["user"] is not None else None
        return mine if mine is not None and self.rows[i]["time"] - self.rows[mine]["time"] <= 12 * HOUR else None

    def effect(self, i: int) -> bool:
        if self.role(i) == "host_effect":
            return bool(self.around(i, self.fault, HOUR, MINUTE) or self.around(i, self.precursor, HOUR))
        alone = self.role(i) == "host_command" and not self.rows[i]["known"] and self.session(i) is None
        return alone and bool(self.around(i, self.sure, HOUR, MINUTE))

    def after_fault(self, i: int) -> bool:
        return self.effect(i) and bool(self.around(i, self.sure, HOUR, MINUTE))

    def touch(self, i: int) -> bool:
        mine = self.session(i)
        if self.rows[i]["known"] or (mine is not None and self.rows[mine]["known"]):
            return False
        effects, sure = self.around(i, self.effect, DAY), self.around(i, self.sure, DAY)
        if self.role(i) == "host_login" or (self.role(i) == "host_command" and mine is not None):
            return bool(effects or sure)
        crashed = [j for j in sure if self.vm(j) is not None or self.nameless(j)]
        others = [j for j in crashed if self.vm(i) is None or self.vm(j) != self.vm(i)]
        return self.role(i) == "second_vm" and bool(others or (effects and not crashed))

    def stages(self, i: int) -> dict[str, bool]:
        effects, faults = self.around(i, self.effect, DAY), self.around(i, self.sure, DAY)
        effect, touch = self.effect(i), self.touch(i)

        def foretold(j: int) -> bool:
            led = self.around(j, lambda k: self.fault(k) and self.led(k) is not None, HOUR, MINUTE)
            return self.effect(j) and bool(self.around(j, self.precursor, HOUR) or led)

        after = any(self.after_fault(j) for j in effects)
        return {
            "precursor": self.precursor(i) or (self.fault(i) and self.led(i) is not None) or foretold(i) or (
                touch and (any(self.led(j) is not None for j in faults) or any(foretold(j) for j in effects))),
            "near": self.near(i) or (touch and any(self.near(j) for j in faults)),
            "fault": self.sure(i) or self.after_fault(i) or (touch and (bool(faults) or after)),
            "doubtful": effect and bool(self.around(i, self.doubtful, HOUR, MINUTE)),
            "effect": effect or (touch and bool(effects)), "after": self.after_fault(i) or (touch and after), "touch": touch}

    def judged(self, i: int) -> tuple[int, float] | None:
        has = self.stages(i)
        if has["precursor"] + (has["fault"] or has["doubtful"]) + has["effect"] + has["touch"] < 2:
            return None
        severity = "none"
        if has["fault"] and (has["precursor"] or has["touch"]):
            severity = "medium"
        if (has["effect"] and (has["precursor"] or has["doubtful"])) or (
                has["precursor"] and has["fault"] and has["near"] and (has["touch"] or self.open(self.rows[i]))):
            severity = "high"
        if has["effect"] and (has["after"] or (has["precursor"] and has["touch"])):
            severity = "critical"
        fault = 30 if has["fault"] else 15 if has["doubtful"] else 0
        score = 20 * has["precursor"] + fault + 40 * has["effect"] + 40 * has["touch"]
        return (RANKS[severity], min(100.0, score * (1.5 if self.open(self.rows[i]) else 1))) if severity != "none" else None

    def reach(self, i: int) -> tuple[int, int]:
        """The first and last row of the chain that a row closes."""
        def of_fault(j: int) -> int:
            led = self.led(j)
            return j if led is None else led

        def of_effect(j: int) -> int:
            crash = self.around(j, self.fault, HOUR, MINUTE)[:1]
            return min([j, *map(of_fault, crash), *self.around(j, self.precursor, HOUR)])

        if self.touch(i):
            return min([i, *map(of_effect, self.around(i, self.effect, DAY)[:1]), *map(of_fault, self.around(i, self.sure, DAY)[:1])]), i
        if self.effect(i):
            return of_effect(i), max([i, *self.around(i, self.fault, 0, MINUTE)[:1]])
        return (of_fault(i), i) if self.fault(i) else (i, i)

    def chains(self) -> list[tuple[int, int, int, float]]:
        """First and last row, rank and score; those that share a row are one."""
        found: list[tuple[int, int, int, float]] = []
        closing = [(self.reach(i), worth) for i in self.all if (worth := self.judged(i))]
        for (first, last), (rank, score) in sorted(closing):
            if found and first <= found[-1][1]:
                old = found.pop()
                worst = max((old[2], old[3]), (rank, score))
                found.append((old[0], max(old[1], last), *worst))
            else:
                found.append((first, last, rank, score))
        return found


def defaults() -> bool:
    """Whether the windows are those that stand here."""
    known = EscapeParameters()
    return (known.precursor_window, known.fault_window, known.effect_window, known.touch_window, known.slack, known.doubt_window,
            known.session, known.probes) == (timedelta(days=1), timedelta(minutes=10), timedelta(hours=1), timedelta(days=1),
                                             timedelta(minutes=1), timedelta(hours=1), timedelta(hours=12), 20)
