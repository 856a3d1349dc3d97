"""The wheel holds every package and all content, and nothing under a generic name."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

NO_CACHE = shutil.ignore_patterns("__pycache__")


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy: a build/ folder left in the checkout would bring files back that are long gone."""
    copy, out = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheel")
    for folder in ("pipeline", "parsers", "detections"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=NO_CACHE)
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, copy / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(out), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "would be ignored" not in done.stderr
    return next(out.glob("hypervigil-*.whl"))


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


def test_every_package_is_listed(project: dict[str, Any]) -> None:
    with_code = {path.parent.relative_to(ROOT / "pipeline") for path in (ROOT / "pipeline").rglob("*.py")}
    expected = {".".join(["hypervigil", *folder.parts]) for folder in with_code} | {"hypervigil.parsers", "hypervigil.detections"}
    assert set(project["tool"]["setuptools"]["packages"]) == expected


def test_wheel_holds_code_and_content(wheel: Path) -> None:
    packed = names_in(wheel)
    missing = [str(path.relative_to(ROOT)) for top, name in (("pipeline", ""), ("parsers", "parsers/"), ("detections", "detections/"))
               for path in (ROOT / top).rglob("*") if path.is_file() and "__pycache__" not in path.parts
               and f"hypervigil/{name}{path.relative_to(ROOT / top)}" not in packed]
    assert missing == []


def test_wheel_leaks_no_generic_name(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in names_in(wheel)}
    assert "hypervigil" in tops
    assert {top for top in tops if not re.fullmatch(r"hypervigil(-[0-9.]+\.dist-info)?", top)} == set()


def test_wheel_works_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = "import hypervigil.content as c; print(c.folder('detections')); from hypervigil.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "sources", "--json"], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)},
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    folder, sources = done.stdout.split("\n", 1)
    assert folder == str(tmp_path / "hypervigil/detections")
    assert {source["id"] for source in json.loads(sources)} == {path.parent.name for path in (ROOT / "parsers").glob("*/parser.yml")}


def test_lock_pins_every_dependency(project: dict[str, Any]) -> None:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9._]+", line)] == []
    pinned = {canonical(line.split("==")[0]) for line in lines}
    wanted = [*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["dev"]]
    assert {canonical(re.split(r"[^A-Za-z0-9._-]", need)[0]) for need in wanted} - pinned == set()


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_generated_files_are_current() -> None:
    from deploy.generate import generated

    stale = [str(path) for path, text in generated().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    assert stale == [], "run `make generate`"
