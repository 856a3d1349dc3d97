"""Explanations: term by term, with reasons, and safe to print."""

from __future__ import annotations

from pathlib import Path

from pipeline.sigma.explain import explain, to_text
from pipeline.sigma.load import Rule, load_text

RULE = """\
title: Kill by a stranger
id: 30000000-0000-4000-8000-000000000001
level: high
logsource: {product: vmware}
detection:
  sel:
    event.action: shell.cmd
    process.command_line|contains: [' Kill ', ' stop ']
  filter_admin:
    user.name: admin
  condition: sel and not 1 of filter_*
"""


def _rule() -> Rule:
    return load_text(RULE, Path("x.yml")).rules[0]


def test_a_match_names_the_terms_that_held() -> None:
    found = explain(_rule(), {"event": {"action": "Shell.cmd"}, "process": {"command_line": "vm kill 1"}})
    assert found.matched
    assert found.why() == ["event.action is 'shell.cmd': yes, it is 'Shell.cmd'",
                           "process.command_line contains ' Kill ' or ' stop ': yes, it is 'vm kill 1'",
                           "user.name is 'admin': no, the event has no user.name"]


def test_a_miss_names_the_terms_that_failed() -> None:
    found = explain(_rule(), {"event.action": "shell.cmd", "process.command_line": "ls", "user.name": "ADMIN"})
    assert not found.matched
    assert found.why() == ["process.command_line contains ' Kill ' or ' stop ': no, it is 'ls'", "user.name is 'admin': yes, it is 'ADMIN'"]
    sel, negation = found.parts
    assert (sel.title, sel.matched) == ("sel: all of", False)
    assert (negation.kind, negation.matched) == ("not", False)


def test_a_missing_field_is_null_and_counts_as_false() -> None:
    term = explain(_rule(), {}).parts[0].parts[0]
    assert (term.field, term.operator, term.wanted, term.actual, term.result, term.matched) == (
        "event.action", "is", ("shell.cmd",), None, None, False)


def test_log_text_cannot_write_to_the_terminal() -> None:
    hostile = "[red]x[/red] kill \x1b[31m\u202e\n"
    rule = _rule()
    text = to_text(rule, explain(rule, {"event.action": "shell.cmd", "process.command_line": hostile}), width=300)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[red]x[/red]" in text
