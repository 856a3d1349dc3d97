"""The document that says which hits are moves of VMs (detections/signals/placement.yml): a job document of the type `placement`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import BaseModel, ConfigDict

from ..sigma.jobs import JobRule, Kind
from .moves import ROLES


class NoParameters(BaseModel):
    """Placement has none."""

    model_config = ConfigDict(extra="forbid", frozen=True)


KIND = Kind(type="placement", title="Where virtual machines run", roles=ROLES, parameters=NoParameters)


def roles(jobs: Iterable[JobRule]) -> Mapping[str, tuple[str, ...]]:
    """Rule id -> the roles that its hits play, over all documents of the type: another one adds sources."""
    found: dict[str, tuple[str, ...]] = {}
    for job in jobs:
        if job.type == KIND.type:
            for role, rules in job.rules.items():
                for rule in rules:
                    found[rule] = (*found.get(rule, ()), role) if role in ROLES else found.get(rule, ())
    return {rule: played for rule, played in found.items() if played}
