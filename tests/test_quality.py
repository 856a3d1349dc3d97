"""Expectations on figures of sources: what a sound table passes, and what each flaw is called."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from pipeline.quality import EXPECTATIONS, _validate

SOUND = {"dataset": "vmware.esxi", "events": 10, "time_missing_in_event": 0, "original_missing": 0, "id_missing": 0, "kind_unknown": 0,
         "outcome_unknown": 0, "in_future": 0, "recognised": 0.9, "host_share": 1.0}


def test_a_sound_source_passes_and_a_flawed_one_is_named(tmp_path: Path) -> None:
    flawed = SOUND | {"dataset": "linux.auditd", "in_future": 3, "recognised": 0.2}
    results = {dataset: (ok, problems) for dataset, ok, problems in _validate(pd.DataFrame([SOUND, flawed]), tmp_path / "docs")}
    assert results["vmware.esxi"] == (True, [])
    ok, problems = results["linux.auditd"]
    assert not ok
    assert problems == ["no event is from the future: not so (in_future = 3)", "most records have a known form: not so (recognised = 0.2)"]
    assert (tmp_path / "docs" / "index.html").exists()


def test_nothing_written_is_nothing_to_check() -> None:
    assert list(_validate(pd.DataFrame(), None)) == []


@pytest.mark.parametrize("column", [c for c, ((least, most), _) in EXPECTATIONS.items() if (least, most) == (0, 0)])
def test_no_flawed_row_is_allowed(column: str) -> None:
    assert column in SOUND
