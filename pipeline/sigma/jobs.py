"""Job documents: which hits a job of pipeline/analytics reads, and with what parameters it differs from the defaults.

    job:
      type: escape_chain        # the module of pipeline/analytics
      rules:                    # role -> rules whose hits play it: a new source joins by a line here
        precursor: [esx_denied_hypercall]
      parameters: {}            # what differs from the documented defaults

Head and `custom` are those of a correlation. Which types there are, with what roles and parameters, the jobs themselves say: `job_errors`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ValidationError

from ..errors import ContentError, did_you_mean
from .correlations import Correlation
from .documents import Document
from .heads import Head, head, head_errors
from .load import Rule
from .metadata import Custom, read_custom

SPECIFICATION = "a job document has title, id, level, custom, and job with type, rules and parameters"
_KEYS = ("type", "rules", "parameters")
Model = type[BaseModel]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A type of job: the roles and parameters that a document of this type may name."""

    type: str
    title: str
    roles: tuple[str, ...]
    parameters: Model


@dataclass(frozen=True, kw_only=True)
class JobRule(Head):
    """A job as its document has it. `rules`: role -> ids of rules; `parameters` as written."""

    type: str
    rules: Mapping[str, tuple[str, ...]]
    parameters: Mapping[str, Any]

    @property
    def reads(self) -> tuple[str, ...]:
        """Ids of the rules whose hits it reads, each once."""
        return tuple(dict.fromkeys(rule for rules in self.rules.values() for rule in rules))


AnyRule = Rule | Correlation | JobRule


def read_jobs(documents: Iterable[Document], rules: Iterable[Rule]) -> tuple[tuple[JobRule, ...], tuple[ContentError, ...]]:
    """Jobs, and what is wrong with those that are left out. A job is as well proven as the rules it reads."""
    known = {key: rule for rule in rules for key in (rule.id, rule.name) if key}
    read, errors = list[JobRule](), list[ContentError]()
    for document in documents:
        custom, found = read_custom(document)
        found += [*head_errors(document, SPECIFICATION), *_body_errors(document, known)]
        errors += found
        if not found:
            read.append(_job(document, custom, known))
    return tuple(read), tuple(errors)


def job_errors(job: JobRule, kinds: Mapping[str, Kind]) -> list[ContentError]:
    """Where a document asks of its job what that does not have: type, roles, parameters."""
    document, kind = job.document, kinds.get(job.type)
    if kind is None:
        return [document.error(f"unknown type of job {job.type!r}", "job", "type", hint=did_you_mean(job.type, kinds, ", ".join(kinds)))]
    found = [document.error(f"job {job.type} has no role {role!r}", "job", "rules", role,
                            hint=did_you_mean(role, kind.roles, f"roles: {', '.join(kind.roles)}"))
             for role in job.rules if role not in kind.roles]
    try:
        kind.parameters.model_validate(job.parameters)
    except ValidationError as wrong:
        names = [name for name in kind.parameters.model_fields if name != "policies"]
        found += [document.error(f"parameter {'.'.join(map(str, each['loc']))}: {each['msg']}", "job", "parameters", *each["loc"],
                                 hint=did_you_mean(str(each["loc"][0]), names, f"parameters: {', '.join(names)}") if each["loc"] else None)
                  for each in wrong.errors()]
    if "policies" in job.parameters:
        found.append(document.error("parameter policies: comes from policy.yml", "job", "parameters", "policies",
                                    hint="--context names the folder with policy.yml"))
    return found


def _job(document: Document, custom: Custom, known: Mapping[str, Rule]) -> JobRule:
    body = document.data["job"]
    rules = {role: tuple(dict.fromkeys(known[str(name)].id for name in _names(given))) for role, given in body["rules"].items()}
    job = JobRule(**head(document), type=str(body["type"]), rules=rules, parameters=body.get("parameters") or {}, custom=custom,
                  document=document)
    by_id = {rule.id: rule.custom.evidence for rule in known.values()}
    evidence = tuple(dict.fromkeys((*custom.evidence, *(each for rule in job.reads for each in by_id[rule]))))
    return replace(job, custom=custom.model_copy(update={"evidence": evidence}))


def _names(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [given]


def _body_errors(document: Document, known: Mapping[str, Rule]) -> Iterator[ContentError]:
    body = document.data.get("job")
    if not isinstance(body, dict):
        yield document.error("`job` must be a mapping", "job", hint=SPECIFICATION)
        return
    for key in body:
        if key not in _KEYS:
            yield document.error(f"unknown key {key!r}", "job", str(key), hint=did_you_mean(str(key), _KEYS, ", ".join(_KEYS)))
    if not body.get("type"):
        yield document.error("`type` is missing", "job", hint="the name of a module of pipeline/analytics")
    if not isinstance(body.get("parameters") or {}, dict):
        yield document.error("`parameters` must be a mapping", "job", "parameters", hint=SPECIFICATION)
    if not isinstance(body.get("rules"), dict) or not body["rules"]:
        yield document.error("`rules` must map each role to names of rules", "job", "rules", hint=SPECIFICATION)
        return
    for role, given in body["rules"].items():
        for number, name in enumerate(_names(given)):
            if str(name) not in known:
                hint = did_you_mean(str(name), known, "the name or id of a single-event rule in detections/: jobs read hits")
                yield document.error(f"{role} names {name!r}, which is no rule", "job", "rules", str(role), number, hint=hint)
