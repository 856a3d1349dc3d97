"""The layers of pipeline/: imports point down, and what handles one record at a time knows no Spark."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import ROOT

PIPELINE = ROOT / "pipeline"
# From the ground up. A module may import from its own layer and from those before it.
LAYERS = (
    {"errors", "text"},
    {"schema", "shapes", "content", "config"},
    {"sigma"},
    {"kernel"},
    {"delta_files", "flat", "windows", "conditions", "judge"},
    {"session"},
    {"lake", "locking", "blocks", "hits"},
    {"context", "finding", "sources", "ledger", "ingest", "figures", "progress", "replaying"},
    {"rows", "wording", "alerts", "raising", "correlate", "alerting"},
    {"analytics"},
    {"rulebook"},
    # Views of records and checks of content, which need no Spark.
    {"events", "expectations", "proofs", "conformance", "conformance_correlations", "realcheck", "checking", "explaining", "scaffold",
     "coverage", "families", "checking_rules"},
    {"quality", "report", "export", "sinks", "choosing", "comparison", "backtest", "differences", "needs", "readiness", "shortfalls"},
    {"run", "terminal", "stopping"},
    {"authoring", "tuning", "placing", "classes"},
    {"cli"},
    {"__main__"},
)
LEVEL = {unit: level for level, units in enumerate(LAYERS) for unit in units}


def module_of(path: Path) -> str:
    parts = path.relative_to(PIPELINE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {module_of(path): path for path in sorted(PIPELINE.rglob("*.py"))}


def unit_of(module: str) -> str:
    return module.split(".")[0]


def exists(module: str) -> str | None:
    """The module that `module` names; the package around it when its last part is a name inside that."""
    while module and module not in MODULES:
        module = module.rpartition(".")[0]
    return module or None


def imports_of(module: str) -> dict[str, int]:
    """The modules of pipeline/ that one imports, wherever in its text, and the line of each import."""
    path = MODULES[module]
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    found: dict[str, int] = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        base = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
        for alias in node.names:
            target = exists(".".join(filter(None, [*base, alias.name])))
            if target and target != module:
                found.setdefault(target, node.lineno)
    return found


def test_every_module_has_a_layer() -> None:
    assert {unit_of(module) for module in MODULES} - {"__init__"} - set(LEVEL) == set(), "name the new module in LAYERS above"


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"__init__"}))
def test_imports_point_down(module: str) -> None:
    upward = [f"{MODULES[module].relative_to(ROOT)}:{line} imports {target}" for target, line in imports_of(module).items()
              if LEVEL.get(unit_of(target), 0) > LEVEL[unit_of(module)]]
    assert upward == []


def test_no_circle() -> None:
    try:
        list(TopologicalSorter({module: set(imports_of(module)) for module in MODULES}).static_order())
    except CycleError as error:
        pytest.fail("circle: " + " <- ".join(error.args[1]))


def absolute_imports(path: Path) -> list[str]:
    own = ("pipeline", "hypervigil", "tests")
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = [(node.module or "", node.lineno) for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
    names += [(alias.name, node.lineno) for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return [f"{path.relative_to(ROOT)}:{line} imports {name}" for name, line in names if unit_of(name) in own]


def test_inside_pipeline_imports_are_relative() -> None:
    assert [problem for path in MODULES.values() for problem in absolute_imports(path)] == []


def test_kernel_and_sigma_know_no_spark() -> None:
    """In a process of its own, since other tests of this run have imported Spark."""
    names = [f"pipeline.{module}" for module in MODULES if unit_of(module) in ("kernel", "sigma", "cli")]
    heavy = ["pyspark", "delta", "great_expectations", "pandas"]
    code = f"import sys\nfor name in {names}: __import__(name)\nprint([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
