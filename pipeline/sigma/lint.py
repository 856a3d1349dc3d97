"""Refuses rules that are wrong, unproven or incomplete. Every finding names rule, file and line, and says what to do.

Wrong: fields, types, conditions, and what pySigma 1.5.1 gets wrong silently. Unproven: a compared event id that is neither in a
vendor table we ship, nor set by one of our parsers, nor in the rule's evidence; no case that fires and one that does not.
Incomplete: metadata that an analyst or an export needs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
from sigma.conditions import ConditionIdentifier, ConditionItem, ConditionSelector
from sigma.modifiers import reverse_modifier_mapping
from sigma.rule import SigmaDetectionItem
from sigma.types import SigmaNull, SigmaString

from ..errors import ContentError
from .attack import tag_errors
from .cases import load_cases
from .catalogue import Catalogue, load_catalogue
from .compile import check_rule, compile_rule, items, parse_condition, selected
from .correlations import Correlation
from .known import Known, shipped
from .load import Places, Rule
from .terms import Term, matches, terms

ID_FIELDS = ("event.action", "event.code")  # what they are compared with must be evidence
_TECHNIQUE = re.compile(r"attack\.t\d{4}(\.\d{3})?")
_OLD_TECHNIQUE = re.compile(r"T\d{4}(\.\d{3})?")
_KEEP_CASE = {"all", "neq", "contains", "startswith", "endswith"}


def lint_folder(folder: Path | None = None, known: Known | None = None) -> list[ContentError]:
    """Findings of every rule of a folder (default: detections/), those of reading included."""
    return lint_catalogue(load_catalogue(Places(folder)), known)


def lint_catalogue(catalogue: Catalogue, known: Known | None = None) -> list[ContentError]:
    """Findings of rules, correlations and their cases; `known` defaults to what the parsers folder holds."""
    known = known or shipped()
    return [
        *catalogue.errors,
        *(error for rule in catalogue.rules for error in (*lint_rule(rule, known), *lint_cases(rule, known))),
        *(error for c in catalogue.correlations for error in (*_metadata(c), *lint_cases(c, known))),
        *_duplicates(catalogue.everything)]


def lint_rule(rule: Rule, known: Known) -> list[ContentError]:
    """Findings of one rule without its cases."""
    wrong = list(_identifiers(rule)) or check_rule(rule)  # a misread condition would only add confusing findings
    found = [*wrong, *_values(rule), *_logsource(rule, known), *_metadata(rule), *_evidence_sources(rule, known)]
    if not wrong:
        found += [*_unused(rule), *_evidence(rule, known)]
    return found


def lint_cases(rule: Rule | Correlation, known: Known) -> list[ContentError]:
    """Findings of a rule's cases file: it must exist, with at least one case that fires and one that does not."""
    path = rule.cases_path

    def error(message: str, hint: str) -> ContentError:
        return ContentError(f"rule {rule.title!r}: {message}", path, 1, hint)

    if not path.exists():
        return [error("no cases file", "write raw lines that make the rule fire, and lines that nearly do")]
    try:
        cases = load_cases(rule.cases_path)
    except ContentError as wrong:
        hint = wrong.hint or "keys: name, why, parser, raw, fires, expect"
        return [replace(wrong, message=f"rule {rule.title!r}: {wrong.message}", hint=hint)]
    found = []
    if not any(case.fires for case in cases):
        found.append(error("no case fires", "add a case with `fires: true`"))
    if all(case.fires for case in cases):
        found.append(error("no case is silent", "add a case with `fires: false` that differs in the one thing that matters"))
    names = [case.name for case in cases]
    twice = sorted({name for name in names if names.count(name) > 1})
    found += [error(f"two cases are named {name!r}", "name what each case shows") for name in twice]
    found += [error(f"case {case.name!r} names no parser of ours: {log.parser!r}", f"parsers: {', '.join(sorted(known.parsers))}")
              for case in cases for log in case.sources if log.parser not in known.parsers]
    return found


def _duplicates(rules: Iterable[Rule | Correlation]) -> Iterator[ContentError]:
    first: dict[str, Rule | Correlation] = {}
    for rule in rules:
        other = first.setdefault(rule.id, rule)
        if other is not rule and rule.id:
            message = f"its id is also that of {other.title!r} ({other.path})"
            yield rule.document.error(message, "id", hint="give every rule a UUID of its own")


# --- the detection ----------------------------------------------------------------------------------------------------------


def _identifiers(rule: Rule) -> Iterator[ContentError]:
    """pySigma 1.5.1 reads a selection named `notsel` as `not sel`, without a word (repairs.py helps nobody who takes our rules)."""
    for name in rule.sigma.detection.detections:
        operator = next((word for word in ("and", "or", "not") if name.lower().startswith(word)), None)
        if operator:
            yield rule.document.error(f"selection {name!r} starts with {operator!r}", "detection", name,
                                      hint="conditions would misread it: rename it, for example to filter_x")


def _unused(rule: Rule) -> Iterator[ContentError]:
    used = {name for index in range(len(rule.sigma.detection.condition)) for name in _references(rule, parse_condition(rule, index))}
    for name in rule.sigma.detection.detections:
        if name not in used:
            yield rule.document.error(f"selection {name!r} is never used", "detection", name, hint="use it in the condition or remove it")


def _references(rule: Rule, item: object) -> Iterator[str]:
    if isinstance(item, ConditionSelector):
        yield from selected(rule, item)
    elif isinstance(item, ConditionIdentifier):
        yield item.identifier
    elif isinstance(item, ConditionItem):
        for part in item.args:
            yield from _references(rule, part)


def _values(rule: Rule) -> Iterator[ContentError]:
    """Values that pySigma 1.5.1 accepts and gets wrong. repairs.py puts that right here, not in the tools of those who take our rules."""
    for name, detection in rule.sigma.detection.detections.items():
        for item in items(detection):
            for message, hint in _value_faults(item):
                keys = [k for k in rule.document.lines if k[:2] == ("detection", name) and str(k[-1]).split("|")[0] == (item.field or "")]
                yield rule.document.error(f"{item.field or name}: {message}", *(keys or [("detection", name)])[0], hint=hint)


def _value_faults(item: SigmaDetectionItem) -> Iterator[tuple[str, str]]:
    originals, modifiers = item.original_value or [], [reverse_modifier_mapping[modifier.__name__] for modifier in item.modifiers]
    texts = [part for value in originals if isinstance(value, SigmaString) for part in value.s if isinstance(part, str)]
    if len(originals) > 1 and any(isinstance(value, SigmaNull) for value in originals):
        yield "null inside a list of values", "make it a selection of its own and join the two by `or`"
    if "utf16" in modifiers:
        yield "the modifier utf16 encodes wrongly (pySigma 1.5.1 adds a UTF-8 byte order mark)", "use utf16le (wide)"
    if "base64offset" in modifiers and not all(map(str.isascii, texts)):
        yield "base64offset of text beyond ASCII is cut wrongly (pySigma 1.5.1)", "write the encoded text with contains"
    if {"base64", "base64offset"} & set(modifiers) and any("*" in t or "?" in t for t in texts):
        yield "base64 of an escaped wildcard encodes the backslash too (pySigma 1.5.1)", "write the encoded text with contains"
    if "cased" in modifiers and not set(modifiers[modifiers.index("cased") + 1:]) <= _KEEP_CASE:
        yield "a modifier after `cased` loses the case", "write cased last"


def _logsource(rule: Rule, known: Known) -> Iterator[ContentError]:
    if known.logsources and not any(rule.logsource.items() <= source.items() for source in known.logsources):
        offered = "; ".join(sorted({", ".join(f"{k}: {v}" for k, v in source.items()) for source in known.logsources}))
        yield rule.document.error(f"no parser has the log source {dict(rule.logsource)}", "logsource", hint=f"log sources: {offered}")


# --- metadata and evidence ------------------------------------------------------------------------------------------------------


def _metadata(rule: Rule | Correlation) -> Iterator[ContentError]:
    custom = rule.custom
    required: list[tuple[object, tuple[str, ...], str]] = [
        (rule.id, ("id",), "a UUID: python -c 'import uuid; print(uuid.uuid4())'"),
        (rule.level, ("level",), "informational, low, medium, high or critical"),
        (rule.description.strip(), ("description",), "what is seen and why it matters"),
        (rule.falsepositives, ("falsepositives",), "what legitimate work looks the same"),
        (custom.threat, ("custom", "threat"), "one of the threats of pipeline/sigma/load.py"),
        (custom.evidence or isinstance(rule, Correlation), ("custom", "evidence"),
         "a list of {kind, source, value}: where the compared strings are known from"),
        (custom.blind_spots.strip(), ("custom", "blind_spots"), "what the rule cannot see"),
        (all(map(str.strip, custom.response)) and custom.response, ("custom", "response"), "a list of steps for the analyst"),
        (custom.attack_v18, ("custom", "attack_v18"), "technique ids of ATT&CK v18, such as T1562.001"),
        (any(map(_TECHNIQUE.fullmatch, rule.tags)), ("tags",), "at least one technique of ATT&CK v19, such as attack.t1685")]
    for value, keys, hint in required:
        if not value:
            what = "technique tag" if keys == ("tags",) else ".".join(keys)
            yield rule.document.error(f"{what} is missing or empty", *keys, hint=hint)
    for number, technique in enumerate(custom.attack_v18):
        if not _OLD_TECHNIQUE.fullmatch(technique):
            yield rule.document.error(f"{technique!r} is no technique id", "custom", "attack_v18", number, hint="such as T1562.001")
    yield from tag_errors(rule)


def _evidence_sources(rule: Rule, known: Known) -> Iterator[ContentError]:
    """Evidence that cites something we ship must be in it."""
    for number, evidence in enumerate(rule.custom.evidence):
        if not evidence.value.strip() or not evidence.source.strip():
            yield rule.document.error("evidence without source or value", "custom", "evidence", number, hint="name both")
        elif known.contradicts(evidence.source, evidence.value):
            yield rule.document.error(f"{evidence.value!r} is not in {evidence.source}", "custom", "evidence", number,
                                      hint="cite what the source really has, or another source")


def _evidence(rule: Rule, known: Known) -> Iterator[ContentError]:
    """Each value compared with an event id must be (or match) one that is known from somewhere."""
    proven = known.ids.extend(pl.Series([evidence.value for evidence in rule.custom.evidence], dtype=pl.String))
    for term in dict.fromkeys(terms(compile_rule(rule))):
        if term.field not in ID_FIELDS or term.op not in ("equals", "contains", "startswith", "endswith", "like", "regex"):
            continue
        for value in term.values:
            if not matches(replace(term, values=(value,)), pl.DataFrame({term.field: proven})).any():
                yield _unproven(rule, term, str(value))


def _unproven(rule: Rule, term: Term, value: str) -> ContentError:
    written = next((text for text in term.written if text.lower() == value), value)
    inside = [keys for keys in rule.document.lines if keys[:1] == ("detection",)]
    at = [keys for keys in inside if str(rule.document.at(*keys)).lower() == value] or [
        keys for keys in inside if str(keys[-1]).split("|")[0] == term.field]
    return rule.document.error(f"{term.field} is compared with {written!r}, which no evidence, vendor table or parser has", *at[0],
                               hint="add an entry to custom.evidence with the exact id and where it is documented or captured")
