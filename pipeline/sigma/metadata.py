"""Our metadata: what stands under `custom:` in a rule, a correlation or a filter."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ..errors import ContentError
from ..schema import BY_NAME
from .documents import Document

Threat = Literal[
    "vm-escape", "vm-hopping", "hyperjacking", "hardening", "east-west", "vswitch", "sprawl", "stale", "noisy-neighbour",
    "management-plane", "side-channel", "physical-separation", "ransomware-chain"]


class Strict(BaseModel):
    """A model that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Evidence(Strict):
    """Where a string that the rule compares is known from."""

    kind: Literal["documented", "captured", "assumed"]
    source: str
    value: str


class Custom(Strict):
    """`custom:` in the Sigma file."""

    threat: Threat | None = None
    version: int = Field(1, ge=1)  # one more with every change: alerts name it, detections.lock demands it
    evidence: tuple[Evidence, ...] = ()
    blind_spots: str = ""
    response: tuple[str, ...] = ()
    attack_v18: tuple[str, ...] = ()
    explain: str = ""
    group_by: tuple[str, ...] = ()  # fields whose hits become one alert; default host, user and VM
    signal: bool = False  # it only says that something happened, for jobs to read: it raises no alert of its own
    known_from: tuple[str, ...] = ()  # correlations: rules whose events make a group known, so that the absence of others shows

    @field_validator("group_by")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [name for name in value if name not in BY_NAME]:
            raise ValueError(f"unknown fields {', '.join(unknown)}")
        return value


_HINT = ("custom holds threat, version, evidence (a list of {kind: documented|captured|assumed, source, value}), blind_spots, response, "
         "attack_v18, explain, group_by, signal, known_from")


def read_custom(document: Document) -> tuple[Custom, list[ContentError]]:
    """The metadata of a document, and what is wrong with them. What somebody else keeps under `custom` is none of ours."""
    try:
        return Custom.model_validate(document.data.get("custom") or {}), []
    except ValidationError as error:
        if document.foreign:
            return Custom(), []
        return Custom(), [document.error(f"custom.{'.'.join(map(str, e['loc']))}: {e['msg']}", "custom", *e["loc"], hint=_HINT)
                          for e in error.errors()]
