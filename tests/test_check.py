"""`hypervigil check` as a user meets it: broken rules of ours and of others, lists, exceptions, the lock; clear messages, no traces."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

BROKEN = ROOT / "tests" / "broken_content" / "rules"
# Broken only by our own conventions, or by what pySigma gets wrong elsewhere: rules of others may be like that.
OURS_ONLY = {
    "attack", "bad-custom", "bad-technique", "base64-of", "base64offset", "cased-not", "cases", "correlation-group-never", "encoded-twice",
    "false-evidence", "field-never", "filter-unused", "no-metadata", "null-in", "number-on-keyword", "selection-named", "two-ends",
    "unknown-key", "unknown-logsource", "unproven", "unused", "utf16"}


def check(cwd: Path, *args: str) -> tuple[int, dict[str, Any], str]:
    command = [sys.executable, "-m", "pipeline", "check", "--json", *args]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


def by_file(found: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    files = defaultdict(list)
    for each in found:
        files[Path(each["path"]).name].append(each)
    return files


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The program with content of its own."""
    for folder in ("pipeline", "parsers"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "detections" / "field_maps", tmp_path / "detections" / "field_maps")
    shutil.copy(ROOT / "detections" / "attack.csv", tmp_path / "detections")
    return tmp_path


def test_every_broken_rule_of_ours_gets_its_messages(copy: Path) -> None:
    shutil.copytree(BROKEN, copy / "detections" / "hardening")
    code, result, _ = check(copy)
    assert code == 1
    found = by_file(result["problems"])
    silent = [path.name for path in BROKEN.glob("*.yml")
              if not found[path.name] and not found[path.with_suffix(".cases.yaml").name]]
    assert silent == []
    assert [each for each in result["problems"] if not (each["line"] and each["hint"])] == []


def test_broken_rules_of_others_too_and_ours_stay_clean() -> None:
    code, result, said = check(ROOT, "--rules", str(BROKEN))
    assert code == 1
    found = by_file(result["problems"])
    assert set(found) <= {path.name for path in BROKEN.glob("*.yml")}, "nothing is wrong with our own rules"
    broken = {path.name for path in BROKEN.glob("*.yml") if not any(path.name.startswith(prefix) for prefix in OURS_ONLY)}
    assert set(found) == broken
    assert [each for each in result["problems"] if not (each["line"] and each["hint"])] == []
    assert f"{len(result['problems'])} problems" in " ".join(said.split())
    assert any("which no parser here reads: they never fire" in each["message"] for each in result["warnings"])


def test_lists_exceptions_and_maps_of_a_user(tmp_path: Path) -> None:
    (tmp_path / "lists.yml").write_text("backup_accounts: [veeam]\nvcenter_servers: [192.0.2.10, not-an-address]\n")
    (tmp_path / "map.yml").write_text("logsource: {product: x}\ndatasets: [vmware.exsi]\n")
    (tmp_path / "mine.yml").write_text(
        "- {rule: esx_ssh_enabled, when: {host.name: lab}, owner: anna, reason: a lab, expires: 2026-01-01}\n"
        "- {rule: esx_login_failed, when: {host.name: lab}, owner: anna, reason: a lab, expires: 2999-01-01}\n"
        "- {rule: esx_ssh_enabeld, when: {host.name: lab}, owner: anna, reason: a lab, expires: 2999-01-01}\n")
    files = {"--lists": tmp_path, "--exceptions": tmp_path / "mine.yml", "--field-map": tmp_path / "map.yml"}
    code, result, _ = check(ROOT, *(str(word) for pair in files.items() for word in pair))
    problems, warnings = ([each["message"] for each in result[name]] for name in ("problems", "warnings"))
    assert code == 1
    assert any("no rule is named 'esx_ssh_enabeld'" in message for message in problems)
    assert any("no parser has the dataset 'vmware.exsi'" in message for message in problems)
    assert any("not-an-address" in message for message in problems), problems
    assert any("the exception of esx_ssh_enabled by anna has expired (2026-01-01): a lab" in message for message in warnings)
    assert any("the exception of esx_login_failed does nothing" in message for message in warnings)
    assert not any("is empty" in message for message in warnings)
    assert any("%backup_accounts% is empty" in each["message"] for each in check(ROOT)[1]["warnings"])


def test_the_lock_refuses_a_change_without_a_version(copy: Path) -> None:
    rules = copy / "detections" / "hardening"
    rules.mkdir()
    for name in ("esx_ssh_enabled.yml", "esx_ssh_enabled.cases.yaml"):
        shutil.copy(ROOT / "detections" / "hardening" / name, rules)
    code, result, _ = check(copy)
    assert (code, [each["message"].split(":")[0] for each in result["warnings"]]) == (0, ["no rule is locked"]), result
    assert check(copy, "--update-lock")[0] == 0 and (copy / "detections" / "detections.lock").exists()
    assert check(copy)[0] == 0
    rule = rules / "esx_ssh_enabled.yml"
    rule.write_text(rule.read_text().replace("level: low", "level: medium"))
    for again in (("--update-lock",), ()):
        code, result, _ = check(copy, *again)
        (problem,) = result["problems"]
        assert code == 1 and problem["path"].endswith("esx_ssh_enabled.yml") and problem["line"]
        assert "changed since version 1" in problem["message"]
        assert problem["hint"] == "set custom.version: 2, then hypervigil check --update-lock"
    rule.write_text(rule.read_text().replace("custom:\n", "custom:\n  version: 2\n"))
    assert check(copy)[0] == 1 and check(copy, "--update-lock")[0] == 0 == check(copy)[0]
