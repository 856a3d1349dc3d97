"""The jobs: what Sigma cannot say, since events of several layers are joined through who ran where, when.

A job is one module here that defines `JOB` (job.py says what that is), and one line in JOBS. Which rules' hits it reads, a document under
detections/ says (sigma/jobs.py).
"""

from __future__ import annotations

from . import escape_chain, hopping, hyperjacking, login_baseline
from .job import Job

JOBS: tuple[Job, ...] = (
    escape_chain.JOB,
    hopping.JOB,
    hyperjacking.JOB,
    login_baseline.JOB,
)
