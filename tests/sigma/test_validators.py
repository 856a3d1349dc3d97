"""pySigma's validators: which run, that none asks the network, and what their findings become."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from sigma.validators.core import validators as core
from sigma.validators.sigmahq import validators as sigmahq

from pipeline.sigma import validators
from pipeline.sigma.catalogue import load_catalogue
from pipeline.sigma.load import load_text

RULE = """\
title: A Good Title
id: 80000000-0000-4000-8000-000000000001
status: test
description: What is seen, and why it matters to whoever reads the alert.
author: Somebody
date: 2026-01-01
tags: [attack.impact, attack.t1529]
logsource: {product: vmware}
detection:
  sel:
    event.action: vm.power.off
  condition: sel
falsepositives: [Maintenance]
level: low
"""


def findings(*pairs: tuple[str, str]) -> tuple[list[str], list[str]]:
    text = RULE
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    loaded = load_text(text, Path("a_good_title.yml"))
    errors, warnings = validators.validate(loaded.ours)
    return [str(error) for error in errors], [str(warning) for warning in warnings]


def test_every_validator_is_used_or_named_with_a_reason() -> None:
    every = core.keys() | sigmahq.keys()
    assert len(every) == 80 and len(validators.NEED_NETWORK) == 10
    assert every >= validators.NEED_NETWORK | validators.NOT_OURS | validators.MILD
    told = validators.__doc__ or ""
    assert [name for name in sorted(validators.NEED_NETWORK | validators.NOT_OURS) if name not in told] == []


def test_the_others_ask_no_network_and_our_rules_have_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("asked the network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    errors, _ = validators.validate(load_catalogue().ours)
    assert [str(error) for error in errors] == []


def test_a_good_rule_has_no_findings() -> None:
    assert findings() == ([], [])


@pytest.mark.parametrize(("old", "new", "message"), [
    ("event.action: vm.power.off", "event.action|base64offset: vm.power.off", "a_good_title.yml:11: rule 'A Good Title': A 'base64offset'"),
    ("    event.action: vm.power.off", "    event.action|all: [a, b]", "without 'contains' modifier doesn't matches anything"),
    ("date: 2026-01-01", "modified: 2026-01-01", "a_good_title.yml:6: rule 'A Good Title': Rule has a modified field without"),
    ("attack.impact", "tlp.red, tlp.green", "(validator sigmahq_tags_unique_tlp)")])
def test_what_cannot_have_been_meant_is_an_error(old: str, new: str, message: str) -> None:
    errors, _ = findings((old, new))
    assert any(message in error for error in errors), errors


@pytest.mark.parametrize(("old", "new", "message"), [
    ("A Good Title", "a bad title.", "a_good_title.yml:1: rule 'a bad title.': Rule has a title that ends with a dot(.) (validator"),
    ("What is seen, and why it matters to whoever reads the alert", "Short", "a_good_title.yml:4"),
    ("[attack.impact, attack.t1529]", "[attack.impact, attack.impact]", "a_good_title.yml:7"),
    ("vm.power.off", "'*off*'", "a_good_title.yml:11"), ("vm.power.off", "[off, off]", "Field list value has a duplicate item")])
def test_what_reads_badly_is_a_warning(old: str, new: str, message: str) -> None:
    errors, warnings = findings((old, new))
    assert not errors
    assert any(message in warning for warning in warnings), warnings


def test_all_values_of_a_list_may_be_there() -> None:
    """SigmaHQ's fields hold one value; ours may hold many, and `all` without `contains` asks for several of them."""
    assert findings(("event.action: vm.power.off", "event.category|all: [host, configuration]")) == ([], [])


def test_what_cannot_be_read_is_left_to_the_loader() -> None:
    assert findings(("level: low", "level: extreme")) == ([], [])
