"""What the rules cover, and the layers of the ATT&CK Navigator as its format demands."""

from __future__ import annotations

import re
from pathlib import Path

import orjson
import pytest

from pipeline import coverage
from pipeline.errors import LakeError
from pipeline.sigma.attack import GENERATIONS, TACTICS, Generation, technique, techniques
from pipeline.sigma.catalogue import load_catalogue

RULES = load_catalogue().watching


def test_every_rule_is_in_one_threat() -> None:
    found = coverage.threats(RULES)
    assert [threat.name for threat in found] == sorted({threat.name for threat in found})
    assert sum(threat.rules + threat.correlations + threat.jobs for threat in found) == len(RULES)
    assert all(sum(threat.levels.values()) == threat.rules + threat.correlations + threat.jobs and threat.techniques for threat in found)


def test_a_technique_names_its_rules() -> None:
    found = {each.id: each for each in coverage.techniques(RULES, 19)}
    stopped = {rule.path.stem for rule in found["T1685.004"].rules}
    assert "kvm_auditd_stopped" in stopped and list(found["T1685.004"].by_tactic) == ["defense-impairment"]
    older = {each.id: each for each in coverage.techniques(RULES, 18)}
    assert {rule.path.stem for rule in older["T1562.012"].rules} == stopped and list(older["T1562.012"].by_tactic) == ["defense-evasion"]


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_layer_is_what_the_navigator_opens(generation: Generation) -> None:
    """The required properties of LAYERFORMATv4_5.md, and the types of those that we use."""
    layer = coverage.layer(RULES, generation)
    assert isinstance(layer["name"], str) and layer["domain"] == "enterprise-attack"
    assert layer["versions"]["layer"] == "4.5" and layer["versions"]["attack"] == str(generation)
    assert tuple(map(int, layer["versions"]["navigator"].split("."))) >= (4, 9, 0)
    gradient = layer["gradient"]
    assert len(gradient["colors"]) >= 2 and all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in gradient["colors"])
    assert gradient["maxValue"] == max(cell["score"] for cell in layer["techniques"]) > gradient["minValue"] == 0
    assert all(item["label"] and item["color"] for item in layer["legendItems"])
    assert layer["sorting"] in range(4) and layer["layout"]["layout"] in ("side", "flat", "mini")
    assert layer["layout"]["expandedSubtechniques"] in ("none", "all", "annotated")
    for cell in layer["techniques"]:
        assert cell["techniqueID"] in techniques(generation) and cell["tactic"] in TACTICS[generation]
        assert cell["tactic"] in technique(cell["techniqueID"], generation).tactics
        assert isinstance(cell["score"], int) and len(cell["metadata"]) == cell["score"] and cell["comment"]
        assert all(isinstance(entry["name"], str) and isinstance(entry["value"], str) for entry in cell["metadata"])
    places = [(cell["techniqueID"], cell["tactic"]) for cell in layer["techniques"]]
    assert len(places) == len(set(places))


def test_layers_are_written_beside_one_another(tmp_path: Path) -> None:
    paths = coverage.write_layers(RULES[:3], tmp_path / "new" / "mine.json")
    assert [path.name for path in paths] == ["mine-v19.json", "mine-v18.json"]
    assert [orjson.loads(path.read_bytes())["versions"]["attack"] for path in paths] == ["19", "18"]
    assert coverage.write_layers(RULES[:3], paths[0]) == paths, "a name with a generation in it is understood"
    with pytest.raises(LakeError, match="cannot be written"):
        coverage.write_layers(RULES[:3], paths[0] / "below-a-file.json")
