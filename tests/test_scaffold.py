"""A scaffold passes check and test at once."""

from __future__ import annotations

from pathlib import Path

from pipeline import proofs
from pipeline.checking import check_parser
from pipeline.kernel.engine import Engine
from pipeline.kernel.spec import load_parser
from pipeline.scaffold import new_parser, new_rule
from pipeline.sigma.cases import load_cases
from pipeline.sigma.catalogue import load_catalogue
from pipeline.sigma.lint import lint_folder
from pipeline.sigma.load import Places


def test_new_parser_passes(tmp_path: Path) -> None:
    paths = new_parser("acme-hypervisor", tmp_path)
    spec = load_parser(paths[0])
    assert check_parser(spec) == []
    engine = Engine({spec.id: spec})
    events = proofs.events_of(engine.process_bytes(paths[1].read_bytes(), proofs.WRITTEN))
    assert [e["user"]["name"] for e in events] == ["alice", "mallory"]
    assert [e["event"]["outcome"] for e in events] == ["success", "failure"]


def test_new_rule_passes(tmp_path: Path) -> None:
    new_rule("esxi_made_up", "hardening", tmp_path)
    assert lint_folder(tmp_path) == []
    catalogue = load_catalogue(Places(tmp_path))
    engine = Engine()
    rule = catalogue.rules[0]
    cases = load_cases(rule.cases_path)
    events = proofs.parse_apart(engine, [case.raw.encode() for case in cases], "vmware-esxi")
    rules = engine.detector([rule])
    assert [proofs.check_case(e, rules, catalogue, rule, c) for e, c in zip(events, cases, strict=True)] == [None, None]
