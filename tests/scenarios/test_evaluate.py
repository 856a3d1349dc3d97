"""The jobs on one data centre: they find what is planted, are silent at every named negative, and late lines change nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import evaluate, generate, memory
from .parts import DAY, START
from .scoring import Score

SEED = 3


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, memory.Found]:
    """In order, and with a tenth of the lines half an hour late."""
    return {late: read(tmp_path_factory.mktemp("centre"), late) for late in (False, True)}


def read(folder: Path, late: bool) -> memory.Found:
    generate.write(generate.generate(SEED, late=late), folder)
    return memory.read(sorted((folder / "logs").iterdir()), folder / "context", evaluate.reader(), (folder / "context" / "geo.mmdb",))


def test_late_lines_give_the_same_findings(found: dict[bool, memory.Found]) -> None:
    horizon = evaluate.micros(START + DAY * evaluate.DAYS)
    for each in found[False].jobs:
        kept = ("key", "first", "last", "severity", "score", "count", "explanation")
        one, other = (memory.judged(found[late].signals[each.job.type], each, horizon).select(kept) for late in (False, True))
        assert one.height >= 4, each.job.type
        assert one.equals(other), each.job.type


def test_the_jobs_find_what_is_planted_and_only_that() -> None:
    scores = evaluate.evaluate_seed(SEED, quick=True)
    assert scores.keys() == set(generate.JOBS)
    for job, variant in scores.items():
        assert (variant[""].found, variant[""].missed, variant[""].noisy) == (4, [], []), job


def test_results_have_the_keys_that_others_read() -> None:
    one = Score(attacks=4, found=3, loud=3, true=3, vm_weeks=100.0, waits=[10.0, 20.0, 60.0])
    scores = {job: {"": one} for job in generate.JOBS}
    rows = evaluate.results(scores, [1, 2])
    assert [row["job"] for row in rows] == sorted(generate.JOBS)
    assert {"job", "seeds", "recall", "precision", "false_high_per_1000_vm_weeks", "time_to_alert_s"} <= rows[0].keys()
    assert (rows[0]["recall"], rows[0]["time_to_alert_s"], rows[0]["seeds"]) == (0.75, 20.0, [1, 2])
