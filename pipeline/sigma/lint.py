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

from ..errors import ContentError
from .attack import tag_errors
from .cases import load_cases
from .catalogue import Catalogue, load_catalogue
from .compile import check_rule, compile_rule
from .correlations import Correlation
from .filters import Filter
from .jobs import AnyRule
from .known import Known, shipped
from .lint_detection import compiles, lint_unused, lint_values
from .load import Places, Rule
from .terms import Term, matches, terms

ID_FIELDS = ("event.action", "event.code")  # what they are compared with must be evidence
_TECHNIQUE = re.compile(r"attack\.t\d{4}(\.\d{3})?")
_OLD_TECHNIQUE = re.compile(r"T\d{4}(\.\d{3})?")


def lint_folder(folder: Path | None = None, known: Known | None = None) -> list[ContentError]:
    """Findings of every rule of a folder (default: detections/), those of reading included."""
    return lint_catalogue(load_catalogue(Places(folder)), known)


def lint_catalogue(catalogue: Catalogue, known: Known | None = None) -> list[ContentError]:
    """Findings of rules, correlations, jobs and their cases; `known` defaults to what the parsers folder holds."""
    known = known or shipped()
    ours = [rule for rule in catalogue.written if not rule.document.foreign]
    return [
        *catalogue.errors,
        *(error for rule in ours for error in (*lint_rule(rule, known), *lint_cases(rule, known))),
        *(error for c in catalogue.correlations if not c.document.foreign for error in (
            *_metadata(c), *_group_by(c, catalogue.rules, known), *lint_cases(c, known))),
        *(error for job in catalogue.jobs for error in _metadata(job)),
        *(error for each in catalogue.filters if not each.document.foreign for error in lint_filter(each, known)),
        *(error for rule in catalogue.written if rule.document.foreign for error in check_rule(rule))]


def lint_rule(rule: Rule, known: Known) -> list[ContentError]:
    """Findings of one rule without its cases."""
    wrong = compiles(rule)
    found = [*wrong, *lint_values(rule, known), *_logsource(rule, known), *_metadata(rule), *_evidence_sources(rule, known)]
    if not wrong:
        found += [*lint_unused(rule), *_evidence(rule, known)]
    return found


def lint_filter(each: Filter, known: Known) -> list[ContentError]:
    """Findings of a filter: those of its selections, and what it leaves unsaid."""
    body, document = each.body, each.document
    needs = {"id": "a UUID: python -c 'import uuid; print(uuid.uuid4())'",
             "description": "what is left out, why that is safe, and how a user fills it in"}
    unsaid = [document.error(f"{key} is missing or empty", key, hint=hint) for key, hint in needs.items() if not document.data.get(key)]
    return [*unsaid, *lint_values(body, known), *_logsource(body, known), *lint_unused(body)]


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


def _logsource(rule: Rule, known: Known) -> Iterator[ContentError]:
    if known.logsources and not any(rule.logsource.items() <= source.items() for source in known.logsources):
        offered = "; ".join(sorted({", ".join(f"{k}: {v}" for k, v in source.items()) for source in known.logsources}))
        yield rule.document.error(f"no parser has the log source {dict(rule.logsource)}", "logsource", hint=f"log sources: {offered}")


def _group_by(correlation: Correlation, rules: Iterable[Rule], known: Known) -> Iterator[ContentError]:
    """A field of the group that no log source of the rules ever has: then no hit belongs to a group, and nothing is ever found."""
    sources = {rule.id: known.fields_of(rule.logsource) for rule in rules}
    if not all(sources.get(rule) for rule in correlation.rules):
        return  # it counts findings of other correlations, or nothing is known of a source
    for name in correlation.group_by:
        if not any(correlation.field_of(name, rule) in sources[rule] for rule in correlation.rules):
            yield correlation.document.error(f"groups by {name}, which no parser of its rules' log sources ever sets", "correlation",
                                             "group-by", hint="look at the samples' expected events for what they set")


# --- metadata and evidence ------------------------------------------------------------------------------------------------------


def _metadata(rule: AnyRule) -> Iterator[ContentError]:
    custom = rule.custom
    required: list[tuple[object, tuple[str, ...], str]] = [
        (rule.id, ("id",), "a UUID: python -c 'import uuid; print(uuid.uuid4())'"),
        (rule.level, ("level",), "informational, low, medium, high or critical"),
        (rule.description.strip(), ("description",), "what is seen and why it matters"),
        (custom.evidence or not isinstance(rule, Rule), ("custom", "evidence"),
         "a list of {kind, source, value}: where the compared strings are known from"),
        (custom.blind_spots.strip(), ("custom", "blind_spots"), "what the rule cannot see")]
    if not custom.signal:  # it raises no alert, so no analyst asks these of it
        required += [
            (rule.falsepositives, ("falsepositives",), "what legitimate work looks the same"),
            (custom.threat, ("custom", "threat"), "one of the threats of pipeline/sigma/metadata.py"),
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
