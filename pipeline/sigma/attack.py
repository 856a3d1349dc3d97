"""ATT&CK as the rules use it: names and tactics of techniques in two generations, and what an id of the older one became.

Tags are of v19; `custom.attack_v18` holds the ids before it, which most other products still use. v19 split Defense Evasion into Stealth
and Defense Impairment and gave the techniques of Impair Defenses (T1562) and two of Indicator Removal new ids.

`detections/attack.csv` has what our rules use and what ATT&CK lists for ESXi, taken from MITRE's own STIX data of 18.1 and 19.1; its column
`replaced_by` follows their revoked-by links.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Literal, Protocol

from .. import content
from ..errors import ContentError

if TYPE_CHECKING:
    from .jobs import AnyRule
    from .metadata import Custom

Generation = Literal[18, 19]
GENERATIONS: tuple[Generation, ...] = (19, 18)
VERSIONS: Mapping[Generation, str] = {18: "18.1", 19: "19.1"}

# In the order of the matrix.
_BEFORE = {
    "reconnaissance": "Reconnaissance", "resource-development": "Resource Development", "initial-access": "Initial Access",
    "execution": "Execution", "persistence": "Persistence", "privilege-escalation": "Privilege Escalation"}
_AFTER = {
    "credential-access": "Credential Access", "discovery": "Discovery", "lateral-movement": "Lateral Movement", "collection": "Collection",
    "command-and-control": "Command and Control", "exfiltration": "Exfiltration", "impact": "Impact"}
TACTICS: Mapping[Generation, Mapping[str, str]] = {
    18: _BEFORE | {"defense-evasion": "Defense Evasion"} | _AFTER,
    19: _BEFORE | {"stealth": "Stealth", "defense-impairment": "Defense Impairment"} | _AFTER}

_BEFORE_19 = {"stealth": "defense-evasion", "defense-impairment": "defense-evasion"}

FILE = "detections/attack.csv"
_TECHNIQUE = re.compile(r"[tT]\d{4}(\.\d{3})?")
_GROUP_OR_SOFTWARE = re.compile(r"[gs]\d{4}")
_NEW_ROW = f"see https://attack.mitre.org/techniques/; one that exists gets a row in {FILE}"


class RuleTags(Protocol):
    """What of a rule says which techniques it covers."""

    @property
    def tags(self) -> Sequence[str]: ...
    @property
    def custom(self) -> Custom: ...


@dataclass(frozen=True)
class Technique:
    """A technique of one generation; `replaced_by`: its id in the next, where that is another."""

    id: str
    generation: Generation
    name: str
    tactics: tuple[str, ...]
    replaced_by: str | None = None

    @property
    def url(self) -> str | None:
        """Its page at MITRE; none for an id that we do not know, which may be anything."""
        return f"https://attack.mitre.org/techniques/{self.id.replace('.', '/')}/" if self.name else None


@cache
def techniques(generation: Generation) -> Mapping[str, Technique]:
    """The techniques of a generation by id."""
    return {found.id: found for found in _read() if found.generation == generation}


@cache
def _read() -> tuple[Technique, ...]:
    with (content.folder("detections") / "attack.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return tuple(Technique(row["id"], 18 if row["generation"] == "18" else 19, row["name"], tuple(row["tactics"].split(";")),
                           row["replaced_by"] or None) for row in rows)


def technique(key: str, generation: Generation = 19) -> Technique:
    """A technique by id; one that the file lacks has no name and no tactics."""
    return techniques(generation).get(key) or Technique(key, generation, "", ())


def newer(old: str) -> str:
    """The v19 id of a v18 id."""
    return technique(old, 18).replaced_by or old


@cache
def older(new: str) -> tuple[str, ...]:
    """The v18 ids that a v19 id stands for; none for a technique that v19 brought."""
    return tuple(key for key in techniques(18) if newer(key) == new)


def tags_of(tags: Iterable[str]) -> tuple[dict[str, int], dict[str, int]]:
    """Techniques (as T1685.004) and tactics (as defense-impairment) that tags name, each with its place among the tags."""
    found: tuple[dict[str, int], dict[str, int]] = ({}, {})
    for number, tag in enumerate(tags):
        name = tag.removeprefix("attack.")
        if name != tag and not _GROUP_OR_SOFTWARE.fullmatch(name):
            is_technique = _TECHNIQUE.fullmatch(name)
            found[0 if is_technique else 1].setdefault(name.upper() if is_technique else name.replace("_", "-"), number)
    return found


def placed(keys: Iterable[str], tactics: Collection[str], generation: Generation) -> dict[str, tuple[str, ...]]:
    """Where techniques stand in the matrix: under the tactics (v19) that their rule names, as far as they have them; else under all."""
    named = {name if generation == 19 else _BEFORE_19.get(name, name) for name in tactics}
    found = {}
    for key in keys:
        own = technique(key, generation).tactics
        found[key] = tuple(name for name in own if name in named) or own or tuple(sorted(named)) or ("other",)
    return found


def covered(rule: RuleTags, generation: Generation) -> dict[str, tuple[str, ...]]:
    """The techniques that a rule covers, each with the tactics under which it stands."""
    named, tactics = tags_of(rule.tags)
    return placed(named if generation == 19 else rule.custom.attack_v18, tactics, generation)


# --- what a rule gets wrong ---------------------------------------------------------------------------------------------------


def tag_errors(rule: AnyRule) -> Iterator[ContentError]:
    """Ids and tactics that ATT&CK does not have, techniques without their tactic, and v19 and v18 ids that do not belong together."""
    named, tactics = tags_of(rule.tags)
    for tactic, number in tactics.items():
        if tactic not in TACTICS[19]:
            yield rule.document.error(f"{tactic!r} is no tactic of ATT&CK v19", "tags", number, hint=_tactic_hint(tactic, named))
    for key, number in named.items():
        if key not in techniques(19):
            yield rule.document.error(f"{key} is no technique of ATT&CK v19", "tags", number, hint=_technique_hint(key))
        elif not tactics.keys() & set(technique(key).tactics):
            names = _words(f"attack.{name}" for name in technique(key).tactics)
            yield rule.document.error(f"{key} is tagged without its tactic", "tags", number, hint=f"add {names}")
    yield from _pair_errors(rule, named)


def _pair_errors(rule: AnyRule, named: Mapping[str, int]) -> Iterator[ContentError]:
    """Each v18 id must have the tag that it became, and each tag a v18 id that it comes from. Ids of the wrong generation count as what
    they stand for, so that they are one finding and not two."""
    tagged = {newer(key) for key in named}
    given = {old for key in rule.custom.attack_v18 for old in (older(key) if key not in techniques(18) else (key,))}
    for number, key in enumerate(rule.custom.attack_v18):
        place = ("custom", "attack_v18", number)
        if key not in techniques(18):
            if _TECHNIQUE.fullmatch(key):
                yield rule.document.error(f"{key} is no technique of ATT&CK v18", *place, hint=_old_hint(key))
        elif named and newer(key) not in tagged:
            known_as = f" is {newer(key)} in v19, which" if newer(key) != key else " is a technique that"
            yield rule.document.error(f"{key}{known_as} no tag names", *place, hint=f"tag attack.{newer(key).lower()}, or take {key} out")
    for key, number in named.items():
        if given and older(key) and not set(older(key)) & given:
            yield rule.document.error(f"{key} has no counterpart in custom.attack_v18", "tags", number,
                                      hint=f"add {_words(older(key))} there, or take attack.{key.lower()} out")


def _tactic_hint(tactic: str, named: Mapping[str, int]) -> str:
    own = dict.fromkeys(name for key in named for name in technique(newer(key)).tactics)
    if tactic == "defense-evasion":
        split = [name for name in own if name in ("stealth", "defense-impairment")] or ["stealth", "defense-impairment"]
        return f"v19 split it in two: {_words(f'attack.{name}' for name in split)}"
    near = get_close_matches(tactic, TACTICS[19], 1) or list(own)
    return f"did you mean {_words(f'attack.{name}' for name in near)}?" if near else f"tactics: {', '.join(TACTICS[19])}"


def _technique_hint(key: str) -> str:
    return f"since v19 it is {newer(key)}: attack.{newer(key).lower()}" if key in techniques(18) else _unknown_hint(key, 19)


def _old_hint(key: str) -> str:
    return f"before v19 it was {_words(older(key))}" if older(key) else _unknown_hint(key, 18)


def _unknown_hint(key: str, generation: Generation) -> str:
    parent = technique(key.split(".")[0], generation)
    return f"{parent.id} is {parent.name}; {_NEW_ROW}" if parent.name else _NEW_ROW


def _words(names: Iterable[str]) -> str:
    return " or ".join(names)
