"""Sigma semantics: every entry of semantics.yml, judged by the plain expression, the detector and the explanation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from pipeline.kernel.detect import Detector
from pipeline.schema import BY_NAME
from pipeline.sigma.compile import compile_rule
from pipeline.sigma.explain import explain, to_text
from pipeline.sigma.load import Rule, load_text
from pipeline.sigma.terms import dtype, matches

ENTRIES = yaml.safe_load((Path(__file__).parent / "semantics.yml").read_text(encoding="utf-8"))


def rule_of(detection: dict[str, Any]) -> Rule:
    document = {"title": "T", "id": "00000000-0000-4000-8000-000000000001", "level": "low", "logsource": {"product": "vmware"},
                "detection": {"condition": "sel"} | detection}
    loaded = load_text(yaml.safe_dump(document, allow_unicode=True), Path("rule.yml"))
    assert not loaded.errors, loaded.errors
    return loaded.rules[0]


def frame_of(events: list[dict[str, Any]]) -> pl.DataFrame:
    names = sorted({name for event in events for name in event}) or ["event.id"]
    frame = pl.DataFrame({name: [event.get(name) for event in events] for name in names},
                         schema={name: pl.String() if BY_NAME[name].type == "date" else dtype(BY_NAME[name]) for name in names})
    return frame.with_columns(pl.col(n).str.to_datetime(time_unit="us", time_zone="UTC") for n in names if BY_NAME[n].type == "date")


@pytest.mark.parametrize("entry", ENTRIES, ids=[entry["name"] for entry in ENTRIES])
def test_semantics(entry: dict[str, Any]) -> None:
    rule = rule_of(entry["detection"])
    events = [*entry["match"], *entry["miss"]]
    wanted = [True] * len(entry["match"]) + [False] * len(entry["miss"])
    frame = frame_of(events)

    assert matches(compile_rule(rule), frame).to_list() == wanted
    assert Detector([rule]).detect(frame)["event_index"].to_list() == [i for i, hit in enumerate(wanted) if hit]
    for event, hit in zip(events, wanted, strict=True):
        explanation = explain(rule, event)
        assert explanation.matched == hit, to_text(rule, explanation)
        assert explanation.why()


def test_absent_columns_are_null() -> None:
    """A column that no event has and a column that is absent mean the same."""
    for entry in ENTRIES:
        rule = rule_of(entry["detection"])
        for event, hit in [(e, True) for e in entry["match"]] + [(e, False) for e in entry["miss"]]:
            alone = frame_of([{name: value for name, value in event.items() if value is not None}] if event else [{"event.id": "x"}])
            assert matches(compile_rule(rule), alone).to_list() == [hit], (entry["name"], event)


def test_a_misshapen_column_is_cast_not_fatal() -> None:
    frame = pl.DataFrame({"process.pid": ["7", "x"], "event.category": ["host", None]})
    rule = rule_of({"sel": {"process.pid": 7, "event.category": "host"}})
    assert matches(compile_rule(rule), frame).to_list() == [True, False]
