"""Stolen accounts at the management plane (job login_baseline): vCenter, ESXi, KVM hosts and the cloud."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from . import doings as do
from .parts import ACCESS, DAY, HOUR, OFFICE, Case, Person
from .world import World

JOB = "login_baseline"


def abroad(world: World, time: datetime) -> None:
    """A known administrator signs in at night, from another country, network and client."""
    person, case, ip = _stolen(world, time, "stolen_abroad")
    do.vcenter_login(world, _night(time), person.name, ip, world.rng.choice(("python-requests/2.31.0", "govc/0.37.0")), case)


def travel(world: World, time: datetime) -> None:
    """At work in the office, and within the hour on another continent."""
    person, case, ip = _stolen(world, time, "impossible_travel")
    noon = time.replace(hour=person.shift + 2)
    do.vcenter_login(world, noon, person.name, person.office)
    do.vcenter_login(world, noon + timedelta(minutes=world.rng.uniform(25, 55)), person.name, ip, do.BROWSER, case)


def without_factor(world: World, time: datetime) -> None:
    """A console login that shows no second factor, from a foreign network."""
    person, case, ip = _stolen(world, time, "mfa_missing", cloud=True)
    do.console_login(world, _night(time), person.name, ip, mfa=False, agent="aws-cli/2.15.0", case=case)
    do.assume_role(world, _night(time) + do.seconds(90), person.name, "operator", ip, mfa=False, case=case)


def token(world: World, time: datetime) -> None:
    """A session of an ESXi host is used from a second address: its token was taken."""
    person, case, ip = _stolen(world, time, "token_reuse")
    host = world.take_host("esxi", time)
    case.names(host=host.name)
    key = f"52{world.rng.getrandbits(40):010x}-{world.rng.getrandbits(16):04x}"
    do.session_used(world, time, host.name, person.name, world.vms["infra-bastion01"].address, key, case)
    do.session_used(world, time + timedelta(minutes=14), host.name, person.name, ip, key, case)


def direct(world: World, time: datetime) -> None:
    """root signs in to hosts directly, from a guest, past vCenter and the bastion."""
    case = world.case(JOB, "direct_to_host")
    guest = world.take_vm(time - HOUR, time + 2 * HOUR, role="web")
    case.names(ip=guest.address)  # `root` alone would name half of all cases
    for nth in range(2):
        host = world.take_host("esxi", time)
        case.names(host=host.name)
        do.esxi_client(world, time + timedelta(minutes=9 * nth), host.name, "root", guest.address, "pyvmomi Python/3.11.4", case)
        do.esxi_ssh(world, time + timedelta(minutes=9 * nth + 2), host.name, "root", guest.address, case)


def kvm_from_outside(world: World, time: datetime) -> None:
    """A known administrator reaches a KVM host from outside, by password, at night."""
    person, case, ip = _stolen(world, time, "kvm_from_outside")
    host = world.take_host("kvm", time)
    case.names(host=host.name)
    do.ssh(world, _night(time), host.name, person.name, ip, case, "password")


def fresh_administrator(world: World, time: datetime) -> None:
    """The emergency account, never used before, signs in from another country."""
    ip = f"203.0.113.{world.rng.randrange(1, 250)}"
    case = world.case(JOB, "cold_start_privileged")
    case.names(user="administrator", ip=ip)
    do.vcenter_login(world, _night(time), "administrator", ip, "Mozilla/5.0 (X11; Linux x86_64)", case, domain="VSPHERE.LOCAL")


def forged(world: World, time: datetime) -> None:
    """A session of vCenter for which SSO issued nothing: its token was signed with a stolen key."""
    person, case = world.take_person(), world.case(JOB, "token_nobody_issued")
    case.names(user=person.name)
    do.event(world, time.replace(hour=20), "UserLoginSessionEvent", person.corp,
             f"User {person.corp}@{person.vpn} logged in as {do.NEXT_BROWSER}", case, datacenter="")


def sprayed(world: World, time: datetime) -> None:
    """Passwords are tried from an ordinary line of the same country, such as intruders rent, until one fits."""
    person, case = world.take_person(), world.case(JOB, "sprayed_from_near")
    ip = _line(world)
    case.names(user=person.name, ip=ip)
    night = _night(time)
    for nth in range(world.rng.randrange(6, 20)):
        do.vcenter_refused(world, night + do.seconds(40 * nth), person.name, ip, case)
    do.vcenter_login(world, night + timedelta(minutes=16), person.name, ip, "python-requests/2.31.0", case)


def junior_abroad(world: World, time: datetime) -> None:
    """The account of one with few rights, from another country, at the hours and with the browser of its owner."""
    junior = [one for one in world.people if not one.senior]
    person, case, ip = _stolen(world, time, "junior_abroad", among=junior)
    do.vcenter_login(world, time.replace(hour=person.shift + 3), person.name, ip, world.rng.choice(("curl/8.5.0", "govc/0.37.0")), case)


def kvm_by_password(world: World, time: datetime) -> None:
    """A password found somewhere opens a KVM host, from a line of the same country, after some that did not."""
    person, case, ip = world.take_person(), world.case(JOB, "kvm_by_password"), _line(world)
    host = world.take_host("kvm", time)
    case.names(user=person.name, ip=ip, host=host.name)
    night = _night(time)
    for nth in range(world.rng.randrange(5, 12)):
        do.ssh_refused(world, night + do.seconds(9 * nth), host.name, person.name, ip, case)
    do.ssh(world, night + timedelta(minutes=4), host.name, person.name, ip, case, "password")


def key_of_cloud(world: World, time: datetime) -> None:
    """An access key that lay in a repository: with it a role is taken, from another country."""
    person, case, ip = _stolen(world, time, "stolen_access_key", cloud=True)
    do.assume_role(world, _night(time), person.name, "operator", ip, mfa=False, agent="Boto3/1.34.0", case=case)


def without_factor_near(world: World, time: datetime) -> None:
    """A console login that shows no second factor, from a line of the same country, at the owner's hours and with another browser."""
    person, case, ip = world.take_person(cloud=True), world.case(JOB, "mfa_missing_near"), _line(world)
    case.names(user=person.name, ip=ip)
    do.console_login(world, time.replace(hour=person.shift + 4), person.name, ip, mfa=False,
                     agent="Mozilla/5.0 (X11; Linux x86_64; rv:126.0) Gecko/20100101 Firefox/126.0", case=case)


def token_within(world: World, time: datetime) -> None:
    """A token that lay in the memory of the bastion is used from another workstation of the office."""
    person, case = world.take_person(), world.case(JOB, "token_reuse_in_the_office")
    host, other = world.take_host("esxi", time), f"{OFFICE}{world.rng.randrange(100, 200)}"
    case.names(user=person.name, host=host.name, ip=other)
    key = f"52{world.rng.getrandbits(40):010x}-{world.rng.getrandbits(16):04x}"
    noon = time.replace(hour=person.shift + 4)
    do.session_used(world, noon, host.name, person.name, world.vms["infra-bastion02"].address, key, case)
    do.session_used(world, noon + timedelta(minutes=25), host.name, person.name, other, key, case)


def another_role(world: World, time: datetime) -> None:
    """A key of one with few rights, used from abroad at the hours and with the program of its owner, for a role the owner never takes."""
    junior = [one for one in world.people if not one.senior]
    person, case, ip = _stolen(world, time, "role_never_taken", cloud=True, among=junior)
    do.assume_role(world, time.replace(hour=person.shift + 3), person.name, "billing-export", ip, case=case)


ATTACKS = (abroad, travel, without_factor, token, direct, kvm_from_outside, fresh_administrator, forged, sprayed, junior_abroad,
           kvm_by_password, key_of_cloud, without_factor_near, token_within, another_role)


# --- negatives --------------------------------------------------------------------------------------------------------------------


def new_colleague(world: World, time: datetime) -> None:
    """The first days of a new colleague: every address, client and target is new."""
    case = world.case(JOB, "new_staff", negative=True)
    case.names(user="nadia")
    start = world.start + 16 * DAY
    for nth in range(6):
        do.vcenter_login(world, start + (9 + nth * 1.3) * HOUR, "nadia", "192.0.2.32", do.NEXT_BROWSER, case)


def on_call(world: World, time: datetime) -> None:
    """An administrator is called at night and works over the VPN as ever."""
    person, case = _negative(world, "on_call")
    do.vcenter_login(world, _night(time), person.name, person.vpn, do.NEXT_BROWSER, case)


def conference(world: World, time: datetime) -> None:
    """An administrator is abroad at a conference and comes in over the VPN, half an hour after a login at home."""
    person, case = _negative(world, "travelling_with_vpn")
    do.vcenter_login(world, time.replace(hour=9), person.name, person.vpn, do.NEXT_BROWSER, case)
    do.vcenter_login(world, time.replace(hour=10), person.name, "198.51.100.30", do.NEXT_BROWSER, case)


def mistyped(world: World, time: datetime) -> None:
    """A forgotten password: some refusals, then the login."""
    person, case = _negative(world, "mistyped_password")
    morning = time.replace(hour=person.shift + 1)
    for nth in range(3):
        do.vcenter_refused(world, morning + do.seconds(15 * nth), person.name, person.office, case)
    do.vcenter_login(world, morning + do.seconds(60), person.name, person.office, do.NEXT_BROWSER, case)


def new_proxy(world: World, time: datetime) -> None:
    """The backup service moves to another server of the same network."""
    case = world.case(JOB, "service_moved", negative=True)
    case.names(user="svc-backup", ip=world.vms["infra-proxy02"].address)
    for nth in range(4):
        address = world.vms["infra-proxy02"].address
        do.vcenter_login(world, time + 6 * nth * HOUR, "svc-backup", address, "VMware vim-java 1.0", case, minutes=5)


def new_provider(world: World, time: datetime) -> None:
    """An administrator has a new provider at home and forgets the VPN."""
    person, case = _negative(world, "new_provider_at_home")
    do.vcenter_login(world, time.replace(hour=person.shift + 2), person.name, f"{ACCESS}{130 + person.number}", do.NEXT_BROWSER, case)


NEGATIVES = (new_colleague, on_call, conference, mistyped, new_proxy, new_provider)


def _stolen(world: World, time: datetime, attack: str, cloud: bool | None = None, among: Sequence[Person] = ()) -> tuple[Person, Case, str]:
    person, case, ip = world.take_person(cloud, among), world.case(JOB, attack), f"203.0.113.{world.rng.randrange(1, 250)}"
    case.names(user=person.name, ip=ip)
    return person, case, ip


def _line(world: World) -> str:
    """An address of somebody's line in the same country."""
    return f"{ACCESS}{world.rng.randrange(160, 250)}"


def _negative(world: World, attack: str) -> tuple[Person, Case]:
    person, case = world.rng.choice(world.people[:12]), world.case(JOB, attack, negative=True)
    case.names(user=person.name)
    return person, case


def _night(time: datetime) -> datetime:
    return time.replace(hour=3, minute=time.minute)
