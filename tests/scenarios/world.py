"""A data centre to make logs of: hosts, tenants, networks, machines, people, and where every machine is at every moment. Seeded.

Nothing here knows how an attack is detected.
"""

from __future__ import annotations

import random
import uuid
from bisect import bisect_right, insort
from collections.abc import Sequence
from datetime import datetime

from .lines import Line
from .parts import BUILDS, DAY, INFRA, PEOPLE, ROLES, START, TENANTS, Case, Host, Move, Nothing, Person, Record, Vm, prefix_of


class World:
    """State of a simulated data centre and the lines that it writes."""

    def __init__(self, seed: int, hosts: int = 40, vms: int = 400, days: int = 28) -> None:
        self.seed, self.days = seed, days
        self.rng = random.Random(seed)
        self.start, self.end = START, START + days * DAY
        self.records: dict[str, list[Record]] = {}
        self.cases: list[Case] = []
        self.moves: list[Move] = []
        self.windows: list[tuple[str, datetime, datetime]] = []  # maintenance: host, from, to
        self.snapshots: list[datetime] = [self.start + day * DAY for day in range(days + 1)]
        self.unlogged: dict[str, tuple[datetime, str]] = {}  # machine -> since when, on which host it is though no event says so
        self.quiet: set[str] = set()  # hosts on which no guest asks for what it is denied
        self.unlisted: dict[str, tuple[datetime, tuple[str, ...]]] = {}  # machine -> since when it is in none of some lists
        self.impostors: dict[str, tuple[datetime, str]] = {}  # host -> since when it has the hardware uuid of another one
        self.unmanaged: dict[str, tuple[datetime, datetime]] = {}  # host -> from when to when the manager does not have it
        self.deaf: list[tuple[str, datetime, datetime]] = []  # cluster of which no move is logged, from, to
        self._where: dict[str, list[tuple[datetime, str | None]]] = {}
        self._serial = 1000 + seed
        self._used: set[str] = set()
        self.hosts = self._make_hosts(hosts)
        self.vms: dict[str, Vm] = {}
        self._make_vms(vms)
        self.people = [Person(name, number, self.start - 400 * DAY, self.rng.choice((6, 7, 7, 8, 9)), number % 3 == 0)
                       for number, name in enumerate(PEOPLE)]

    # --- making -----------------------------------------------------------------------------------------------------------------

    def _make_hosts(self, count: int) -> dict[str, Host]:
        kvm = max(2, count // 5)
        made = {}
        for number in range(1, count - kvm + 1):
            cluster = f"CL{(number - 1) // 8 + 1}"
            made[f"esx{number:02d}"] = Host(f"esx{number:02d}", "esxi", cluster, f"10.0.0.{20 + number}",
                                            BUILDS[(number - 1) // 8 % len(BUILDS)], self.uuid())
        for number in range(1, kvm + 1):
            made[f"kvm{number:02d}"] = Host(f"kvm{number:02d}", "kvm", "KVM1", f"10.0.0.{120 + number}", "qemu-7.2.22", self.uuid())
        return made

    def _make_vms(self, count: int) -> None:
        for role, many in INFRA:
            for number in range(1, many + 1):
                self.new_vm(f"infra-{role}{number:02d}", "esxi", "infra", "infra-mgmt", "mgmt", role, self.start, self._any_host("esxi"))
        bag = [(role, zone) for role, zone, weight in ROLES for _ in range(weight)]
        numbers: dict[tuple[str, str], int] = {}
        for number in range(count - len(self.vms)):
            tenant, (role, zone) = TENANTS[number % len(TENANTS)], bag[number // len(TENANTS) % len(bag)]
            numbers[tenant, role] = numbers.get((tenant, role), 0) + 1
            kind = "kvm" if number % 5 == 4 - number // 25 % 5 else "esxi"
            segment = "shared-edge" if zone == "shared" else f"{tenant}-{zone}"
            self.new_vm(f"{tenant}-{role}{numbers[tenant, role]:02d}", kind, tenant, segment, "dmz" if zone == "shared" else zone, role,
                        self.start, self._any_host(kind))

    def _any_host(self, kind: str) -> str:
        return self.rng.choice([host.name for host in self.hosts.values() if host.kind == kind])

    def new_vm(self, name: str, kind: str, tenant: str, segment: str, zone: str, role: str, born: datetime, host: str,
               address: str | None = None, uuid: str | None = None) -> Vm:
        """A machine, at a host from its first moment on."""
        number = len(self.vms)
        mac = f"00:50:56:{number >> 8 & 255:02x}:{number & 255:02x}:{self.seed & 255:02x}" if kind == "esxi" else \
            f"52:54:00:{number >> 8 & 255:02x}:{number & 255:02x}:{self.seed & 255:02x}"
        vm = Vm(name, kind, uuid or self.uuid(), f"vm-{1000 + number}", tenant, segment, zone, role,
                address or self.free_address(segment), mac, born)
        self.vms[name] = vm
        self._where[name] = [(born, host)]
        return vm

    def free_address(self, segment: str) -> str:
        taken = {vm.address for vm in self.vms.values() if vm.segment == segment}
        prefix = prefix_of(segment)
        return next(f"{prefix}{low}" for low in range(10, 250) if f"{prefix}{low}" not in taken)

    def uuid(self) -> str:
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    # --- where and when ---------------------------------------------------------------------------------------------------------

    def move(self, time: datetime, vm: str, to: str | None, how: str, user: str = "") -> None:
        """A machine moves; the moves of one machine may be told in any order."""
        self.moves.append(Move(time, vm, to, how, user))
        insort(self._where[vm], (time, to), key=lambda place: place[0])
        if to is None:
            self.vms[vm].died = time

    def where(self, vm: str, time: datetime) -> str:
        """The host of a machine at a time."""
        places = self._where[vm]
        found = places[bisect_right(places, time, key=lambda place: place[0]) - 1][1]
        assert found is not None, f"{vm} is nowhere at {time}"
        return found

    def before(self, vm: str, time: datetime) -> str | None:
        """The host of a machine just before a time."""
        found = [place for when, place in self._where[vm] if when < time]
        return found[-1] if found else None

    def on(self, host: str, time: datetime) -> list[Vm]:
        """The machines of a host at a time."""
        return [vm for vm in self.vms.values() if self.alive(vm, time) and self.where(vm.name, time) == host]

    def alive(self, vm: Vm, time: datetime) -> bool:
        return vm.born <= time and (vm.died is None or time < vm.died)

    def audited(self, time: datetime) -> bool:
        """Whether at the time of an inventory the lists of hosts and network are read too. In every third data centre somebody does so by
        hand, once a fortnight.
        """
        return self.seed % 3 != 1 or (time - self.start) % (14 * DAY) == 13 * DAY

    def calm(self, vm: Vm, since: datetime, until: datetime) -> bool:
        """Whether a machine lives through a span and does not move in it."""
        return self.alive(vm, since) and self.alive(vm, until) and not any(since < when <= until for when, _ in self._where[vm.name])

    def take_vm(self, since: datetime, until: datetime, **wanted: str) -> Vm:
        """A machine that nothing planted has touched yet, calm in a span, with some attributes (`host` too)."""
        chosen = self.rng.choice(self.untouched(since, until, **wanted))
        self._used.add(chosen.name)
        return chosen

    def untouched(self, since: datetime, until: datetime, **wanted: str) -> list[Vm]:
        """All of these; there is one at least."""
        if not (found := self.free(since, until, **wanted)):
            raise Nothing(f"no machine left: {wanted}")
        return found

    def free(self, since: datetime, until: datetime, **wanted: str) -> list[Vm]:
        """All of these, or none."""
        host = wanted.pop("host", None)
        return [vm for vm in self.vms.values() if vm.name not in self._used and vm.tenant != "infra" and self.calm(vm, since, until)
                and all(getattr(vm, name) == value for name, value in wanted.items())
                and (host is None or self.where(vm.name, since) == host)]

    def take_host(self, kind: str, time: datetime, among: set[str] | None = None) -> Host:
        """A host (one of some) that nothing planted has touched yet and that is not in maintenance about that time."""
        near = {host for host, since, until in self.windows if since - DAY <= time <= until + DAY}
        fit = [host for host in self.hosts.values() if host.kind == kind and host.name not in near and host.name in (among or self.hosts)]
        if not fit:
            raise Nothing("no host left")
        chosen = self.rng.choice([host for host in fit if host.name not in self._used] or fit)
        self._used.add(chosen.name)
        return chosen

    def take_person(self, cloud: bool | None = None, among: Sequence[Person] = ()) -> Person:
        """An administrator (one of some) that nothing planted has touched yet."""
        free = [one for one in among or self.people if one.name not in self._used and one.since < self.start and cloud in (None, one.cloud)]
        if not free:
            raise Nothing("no administrator left")
        chosen = self.rng.choice(free)
        self._used.add(chosen.name)
        return chosen

    def use(self, *names: str) -> None:
        """Nothing else planted may touch these."""
        self._used.update(names)

    # --- writing ----------------------------------------------------------------------------------------------------------------

    def serial(self) -> int:
        self._serial += 1
        return self._serial

    def write(self, file: str, *lines: Line, case: Case | None = None) -> None:
        for line in lines:
            if self.start <= line[0] < self.end:
                self.records.setdefault(file, []).append(Record(line, case.number if case else None))
                if case:
                    case.lines.append((file, line))

    def case(self, job: str, attack: str, negative: bool = False) -> Case:
        made = Case(job, attack, negative, len(self.cases))
        self.cases.append(made)
        return made

    def forget(self, number: int) -> None:
        """Cases from a number on were not to be."""
        del self.cases[number:]
        for file, records in self.records.items():
            self.records[file] = [record for record in records if record.case is None or record.case < number]
