"""The generator of data centres: the same bytes again, no line lost, labels that point at lines, and lines that our parsers know."""

from __future__ import annotations

import ast
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipeline.context.files import read_context
from pipeline.kernel.engine import Engine

from . import generate
from .world import World

SIZE: dict[str, Any] = {"hosts": 20, "vms": 160, "days": 18}
SEED = 7
# What analytics.md names as what must stay silent (A1, A13) and what its story needs.
NAMED = {"hardware_mce", "live_update_restart", "psod_without_precursor", "fan_out_scanner", "bastion_star", "ip_reuse"}


@pytest.fixture(scope="module")
def world() -> World:
    return generate.generate(SEED, **SIZE)


@pytest.fixture(scope="module")
def folder(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("centre")
    generate.write(world, path)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_seed_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    generate.write(generate.generate(SEED, **SIZE), tmp_path)
    again, first = contents(tmp_path), contents(folder)
    assert [name for name in first if again.get(name) != first[name]] == []
    assert again.keys() == first.keys()


def test_another_seed_gives_another_data_centre(world: World) -> None:
    other = generate.generate(SEED + 1, **SIZE)
    assert {case.attack for case in other.cases if not case.negative} != {case.attack for case in world.cases if not case.negative}


def test_late_lines_are_the_same_lines_in_another_order(folder: Path, tmp_path: Path) -> None:
    generate.write(generate.generate(SEED, **SIZE, late=True), tmp_path)
    moved = 0
    for path in (folder / "logs").iterdir():
        lines, late = path.read_text().splitlines(), (tmp_path / "logs" / path.name).read_text().splitlines()
        assert Counter(lines) == Counter(late), path.name
        moved += sum(one != other for one, other in zip(lines, late, strict=True))
    assert moved > 1000


def test_every_record_is_written_once(world: World, folder: Path) -> None:
    for file, records in world.records.items():
        assert sum(record.line[1].count("\n") + 1 for record in records) == len((folder / "logs" / file).read_text().splitlines())


def test_labels_point_to_their_lines(world: World, folder: Path) -> None:
    lines = {path.name: path.read_text().splitlines() for path in (folder / "logs").iterdir()}
    labels = json.loads((folder / "labels.json").read_text())
    planted = [case for case in world.cases if case.lines]
    assert len(labels) == len(planted) >= 30
    for label, case in zip(labels, planted, strict=True):
        told = Counter(lines[file][number - 1] for file, number in label["lines"])
        assert told == Counter(text.split("\n")[0] for _, (_, text) in case.lines), label["attack"]
        assert any(label["entities"].values())


def test_all_jobs_have_attacks_and_every_named_negative_is_there(world: World) -> None:
    attacks = Counter(case.job for case in world.cases if not case.negative)
    assert attacks == dict.fromkeys(generate.JOBS, 4)
    assert {case.attack for case in world.cases if case.negative} >= NAMED


def test_a_machine_that_moves_between_hops_and_an_address_of_two_tenants_occur() -> None:
    kinds = {plant.__name__ for kind in generate.KINDS for plant in kind.ATTACKS}
    assert {"migrated", "reused", "esxi_moved"} <= kinds


def test_an_address_belongs_to_one_machine_at_a_time(world: World) -> None:
    for vm in world.vms.values():
        for other in world.vms.values():
            if vm is not other and (vm.segment, vm.address) == (other.segment, other.address):
                first, second = sorted((vm, other), key=lambda one: one.born)
                assert first.died is not None and first.died <= second.born


def test_our_parsers_know_every_line(folder: Path) -> None:
    engine, datasets = Engine(), set()
    for path in sorted((folder / "logs").iterdir()):
        for batch in engine.process_file(str(path)):
            datasets |= set(batch.events.get_column("event.dataset"))
            assert batch.quarantine.is_empty()
            assert [text for text, tags in batch.events.select("event.original", "tags").rows() if tags and "unparsed" in tags] == []
    assert datasets == {"vmware.esxi", "vmware.vcenter", "linux.auditd", "linux.libvirt", "aws.cloudtrail"}


def test_the_context_is_accepted_as_it_is(folder: Path) -> None:
    context = read_context(folder / "context")
    assert context.repaired == ()
    assert context.inventory.height > 1000
    assert context.policies.bastions and context.policies.segmentation


def test_the_generator_imports_nothing_of_the_pipeline() -> None:
    seen: set[str] = set()
    waiting = ["generate"]
    while waiting:
        name = waiting.pop()
        seen.add(name)
        for node in ast.walk(ast.parse((Path(__file__).parent / f"{name}.py").read_text())):
            if isinstance(node, ast.ImportFrom) and node.level == 1:
                named = [node.module] if node.module else [alias.name for alias in node.names]
                waiting += [each for each in named if each not in seen]
            elif isinstance(node, ast.ImportFrom):
                assert not (node.module or "").startswith("pipeline"), name
            elif isinstance(node, ast.Import):
                assert not any(alias.name.startswith("pipeline") for alias in node.names), name
    assert {"world", "life", "attacks_escape", "context_files"} <= seen
