"""Job documents and the jobs that they are for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ..context.document import KIND as PLACEMENT
from ..context.policies import Policies
from ..errors import ContentError
from ..sigma.jobs import JobRule, Kind, job_errors
from . import JOBS
from .job import Job, Parameters


@dataclass(frozen=True)
class Ready:
    """A job as a document wants it."""

    rule: JobRule
    job: Job
    parameters: Parameters


def kinds() -> Mapping[str, Kind]:
    """Every type that a job document may have."""
    return {kind.type: kind for kind in (*JOBS, PLACEMENT)}


def check_jobs(rules: Iterable[JobRule]) -> list[ContentError]:
    """What documents ask of their jobs that those do not have."""
    known = kinds()
    return [error for rule in rules for error in job_errors(rule, known)]


def ready(rules: Iterable[JobRule], policies: Policies | None = None, jobs: Iterable[Job] | None = None,
          geoip: tuple[str, ...] = ()) -> Iterator[Ready]:
    """The jobs to run; `policies`: those of the user's context; `geoip`: the user's files, for the jobs that ask where addresses are.
    Documents of other types and those that are wrong are left out.
    """
    known = {job.type: job for job in (JOBS if jobs is None else jobs)}
    for rule in rules:
        job = known.get(rule.type)
        if job and not job_errors(rule, known):
            given = {"policies": policies or Policies()} | ({"geoip": geoip} if "geoip" in job.parameters.model_fields else {})
            parameters = job.parameters.model_validate({**rule.parameters, **given})
            assert isinstance(parameters, Parameters)
            yield Ready(rule, job, parameters)
