"""What VM hopping is tuned by, and the names of what it reads."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field

from ..job import Parameters, micros

LOGIN, HOST_LOGIN, FLOW = "login", "host_login", "flow"
GUEST_OPERATION, CONSOLE, DISK = "guest_operation", "console_ticket", "disk_attach"
ROLES = (LOGIN, HOST_LOGIN, FLOW, GUEST_OPERATION, CONSOLE, DISK)
DAY = micros(timedelta(days=1))
MINUTE = micros(timedelta(minutes=1))
HOUR = micros(timedelta(hours=1))


class Weights(BaseModel):
    """What each part of a hop adds to the score of a path."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rarity: float = Field(1.0, description="Per unit of rarity of its pair")
    same_host: float = Field(10.0, description="A hop between two VMs of one host")
    tenant_cross: float = Field(25.0, description="A hop to another tenant that no row of the segmentation allows")
    zone_up: float = Field(15.0, description="A hop into a zone of higher trust")
    guestop_bypass: float = Field(20.0, description="A guest operation or a foreign disk where no network leads")


class Hopping(Parameters):
    """The defaults are those of the design (analytics A1) where it names a figure."""

    history_days: int = Field(30, ge=1, description="Days before an edge in which its pair is looked for")
    rarity_cap: float = Field(3.0, gt=0, description="Highest rarity of an edge: that of a pair not seen on any of 20 days (ln 21)")
    habitual_days: int = Field(3, ge=1, description="A pair seen on so many days of the history is nobody's hop")
    gap_hours: float = Field(8, gt=0, description="Longest time between two hops of a path")
    change_minutes: float = Field(30, gt=0, description="Longest time between two hops with different users")
    span_hours: float = Field(24, gt=0, le=24, description="Longest time from the first hop of a path to its last")
    depth: int = Field(6, ge=2, description="Most hops of a path")
    open_paths: int = Field(50, ge=1, description="Most open paths that end at one machine; those with the best scores stay")
    weights: Weights = Weights()
    threshold: float = Field(12, description="A path of three VMs or more alerts from this score on: four hops never seen before, or "
                                             "two with one crossing")
    high: float = Field(25, description="From this score on the alert is high; rarity alone never gets so far")
    critical: float = Field(60, description="From this score on the alert is critical")
    zones: tuple[tuple[str, ...], ...] = Field(
        (("internet", "external", "public", "guest", "untrusted"), ("dmz", "edge", "perimeter"),
         ("user", "users", "office", "vdi", "test", "dev"), ("app", "web", "internal", "production", "prod", "trusted"),
         ("data", "db", "database", "restricted", "secure", "pci"), ("mgmt", "management", "admin", "infra", "tier0")),
        description="Names of zones, from the least trusted to the most; a zone that is not named is neither above nor below another")

    @property
    def gap(self) -> int:
        """`gap_hours` in microseconds."""
        return int(self.gap_hours * HOUR)

    @property
    def change(self) -> int:
        """`change_minutes` in microseconds."""
        return int(self.change_minutes * MINUTE)

    @property
    def span(self) -> int:
        """`span_hours` in microseconds."""
        return int(self.span_hours * HOUR)

    @property
    def ranks(self) -> dict[str, int]:
        """Zone -> how much it is trusted."""
        return {zone: rank for rank, names in enumerate(self.zones) for zone in names}
