"""What of a rule decides its hits and alerts, as a short hash: it tells whether a rule is still the one that made the stored hits.

Titles, levels, evidence and texts are no part of it; filters and value lists are, since they are in the compiled rule.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from .compile import compile_rule
from .correlations import Correlation
from .jobs import AnyRule, JobRule
from .load import Rule


def digests(rules: Iterable[AnyRule]) -> dict[str, str]:
    """The digest of each rule by its id. Raises ContentError for one that does not compile."""
    return {rule.id: digest(rule) for rule in rules}


def digest(rule: AnyRule) -> str:
    """The digest of one rule."""
    text = repr(_correlation(rule) if isinstance(rule, Correlation) else _job(rule) if isinstance(rule, JobRule) else _rule(rule))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _rule(rule: Rule) -> tuple[object, ...]:
    return compile_rule(rule), sorted(rule.logsource.items()), rule.custom.group_by


def _correlation(rule: Correlation) -> tuple[object, ...]:
    aliases = sorted((name, sorted(fields.items())) for name, fields in rule.aliases.items())
    return (rule.type, rule.rules, rule.group_by, rule.span, rule.condition, aliases, rule.known_from, rule.generate)


def _job(rule: JobRule) -> tuple[object, ...]:
    return rule.type, sorted(rule.rules.items()), sorted(rule.parameters.items())
