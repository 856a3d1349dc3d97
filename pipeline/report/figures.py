"""What the report says about the run itself: lines read, events made, records refused. Missing figures are simply left out."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict


class _Figures(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Lines(_Figures):
    """The ledger of lines: every line read is an event, joined into another event, or in quarantine."""

    lines: int = 0
    events: int = 0
    joined: int = 0
    quarantined: int = 0
    files: int = 0

    @property
    def unaccounted(self) -> int:
        """Lines that the ledger cannot place; anything but 0 is a fault of the pipeline."""
        return self.lines - self.events - self.joined - self.quarantined


class Run(_Lines):
    """The whole run."""

    id: str = ""
    started: datetime | None = None
    finished: datetime | None = None
    lines_per_s: float | None = None
    content_version: str = ""

    @property
    def seconds(self) -> float | None:
        """How long the run took, if both ends are known."""
        return (self.finished - self.started).total_seconds() if self.started and self.finished else None


class Source(_Lines):
    """One source: `recognised` and `unparsed` count events that a pattern knew, and that none knew."""

    dataset: str = ""
    parser: str = ""
    recognised: int = 0
    unparsed: int = 0

    @property
    def share(self) -> float | None:
        """Percent of the events that a pattern recognised; rounded down, so that 100 means all."""
        return int(1000 * self.recognised / self.events) / 10 if self.events else None


class Quarantined(_Figures):
    """Records refused for one reason in one file, with the first as an example."""

    path: str = ""
    offset: int | None = None
    reason: str = ""
    count: int = 1
    example: str = ""


class Figures(_Figures):
    """All figures of a run."""

    run: Run = Run()
    sources: tuple[Source, ...] = ()
    quarantine: tuple[Quarantined, ...] = ()
