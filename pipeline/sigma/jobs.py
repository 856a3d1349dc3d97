"""Job documents: which hits a job of pipeline/analytics reads, and with what parameters it differs from the defaults."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel

Model = type[BaseModel]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A type of job: the roles and parameters that a document of this type may name."""

    type: str
    title: str
    roles: tuple[str, ...]
    parameters: Model
