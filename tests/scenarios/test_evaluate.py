"""The jobs on one data centre: they find what is planted, are silent at every named negative, and late lines change nothing. A machine
that is migrated between two hops, one that is migrated while it breaks out, and an address that passed to another tenant are in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl
import pytest

from . import evaluate, figures, generate, memory
from .scoring import Score, Worth
from .world import World

SEED = 0
SAID = ("key", "first", "last", "severity", "score", "count", "steps", "detail", "explanation")


@dataclass(frozen=True)
class Centre:
    """A data centre, and the findings of each job in order and with a tenth of the lines half an hour late."""

    world: World
    said: dict[str, tuple[pl.DataFrame, pl.DataFrame]]

    def of(self, attack: str) -> Iterator[dict[str, Any]]:
        """What is said, either way, of the machines and the time of an attack: the findings that name all its machines."""
        case = next(case for case in self.world.cases if case.attack == attack)
        begun, ended = (evaluate.micros(pick(line[0] for _, line in case.lines)) for pick in (min, max))
        for said in self.said[case.job]:
            rows = [row | {"steps": json.loads(row["steps"]), "detail": json.loads(row["detail"])}
                    for row in said.filter(pl.col("first").is_between(begun - 1000, ended)).iter_rows(named=True)]
            yield next(row for row in rows if all(name in row["explanation"] for name in case.entities["vm"]))


@pytest.fixture(scope="module")
def centre(tmp_path_factory: pytest.TempPathFactory) -> Centre:
    found: dict[str, list[pl.DataFrame]] = {}
    for late in (False, True):
        folder, world = tmp_path_factory.mktemp("centre"), generate.generate(SEED, late=late)
        generate.write(world, folder)
        read = memory.read(sorted((folder / "logs").iterdir()), folder / "context", evaluate.reader(), (folder / "context" / "geo.mmdb",))
        for each in read.jobs:
            said = memory.judged(read.signals[each.job.type], each, evaluate.micros(world.end))
            found.setdefault(each.job.type, []).append(said.select(SAID))
    return Centre(world, {job: (said[0], said[1]) for job, said in found.items()})


@pytest.mark.parametrize("job", generate.JOBS)
def test_late_lines_give_the_same_findings(centre: Centre, job: str) -> None:
    ids = r'"event": "[^"]*"'  # an event is known by its place in its file
    in_order, late = (said.with_columns(pl.col("steps", "detail").str.replace_all(ids, "")) for said in centre.said[job])
    assert in_order.height >= 4
    assert in_order.equals(late)


def test_a_machine_that_is_migrated_between_two_hops_was_on_both_hosts(centre: Centre) -> None:
    for row in centre.of("migrated_between_hops"):
        there, further = row["steps"][:2]
        moved = there["target"]
        assert further["source"] == moved
        hosts = [centre.world.where(moved, datetime.fromisoformat(step["time"])) for step in (there, further)]
        assert [there["host"], row["detail"]["path.places"][moved]["host"]] == hosts
        assert hosts[0] != hosts[1]


def test_an_address_of_two_tenants_accuses_who_has_it(centre: Centre) -> None:
    for row in centre.of("address_reused"):
        vms = centre.world.vms
        source = vms[row["steps"][0]["source"]]
        held = [vm for vm in vms.values() if (vm.segment, vm.address) == (source.segment, source.address) and vm.died]
        before = max((vm for vm in held if vm.died and vm.died < source.born), key=lambda vm: vm.born)
        assert row["severity"] == "high"
        assert row["detail"]["path.tenants"] == [source.tenant, before.tenant]
        assert before.name not in row["explanation"]


def test_a_guest_that_is_migrated_while_it_breaks_out_is_one_chain(centre: Centre) -> None:
    for row in centre.of("esxi_moved_between"):
        moved = row["detail"]["vms"][0]
        old, new = (centre.world.where(moved, evaluate.moment(time)) for time in (row["first"], row["last"]))
        assert (row["key"], row["severity"]) == (new, "critical")
        assert f"guest {moved}, still on {old}: " in row["explanation"] and old != new


def test_the_jobs_find_what_is_planted_and_only_that() -> None:
    found = evaluate.evaluate_seed(SEED, quick=True)
    assert found.keys() == set(generate.JOBS)
    for job, one in found.items():
        assert (one.score.found, one.score.missed, one.score.noisy, one.worth) == (4, [], [], {}), job


def test_figures_have_the_keys_that_others_read_and_are_told_in_words() -> None:
    one = Score(attacks=4, found=3, loud=3, true=3, vm_weeks=100.0, waits=[10.0, 20.0, 60.0], missed=["2:x"])
    worth = {"role login": Worth(["1:x", "2:x", "1:y"]), "weight off_hours": Worth([], ["1:z"])}
    rows = figures.results({job: (one, worth) for job in generate.JOBS}, [1, 2])
    assert [row["job"] for row in rows] == sorted(generate.JOBS)
    assert {"job", "seeds", "recall", "precision", "false_high_per_1000_vm_weeks", "time_to_alert_s"} <= rows[0].keys()
    assert (rows[0]["recall"], rows[0]["time_to_alert_s"], rows[0]["seeds"]) == (0.75, 20.0, [1, 2])
    assert rows[0]["ablation"][0] == {"without": "role login", "missed": 3, "false": 0, "missed_attacks": {"x": 2, "y": 1},
                                      "false_about": {}}
    words = figures.show(rows)
    assert "missed x 1 times (seeds 2)" in words and "3 missed    0 false   x 2, y 1" in words
