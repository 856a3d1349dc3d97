"""What a simulated data centre is made of, and its constants. Addresses are private or from documentation ranges."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from .lines import Line

START = datetime(2026, 5, 4, tzinfo=UTC)  # a Monday
DOMAIN = "dc1.example.org"
VCENTER = "10.0.0.10"
OFFICE = "192.0.2."  # the company's own addresses
VPN = "198.51.100."  # .1-.31: what its VPN gives to people at home
ACCESS = "198.51.100."  # .128-.255: customers of a provider of the same country
TENANTS = ("acme", "borealis", "cygnus", "dorado", "elara")
BUILDS = ("8.0.2 22380479", "8.0.3 24674464", "8.0.3 25595708")  # of ESXi hosts: older than VMSA-2025-0004, than VMSA-2025-0013, and new
ROLES = (("web", "dmz", 5), ("app", "app", 7), ("db", "data", 4), ("ad", "data", 1), ("build", "app", 1), ("edge", "shared", 2))
INFRA = (("bastion", 2), ("scanner", 1), ("proxy", 2), ("config", 1), ("monitor", 1), ("patch", 1))
PEOPLE = ("alice", "bogdan", "chen", "divya", "emil", "fatima", "gustav", "hana", "ivan", "jonas", "kemal", "lucia")
VIEWS = ("manager", "registered", "running", "wire")  # whose list of machines an inventory is
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class Nothing(LookupError):
    """Nothing is left that a plan could use."""


@dataclass(frozen=True)
class Host:
    """A hypervisor; `kind` is esxi or kvm."""

    name: str
    kind: str
    cluster: str
    address: str
    build: str
    uuid: str

    @property
    def fqdn(self) -> str:
        return f"{self.name}.{DOMAIN}"


@dataclass
class Vm:
    """A machine, with the time it came to be and went (None: outlives the data)."""

    name: str
    kind: str
    uuid: str
    moref: str
    tenant: str
    segment: str
    zone: str
    role: str
    address: str
    mac: str
    born: datetime
    died: datetime | None = None

    @property
    def vmx(self) -> str:
        return f"/vmfs/volumes/ds{int(self.moref[3:]) % 8 + 1:02d}/{self.name}/{self.name}.vmx"

    @property
    def disk(self) -> str:
        return self.vmx.replace(".vmx", ".vmdk") if self.kind == "esxi" else f"/var/lib/libvirt/images/{self.name}.qcow2"


@dataclass(frozen=True)
class Person:
    """An administrator: the names he or she goes by differ from system to system."""

    name: str
    number: int
    since: datetime
    shift: int  # hour of the day at which work starts
    cloud: bool

    @property
    def senior(self) -> bool:
        """Whether he or she may do everything."""
        return self.number % 2 == 0

    @property
    def corp(self) -> str:
        return f"CORP\\{self.name}"

    @property
    def mail(self) -> str:
        return f"{self.name}@corp.example.org"

    @property
    def office(self) -> str:
        return f"{OFFICE}{20 + self.number}"

    @property
    def vpn(self) -> str:
        return f"{VPN}{2 + self.number}"


@dataclass(frozen=True)
class Move:
    """A machine comes to a host. `how`: boot, drs, manual, ha, deploy, live (KVM); `to` None: it is removed."""

    time: datetime
    vm: str
    to: str | None
    how: str
    user: str = ""


@dataclass
class Case:
    """Something planted, and what a detection of it must name. Its lines say when it began and ended."""

    job: str
    attack: str
    negative: bool
    number: int
    entities: dict[str, set[str]] = field(default_factory=lambda: {"vm": set(), "host": set(), "user": set(), "source_ip": set()})
    lines: list[tuple[str, Line]] = field(default_factory=list)

    def names(self, *, vm: str | None = None, host: str | None = None, user: str | None = None, ip: str | None = None) -> None:
        for kind, name in (("vm", vm), ("host", host), ("user", user), ("source_ip", ip)):
            if name:
                self.entities[kind].add(name)


@dataclass(frozen=True)
class Record:
    """A line in a file; `late`: how long after its time it arrives."""

    line: Line
    case: int | None
    late: timedelta = timedelta()

    @property
    def arrives(self) -> datetime:
        return self.line[0] + self.late


def prefix_of(segment: str) -> str:
    """The first three bytes of a segment's addresses."""
    if segment == "shared-edge":
        return "10.90.0."
    tenant, zone = segment.rsplit("-", 1)
    number = 10 if tenant == "infra" else 20 + TENANTS.index(tenant)
    return f"10.{number}.{('mgmt', 'dmz', 'app', 'data').index(zone)}."
