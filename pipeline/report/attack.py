"""The ATT&CK matrix of the report: which techniques alerts touched, and which the rules watch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from ..alerts import SEVERITIES, Alert, Severity
from ..sigma.attack import GENERATIONS, TACTICS, Generation, RuleTags, Technique, covered, placed, technique


@dataclass(frozen=True)
class Cell:
    """A technique under a tactic: how many rules cover it, how many alerts touched it, and the worst severity of those."""

    technique: Technique
    rules: int
    alerts: int
    worst: Severity | None


def matrices(alerts: Iterable[Alert], rules: Iterable[RuleTags] = ()) -> dict[Generation, list[tuple[str, list[Cell]]]]:
    """The matrix of each generation, the newer one first; none when there is nothing to show."""
    alerts, rules = list(alerts), list(rules)
    return {generation: columns for generation in GENERATIONS if (columns := matrix(alerts, rules, generation))}


def matrix(alerts: Iterable[Alert], rules: Iterable[RuleTags] = (), generation: Generation = 19) -> list[tuple[str, list[Cell]]]:
    """Columns (tactic name, cells) for the tactics that alerts touched or rules watch, in the order of the matrix."""
    touched: dict[tuple[str, str], list[Severity]] = {}
    for alert in alerts:
        keys = alert.attack.v19 if generation == 19 else alert.attack.v18
        for key, tactics in placed(keys, alert.attack.tactics, generation).items():
            for tactic in tactics:
                touched.setdefault((tactic, key), []).append(alert.severity)
    watched = Counter((tactic, key) for rule in rules for key, tactics in covered(rule, generation).items() for tactic in tactics)
    columns: dict[str, list[Cell]] = {}
    for tactic, key in touched.keys() | watched.keys():
        found = touched.get((tactic, key), [])
        worst = max(found, key=SEVERITIES.index, default=None)
        columns.setdefault(tactic, []).append(Cell(technique(key, generation), watched[tactic, key], len(found), worst))
    order = [*TACTICS[generation], *sorted(columns.keys() - TACTICS[generation].keys())]
    return [(TACTICS[generation].get(tactic, tactic), sorted(columns[tactic], key=_urgency)) for tactic in order if tactic in columns]


def _urgency(cell: Cell) -> tuple[int, int, int, str]:
    """Sort key: what alerts touched first, the worst of it before the rest; then what most rules watch."""
    return (-SEVERITIES.index(cell.worst) if cell.worst else 1, -cell.alerts, -cell.rules, cell.technique.id)
