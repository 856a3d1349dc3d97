"""The pattern library: every example matches whole, and prefilter literals are in every match."""

from __future__ import annotations

import polars as pl
import pytest

from pipeline.errors import ContentError
from pipeline.kernel.patterns import LIBRARY, compile_pattern, required_literal
from pipeline.kernel.spec import load_parsers


@pytest.mark.parametrize("name", LIBRARY)
def test_each_pattern_matches_its_example_whole(name: str) -> None:
    regex, example = LIBRARY[name]
    assert pl.Series([example]).str.contains(f"^(?s:{regex})$")[0]


@pytest.mark.parametrize(("pattern", "literal"), [
    (r"^Event %{INT} : User %{USER:user.name} logged in", " logged in"),
    (r"^a(bc)?defg", "defg"),
    (r"colou?r names", "r names"),
    (r"abc|defg", None),
    (r"(?i)Hello", None),
    (r"x\[Originator@6876 sub=", "x[Originator@6876 sub="),
    (r"[Hh]ostd: info", "ostd: info"),
    (r"ab{2,3}cdef", "cdef"),
    (r"\d+ things", " things"),
    (r"ab", None),
])
def test_literal(pattern: str, literal: str | None) -> None:
    assert required_literal(pattern) == literal


def test_literals_of_all_shipped_forms_are_in_their_examples() -> None:
    forms = [f for spec in load_parsers().values() for stage in spec.stages for f in stage.forms if f.example]
    for form in forms:
        literal = form.compiled.literal
        assert literal is None or literal in (form.example or ""), form.id


def test_a_field_named_twice_is_coalesced() -> None:
    pattern = compile_pattern("^(?:a=%{WORD:user.name}|b=%{WORD:user.name})$")
    hit, values = pattern.match(pl.Series(["b=x", "c=x"]))
    assert hit.to_list() == [True, False]
    assert values["user.name"].to_list() == ["x", None]


@pytest.mark.parametrize(("text", "rest"), [
    ("^a=%{WORD:user.name} %{REST:message}$", "message"),
    ("^a=%{WORD:user.name} (?<message>.*)$", "message"),
    ("^(?:a|b)[|]%{REST:message}$", "message"),
    ("a=%{WORD:user.name} %{REST:message}$", None),
    ("^a|b%{REST:message}$", None),
    ("^(?:a|b%{REST:message})$", None),
    ("(?m)^a%{REST:message}$", None),
    ("^%{REST:message}", None),
])
def test_the_rest_of_a_line_is_cut_off_without_the_regex_engine(text: str, rest: str | None) -> None:
    assert compile_pattern(text).rest == rest


def test_a_rest_is_what_the_whole_regex_would_have_captured() -> None:
    lines = pl.Series(["x=1 y z", "x=1 ", "x=", None, "x=ä ö\n2", "y=1 x"])
    _, values = compile_pattern("^x=%{DATA:user.name}(?: |$)%{REST:message}$").match(lines)
    whole = lines.str.extract_groups(r"(?s)^x=(?P<u>.*?)(?: |$)(?P<m>.*)$")
    assert values["message"].to_list() == whole.struct.field("m").to_list()
    assert values["user.name"].to_list() == whole.struct.field("u").to_list()


def test_unknown_name_is_refused() -> None:
    with pytest.raises(ContentError, match="unknown pattern"):
        compile_pattern("%{NOPE:user.name}")
