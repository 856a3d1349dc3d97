"""The validators of pySigma and of SigmaHQ (80 in pySigma 1.5.1 and pysigma-validators-sigmahq 0.21.0) on our rules.

What they call severe (the rule cannot mean what its author meant) is an error, the rest a warning. Not used:

- ten that fetch data from MITRE or GitHub when first asked, so that `check` would depend on the network: attacktag, d3_fendtag,
  sigmahq_category_event_id, sigmahq_category_windows_provider_name, sigmahq_fieldname_cast, sigmahq_filename_prefix,
  sigmahq_invalid_fieldname, sigmahq_logsource_unknown, sigmahq_redundant_field, sigmahq_tags_techniques_without_tactics. Fields, log
  sources and technique ids are checked by lint.py, against our own schema and parsers;
- number_as_string: ECS keeps codes and ports of records as text, and a rule says so with quotes;
- sigmahq_correlation_group_by_existence: what happens anywhere in one vCenter is a group;
- identifier_uniqueness, dangling_detection, dangling_condition: found with their line when rules are loaded and linted;
- sigmahq_unknown_field: `custom` is where Sigma lets us put our metadata;
- sigmahq_mitre_link: a reference may be a page of ATT&CK, beside the tag;
- sigmahq_falsepositives_banned_word: "None known" is an honest answer to a question that lint.py insists on;
- sigmahq_falsepositives_capital: programs are written in lower case, also where they start a sentence;
- sigmahq_status_to_high, sigmahq_status, sigmahq_correlation_filename_prefix, sigmahq_fields_existence: SigmaHQ's way to publish.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import cache
from typing import Any, cast

from sigma.correlations import SigmaCorrelationRule
from sigma.exceptions import SigmaError, SigmaRuleLocation
from sigma.rule import SigmaDetectionItem, SigmaRule
from sigma.validation import SigmaValidator
from sigma.validators.base import SigmaRuleValidator, SigmaValidationIssue, SigmaValidationIssueSeverity
from sigma.validators.core import validator_classname_to_identifier
from sigma.validators.core import validators as core
from sigma.validators.core.modifiers import AllWithoutContainsModifierIssue
from sigma.validators.sigmahq import validators as sigmahq
from sigma.validators.sigmahq.title import SigmahqTitleCaseValidator

from ..errors import ContentError
from ..schema import BY_NAME
from .compile import items
from .documents import Document, KeyPath

NEED_NETWORK = frozenset({
    "attacktag", "d3_fendtag", "sigmahq_category_event_id", "sigmahq_category_windows_provider_name", "sigmahq_fieldname_cast",
    "sigmahq_filename_prefix", "sigmahq_invalid_fieldname", "sigmahq_logsource_unknown", "sigmahq_redundant_field",
    "sigmahq_tags_techniques_without_tactics"})
NOT_OURS = frozenset({
    "number_as_string", "identifier_uniqueness", "dangling_detection", "dangling_condition", "sigmahq_unknown_field", "sigmahq_mitre_link",
    "sigmahq_falsepositives_banned_word", "sigmahq_falsepositives_capital", "sigmahq_correlation_group_by_existence",
    "sigmahq_status_to_high", "sigmahq_status", "sigmahq_correlation_filename_prefix", "sigmahq_fields_existence"})
# Severe for SigmaHQ, and harmless: a value that is said twice, a short name of a file.
MILD = frozenset({"sigmahq_field_duplicate_value", "filename_length"})
# Names that are written in lower case wherever they stand.
NAMES = ("auditd", "hostd", "kexec", "libvirt", "libvirtd", "root", "sudo", "virsh", "vmkernel", "vpxd", "vpxuser", "vsock")
_KEYS = {"falsepositive": "falsepositives", "logsources": "logsource"}  # module of a validator -> key of the rule, where they differ


def validate(documents: Iterable[Document]) -> tuple[list[ContentError], list[ContentError]]:
    """Errors and warnings of rules and correlations that pySigma can read (of the others the loader has told)."""
    read = [(rule, document) for document in documents if (rule := _rule(document))]
    of = {id(rule): document for rule, document in read}
    errors: list[ContentError] = []
    warnings: list[ContentError] = []
    for issue in SigmaValidator(chosen().values(), config=_config()).validate_rules(cast(Any, (rule for rule, _ in read))):
        severe = issue.severity is SigmaValidationIssueSeverity.HIGH and _name(issue) not in MILD
        (errors if severe else warnings).extend(_finding(issue, of[id(rule)]) for rule in issue.rules if not _lists(issue))
    return errors, warnings


@cache
def chosen() -> Mapping[str, type[SigmaRuleValidator]]:
    """The validators that are used, by name."""
    return {name: made for name, made in (core | sigmahq).items() if name not in NEED_NETWORK | NOT_OURS}


def _config() -> dict[str, Any]:
    return {"sigmahq_title_case": {"word_list": (*SigmahqTitleCaseValidator.word_list, *NAMES)}}


def _rule(document: Document) -> SigmaRule | SigmaCorrelationRule | None:
    read = SigmaCorrelationRule if document.kind == "correlation" else SigmaRule
    try:
        rule: SigmaRule | SigmaCorrelationRule = read.from_dict(document.data, source=SigmaRuleLocation(document.path))
    except (SigmaError, TypeError, ValueError, AttributeError, LookupError):
        return None
    for detection in rule.detection.detections.values() if isinstance(rule, SigmaRule) else ():
        for item in items(detection):  # validators know pySigma's own modifiers, not the repaired ones made of them
            item.modifiers = [next(base for base in made.__mro__ if base.__module__ == "sigma.modifiers") for made in item.modifiers]
    return rule


def _lists(issue: SigmaValidationIssue) -> bool:
    """Whether it misses `contains` beside `all` on a field that holds many values: all of them may well be there."""
    item = getattr(issue, "detection_item", None)
    return isinstance(issue, AllWithoutContainsModifierIssue) and bool(item and item.field in BY_NAME and BY_NAME[item.field].many)


def _name(issue: SigmaValidationIssue) -> str:
    """Issues and validators have the same names."""
    return validator_classname_to_identifier(type(issue).__name__.removesuffix("Issue"))


def _finding(issue: SigmaValidationIssue, document: Document) -> ContentError:
    given = {field.name: getattr(issue, field.name) for field in fields(issue) if field.name not in ("rules", "detection_item")}
    told = ", ".join(f"{key} {value}" for key, value in given.items() if isinstance(value, str | int | list | set) and value)
    message = f"{issue.description.rstrip('.')}{f': {told}' if told else ''}"
    return document.error(message, *_place(issue, document), hint=f"validator {_name(issue)}")


def _line_of(document: Document, name: str) -> KeyPath:
    inside = (keys for keys in document.lines if keys[:1] == ("detection",) and str(keys[-1]).split("|")[0] == name)
    return next(inside, ("detection",))


def _place(issue: SigmaValidationIssue, document: Document) -> KeyPath:
    item = getattr(issue, "detection_item", None)
    name = item.field or "" if isinstance(item, SigmaDetectionItem) else getattr(issue, "field", None)
    if isinstance(name, str):
        return _line_of(document, name)
    module = type(issue).__module__.rpartition(".")[2]
    if module == "date" and "modified" in document.data:
        return ("modified",)
    return ("detection", "condition") if module == "condition" else (_KEYS.get(module, module),)
