"""What the rules cover: per threat, per ATT&CK technique, and as layers of the ATT&CK Navigator (layer format 4.5)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from .errors import LakeError
from .sigma.attack import GENERATIONS, VERSIONS, Generation, covered, technique
from .sigma.correlations import Correlation
from .sigma.jobs import AnyRule, JobRule

LEVELS = ("critical", "high", "medium", "low", "informational")
NAVIGATOR = "5.1.0"  # the oldest that our layers are made for; 4.9.0 is what layer format 4.5 demands
_COLOURS = ("#d9e8ef", "#1b6f8f")

Covering = AnyRule


@dataclass(frozen=True)
class Threat:
    """What covers a threat: single-event rules, correlations and jobs, all of them by level, and techniques (v19)."""

    name: str
    rules: int
    correlations: int
    jobs: int
    levels: dict[str, int]
    techniques: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The machine-readable twin."""
        return {"threat": self.name, "rules": self.rules, "correlations": self.correlations, "jobs": self.jobs, "levels": self.levels,
                "techniques": list(self.techniques)}


@dataclass(frozen=True)
class Covered:
    """A technique and the rules that cover it, by the tactic under which they place it."""

    id: str
    generation: Generation
    by_tactic: dict[str, tuple[Covering, ...]]

    @property
    def rules(self) -> tuple[Covering, ...]:
        return tuple({rule.id: rule for rules in self.by_tactic.values() for rule in rules}.values())

    def as_dict(self) -> dict[str, Any]:
        """The machine-readable twin."""
        return {"id": self.id, "name": technique(self.id, self.generation).name, "tactics": list(self.by_tactic),
                "rules": [rule.path.stem for rule in self.rules]}


def threats(rules: Iterable[Covering]) -> list[Threat]:
    """Threats in order of their names."""
    by_threat: dict[str, list[Covering]] = {}
    for rule in rules:
        by_threat.setdefault(rule.custom.threat or rule.path.parent.name, []).append(rule)
    return [_threat(name, found) for name, found in sorted(by_threat.items())]


def _threat(name: str, rules: Sequence[Covering]) -> Threat:
    levels = Counter(rule.level for rule in rules)
    correlations = sum(isinstance(rule, Correlation) for rule in rules)
    jobs = sum(isinstance(rule, JobRule) for rule in rules)
    keys = {key for rule in rules for key in covered(rule, 19)}
    return Threat(name, len(rules) - correlations - jobs, correlations, jobs, {level: levels[level] for level in LEVELS if levels[level]},
                  tuple(sorted(keys)))


def techniques(rules: Iterable[Covering], generation: Generation) -> list[Covered]:
    """The techniques that rules cover, in order of their ids."""
    found: dict[str, dict[str, list[Covering]]] = {}
    for rule in rules:
        for key, tactics in covered(rule, generation).items():
            for tactic in tactics:
                found.setdefault(key, {}).setdefault(tactic, []).append(rule)
    return [Covered(key, generation, {tactic: tuple(rules) for tactic, rules in by_tactic.items()})
            for key, by_tactic in sorted(found.items())]


def as_dict(rules: Sequence[Covering]) -> dict[str, Any]:
    """The machine-readable twin of the table, with both generations."""
    return {"threats": [threat.as_dict() for threat in threats(rules)],
            "techniques": {f"v{generation}": [found.as_dict() for found in techniques(rules, generation)] for generation in GENERATIONS}}


# --- ATT&CK Navigator ---------------------------------------------------------------------------------------------------------


def layer(rules: Sequence[Covering], generation: Generation) -> dict[str, Any]:
    """A Navigator layer: the score of a technique is the number of rules that cover it, its comment names them."""
    cells = [(found.id, tactic, named) for found in techniques(rules, generation) for tactic, named in found.by_tactic.items()]
    most = max((len(named) for _, _, named in cells), default=1)
    return {
        "name": f"Hypervigil (ATT&CK v{generation})", "domain": "enterprise-attack",
        "versions": {"attack": VERSIONS[generation].split(".")[0], "navigator": NAVIGATOR, "layer": "4.5"},
        "description": f"{len(rules)} rules of Hypervigil; the score of a technique is the number of rules that cover it.",
        "sorting": 3, "layout": {"layout": "side", "showID": True, "showName": True, "expandedSubtechniques": "annotated"},
        "gradient": {"colors": list(_COLOURS), "minValue": 0, "maxValue": most},
        "legendItems": [{"label": "one rule", "color": _COLOURS[0]}, {"label": f"{most} rules", "color": _COLOURS[1]}],
        "techniques": [_cell(key, tactic, named) for key, tactic, named in cells]}


def _cell(key: str, tactic: str, rules: Sequence[Covering]) -> dict[str, Any]:
    return {"techniqueID": key, "tactic": tactic, "score": len(rules), "comment": "; ".join(sorted(rule.title for rule in rules)),
            "metadata": [{"name": rule.level, "value": rule.path.stem} for rule in rules], "showSubtechniques": True}


def write_layers(rules: Sequence[Covering], file: Path) -> list[Path]:
    """One layer per generation beside one another: `coverage.json` gives coverage-v19.json and coverage-v18.json.

    Raises LakeError when one cannot be written.
    """
    stem = re.sub(r"-v1[89]$", "", file.stem)
    written = [file.with_name(f"{stem}-v{generation}{file.suffix or '.json'}") for generation in GENERATIONS]
    for path, generation in zip(written, GENERATIONS, strict=True):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(orjson.dumps(layer(rules, generation), option=orjson.OPT_INDENT_2) + b"\n")
        except OSError as error:
            raise LakeError(f"cannot be written: {error.strerror}", path) from error
    return written
