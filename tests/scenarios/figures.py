"""The figures of an evaluation as results.json has them, and in words."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .scoring import Score, Worth

Row = dict[str, Any]


def results(found: Mapping[str, tuple[Score, Mapping[str, Worth]]], seeds: list[int]) -> list[Row]:
    """One object a job. `ablation`: for each signal how many attacks are missed without it, and how many findings are false, by what they
    are about; `seed:attack` names what was planted.
    """
    return [{"job": job, "seeds": seeds, "recall": round(score.recall, 4), "precision": round(score.precision, 4),
             "false_high_per_1000_vm_weeks": round(score.false_per_1000_vm_weeks, 3),
             "time_to_alert_s": round(statistics.median(score.waits), 1) if score.waits else None,
             "attacks": score.attacks, "found": score.found, "missed": sorted(score.missed), "noisy_negatives": sorted(score.noisy),
             "false": sorted(score.false),
             "ablation": [{"without": name, "missed": len(one.finds), "false": len(one.silences), "missed_attacks": _kinds(one.finds),
                           "false_about": _kinds(one.silences)} for name, one in sorted(signals.items())]}
            for job, (score, signals) in sorted(found.items())]


def show(rows: Iterable[Row]) -> str:
    """For people: first how good each job is, then what breaks it, then what each signal is worth."""
    rows = list(rows)
    return "\n".join([*_summary(rows), *(line for row in rows for line in _breaks(row)), *(line for row in rows for line in _worth(row))])


def _summary(rows: Iterable[Row]) -> Iterator[str]:
    yield f"{'job':16}{'attacks':>9}{'found':>7}{'recall':>8}{'precision':>11}{'false High or Critical':>25}{'time to alert':>15}"
    yield f"{'':16}{'':9}{'':7}{'':8}{'':11}{'per 1,000 VM-weeks':>25}{'(median)':>15}"
    for row in rows:
        wait = _span(row["time_to_alert_s"]) if row["time_to_alert_s"] is not None else "-"
        yield (f"{row['job']:16}{row['attacks']:9}{row['found']:7}{row['recall']:8.3f}{row['precision']:11.3f}"
               f"{row['false_high_per_1000_vm_weeks']:25.2f}{wait:>15}")


def _breaks(row: Row) -> Iterator[str]:
    """What breaks a job."""
    yield f"\nWhat breaks {row['job']}" + ("" if row["missed"] or row["false"] else ": nothing that was planted")
    missed = Counter(each.partition(":")[2] for each in row["missed"])
    for attack, count in sorted(missed.items()):
        seeds = ", ".join(seed for seed, _, name in (each.partition(":") for each in row["missed"]) if name == attack)
        yield f"  missed {attack} {count} times (seeds {seeds})"
    yield from (f"  told a negative: {each}" for each in row["noisy_negatives"])
    yield from (f"  false: {each[:200]}" for each in row["false"][:5])


def _worth(row: Row) -> Iterator[str]:
    if not row["ablation"]:
        return
    yield f"\nWithout this signal {row['job']} misses attacks, or tells what is none (tuning seeds)"
    for one in row["ablation"]:
        kinds = [f"{name} {count}" for name, count in (one["missed_attacks"] | one["false_about"]).items()]
        more = f", and {len(kinds) - 4} kinds more" if len(kinds) > 4 else ""
        yield f"  {one['without']:46}{one['missed']:5} missed{one['false']:5} false   {', '.join(kinds[:4])}{more}"


def _kinds(named: Iterable[str]) -> dict[str, int]:
    """How often each kind of `seed:kind` occurs, the most frequent first; of what nobody planted the begin of its words."""
    return dict(Counter(each.partition(":")[2][:60] for each in named).most_common())


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min" if seconds < 36000 else f"{seconds / 3600:.0f} h"
