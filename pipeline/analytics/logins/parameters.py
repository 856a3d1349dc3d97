"""What the login job is tuned by; why the weights are what they are, login_baseline.py says."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field

from ..job import Parameters


class Weights(BaseModel):
    """How much each signal adds to the risk, 0 (off) to 1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    first_seen_prefix: float = Field(0.35, ge=0, le=1)
    first_seen_asn: float = Field(0.2, ge=0, le=1)
    first_seen_country: float = Field(0.5, ge=0, le=1)
    privileged_country: float = Field(0.75, ge=0, le=1)  # first_seen_country of a privileged principal or role
    first_seen_client: float = Field(0.25, ge=0, le=1)
    first_seen_method: float = Field(0.2, ge=0, le=1)
    first_seen_target: float = Field(0.15, ge=0, le=1)
    off_hours: float = Field(0.15, ge=0, le=1)
    impossible_travel: float = Field(0.8, ge=0, le=1)
    mfa_missing: float = Field(0.5, ge=0, le=1)
    token_reuse: float = Field(0.75, ge=0, le=1)
    direct_to_host: float = Field(0.55, ge=0, le=1)
    from_guest: float = Field(0.45, ge=0, le=1)
    saml_orphan: float = Field(0.9, ge=0, le=1)
    after_failures: float = Field(0.3, ge=0, le=1)


class LoginParameters(Parameters):
    """What the login job is tuned by."""

    geoip: tuple[str, ...] = Field((), description="Files in MaxMind's format; the engine fills in those of --geoip")
    weights: Weights = Weights()
    alert: float = Field(0.5, gt=0, le=1, description="Risk from which a login is an alert, of severity medium")
    high: float = Field(0.75, gt=0, le=1, description="Risk from which it is high")
    critical: float = Field(0.95, gt=0, le=1, description="Risk from which it is critical")
    look_back_days: int = Field(30, ge=1, le=366, description="Logins before that make the profile")
    half_life_days: float = Field(14, ge=7, description="Age at which a login counts half")
    settle_minutes: int = Field(60, ge=0, description="Age from which a login counts at all")
    familiar: float = Field(0.25, gt=0, description="Weight of earlier logins from which a value is known: one within 28 days")
    cold_days: float = Field(14, ge=0, description="Age of a profile before which nothing is new to it")
    cold_logins: int = Field(20, ge=0, description="Logins of a profile before which nothing is new to it")
    usual_variety: float = Field(0.15, ge=0, lt=1, description="Different values per login up to which a new one means all that it can")
    most_variety: float = Field(0.4, gt=0, le=1, description="Different values per login from which a new one means nothing")
    rare_hour: float = Field(0.005, gt=0, lt=1, description="Share of the logins below which an hour of the week is off-hours")
    travel_kmh: float = Field(900, gt=0, description="Faster than an airliner")
    travel_km: float = Field(500, ge=0, description="Least distance: gateways of mobile networks lie in other cities")
    travel_radius_km: float = Field(200, gt=0, description="Positions that may be further off are not compared")
    session_hours: float = Field(8, gt=0, description="Between two uses of a session; longer ones may be a number used again")
    usual_direct: float = Field(3, gt=0, description="Weight of earlier direct logins from which a principal is used to them")
    assertion_minutes: float = Field(5, gt=0, description="Between a federated login and the issuer's record of it")
    asserted_before: int = Field(3, ge=1, description="Federated logins with such a record before one without is odd")
    asserted_share: float = Field(0.9, gt=0, le=1, description="Share of the federated logins before that must have had one")
    failures: int = Field(5, ge=1, description="Refusals from the same address before a login that are a signal")
    failure_minutes: float = Field(60, gt=0, description="How long before the login they count")
    shared: tuple[str, ...] = Field(("root", "*\\root", "*administrator", "admin"), description="Accounts that are different people's")
    privileged: tuple[str, ...] = Field(("root", "*\\root", "*administrator"), description="Principals beside those of policy.yml")
    privileged_targets: tuple[str, ...] = Field(("*admin*",), description="Targets (roles of a cloud) that make a login privileged")

    @property
    def look_back(self) -> timedelta:
        """Of the profile."""
        return timedelta(days=self.look_back_days)

    @property
    def settle(self) -> timedelta:
        """Age from which a login counts."""
        return timedelta(minutes=self.settle_minutes)

    @property
    def session_span(self) -> timedelta:
        """Between two uses of a session."""
        return timedelta(hours=self.session_hours)

    @property
    def assertion(self) -> timedelta:
        """Between a login and its assertion."""
        return timedelta(minutes=self.assertion_minutes)

    @property
    def failure_span(self) -> timedelta:
        """Between a refusal and a login."""
        return timedelta(minutes=self.failure_minutes)
