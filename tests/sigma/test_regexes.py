"""Regexes of rules mean in Rust what they mean in PCRE; Python's `re` agrees with PCRE on all of what is tried here."""

from __future__ import annotations

import re

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.sigma.regexes import rust

LETTERS = "ab<>&~[]-+.$\n"
SAME = ["a.b", "^a+$", "[a-z]+x?", r"a\.b", r"\d{2}", "(a|b)c", r"\w\s\b", "(?i)abc", "(?m)^a$", "[[:alpha:]]", "[^]a]", r"[\w.-]"]

plain = st.sampled_from("ab<>&~-")
escaped = st.sampled_from("<>&~[]-+.$").map(lambda sign: "\\" + sign)
members = st.lists(st.one_of(st.sampled_from("ab<>&~[+."), escaped, st.sampled_from(["a-b", "&&", "~~", "+--", "[", "&"])),
                   min_size=1, max_size=4).map("".join)
classes = st.tuples(st.sampled_from(["[", "[^", "[]", "[^]"]), members).map(lambda parts: "".join(parts) + "]")
parts = st.lists(st.one_of(plain, escaped, classes, st.sampled_from(["^", ".", "(a|b)", "a?", "[a-b]*"])), min_size=1, max_size=5)
regexes = st.tuples(parts.map("".join), st.sampled_from(["", "$", "(a|b$)", "(x|$)"])).map("".join)


@pytest.mark.filterwarnings("ignore:Possible (nested set|set)")
@settings(max_examples=300, deadline=None)
@given(regexes, st.lists(st.text(LETTERS, max_size=5), min_size=1, max_size=20))
def test_as_python_has_it(regex: str, texts: list[str]) -> None:
    assert pl.Series(texts).str.contains(rust(regex)).to_list() == [re.search(regex, text) is not None for text in texts]


@pytest.mark.parametrize("regex", SAME)
def test_what_means_the_same_is_left_alone(regex: str) -> None:
    assert rust(regex) == regex.replace("^a+$", r"^a+(?:\n?\z)")
