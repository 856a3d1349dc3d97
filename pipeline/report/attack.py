"""ATT&CK names and the matrix of what the alerts touched. Ids and tactics are of v19; `attack.csv` tells the v18 id where it differs."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..alerts import SEVERITIES, Alert, Attack, Severity

# In the order of the matrix. v19 split "Defense Evasion" into Stealth and Defense Impairment.
TACTICS = {
    "reconnaissance": "Reconnaissance", "resource-development": "Resource Development", "initial-access": "Initial Access",
    "execution": "Execution", "persistence": "Persistence", "privilege-escalation": "Privilege Escalation", "stealth": "Stealth",
    "defense-impairment": "Defense Impairment", "credential-access": "Credential Access", "discovery": "Discovery",
    "lateral-movement": "Lateral Movement", "collection": "Collection", "command-and-control": "Command and Control",
    "exfiltration": "Exfiltration", "impact": "Impact"}


@dataclass(frozen=True)
class Technique:
    """A technique: v19 id, full name, tactics, and its v18 id (the same where v19 kept it)."""

    id: str
    name: str
    tactics: tuple[str, ...]
    v18: str

    @property
    def url(self) -> str | None:
        """Its page at MITRE; none for an id we do not know, which may be anything."""
        return f"https://attack.mitre.org/techniques/{self.id.replace('.', '/')}/" if self.name else None


@dataclass(frozen=True)
class Cell:
    """A technique that alerts touched: how many, and the worst severity."""

    technique: Technique
    alerts: int
    worst: Severity


@cache
def techniques() -> dict[str, Technique]:
    """The techniques of attack.csv by v19 id."""
    text = Path(__file__).with_name("attack.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return {row["id"]: Technique(row["id"], row["name"], tuple(row["tactics"].split(";")), row["v18"] or row["id"]) for row in rows}


def technique(key: str) -> Technique:
    """A technique by v19 id; one that the file lacks has no name and no tactics."""
    return techniques().get(key) or Technique(key, "", (), key)


def matrix(alerts: Iterable[Alert]) -> list[tuple[str, list[Cell]]]:
    """Columns (tactic name, cells by worst severity and count) for the tactics that alerts touched, in the order of the matrix."""
    touched: dict[str, dict[str, list[Severity]]] = {}
    for alert in alerts:
        for key in alert.attack.v19:
            for tactic in _tactics_of(technique(key), alert.attack):
                touched.setdefault(tactic, {}).setdefault(key, []).append(alert.severity)
    order = [*TACTICS, *sorted(touched.keys() - TACTICS.keys())]
    return [(TACTICS.get(tactic, tactic), _column(touched[tactic])) for tactic in order if tactic in touched]


def _tactics_of(known: Technique, attack: Attack) -> tuple[str, ...]:
    """Where an alert's technique stands: the tactics that its rule names, as far as the technique has them."""
    both = tuple(tactic for tactic in known.tactics if tactic in attack.tactics)
    return both or known.tactics or attack.tactics or ("other",)


def _column(cells: dict[str, list[Severity]]) -> list[Cell]:
    made = [Cell(technique(key), len(found), max(found, key=SEVERITIES.index)) for key, found in cells.items()]
    return sorted(made, key=lambda cell: (-SEVERITIES.index(cell.worst), -cell.alerts, cell.technique.id))
