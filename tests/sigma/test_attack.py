"""The ATT&CK data that ships with the rules: whole, and right about what became of the ids of Defense Evasion."""

from __future__ import annotations

import re

import pytest

from pipeline.sigma.attack import GENERATIONS, TACTICS, Generation, covered, newer, older, placed, tag_errors, technique, techniques
from pipeline.sigma.catalogue import load_catalogue


@pytest.mark.parametrize("generation", GENERATIONS)
def test_the_data_is_whole(generation: Generation) -> None:
    for key, found in techniques(generation).items():
        assert re.fullmatch(r"T\d{4}(\.\d{3})?", key) and found.name
        assert found.tactics and set(found.tactics) <= set(TACTICS[generation]), key
        parent = techniques(generation).get(key.split(".")[0])
        assert parent and found.name.startswith(parent.name), f"{key}: the name of a sub-technique begins with its technique"


def test_every_older_id_leads_to_a_newer_one() -> None:
    assert {key for key in techniques(18) if newer(key) not in techniques(19)} == set()
    assert {key for key in techniques(18) if key in techniques(19) and newer(key) != key} == set(), "an id that goes on replaces none"
    assert all(found.replaced_by is None for found in techniques(19).values())


def test_what_became_of_impair_defenses() -> None:
    assert (newer("T1562.001"), newer("T1562.012"), newer("T1070.002"), newer("T1611")) == ("T1685", "T1685.004", "T1685.006", "T1611")
    assert older("T1685") == ("T1562", "T1562.001", "T1562.006") and older("T1687") == () and older("T1611") == ("T1611",)
    assert technique("T1562.001").name == "" and technique("T1562.001", 18).name == "Impair Defenses: Disable or Modify Tools"


def test_an_unknown_technique_has_no_page() -> None:
    assert technique("T9999").url is None
    assert technique("T1685.004").url == "https://attack.mitre.org/techniques/T1685/004/"


def test_a_technique_stands_under_the_tactics_that_its_rule_names() -> None:
    assert placed(["T1078"], ["persistence", "impact"], 19) == {"T1078": ("persistence",)}
    assert placed(["T1078"], ["stealth"], 18) == {"T1078": ("defense-evasion",)}
    assert placed(["T1485"], ["persistence"], 19) == {"T1485": ("impact",)}, "under its own where the rule names none of them"
    assert placed(["T9999"], [], 19) == {"T9999": ("other",)}


def test_our_rules_say_what_attack_says() -> None:
    rules = load_catalogue().everything
    assert [str(error) for rule in rules for error in tag_errors(rule)] == []
    assert all(covered(rule, generation) for rule in rules for generation in GENERATIONS)
