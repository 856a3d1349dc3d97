"""What is done to hypervisors and looks as if somebody took them over (job hyperjacking must be silent)."""

from __future__ import annotations

from datetime import datetime, timedelta

from . import doings as do
from .lines import audit_record, vcenter_event
from .parts import HOUR, Case, Host
from .world import World

KEY = 'echo "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAB ops@example.org" >> /etc/ssh/keys-root/authorized_keys'


def expansion(world: World, time: datetime) -> None:
    """New hosts are unpacked and join, attested, on a working day."""
    case = world.case("hyperjacking", "new_host", negative=True)
    user = world.rng.choice(world.people[:12]).corp
    for nth in range(2):
        name = f"esx{70 + nth}"
        case.names(host=name)
        do.event(world, time + nth * HOUR, "HostAddedEvent", user, f"Added host {name}.dc1.example.org to datacenter DC1", case)
        do.event(world, time + nth * HOUR + do.seconds(60), "HostConnectedEvent", "", f"Connected to {name}.dc1.example.org in DC1", case)


def firmware(world: World, time: datetime) -> None:
    """After an update of its firmware a host fails attestation once, until its new values are accepted."""
    host, case = _host(world, time, "esxi", "attestation_after_firmware")
    world.windows.append((host.name, time - HOUR, time + HOUR))
    do.vob(world, time - do.seconds(400), host.name, "esx.audit.host.boot", "Host has booted.", case)
    world.write(do.VC, vcenter_event(time, world.serial(), "EventEx", "", "Host TPM attestation failed", level="error"), case=case)


def vendor_driver(world: World, time: datetime) -> None:
    """A hardware vendor's driver needs a lower acceptance level; it is installed in a maintenance window."""
    host, case = _host(world, time, "esxi", "vendor_driver")
    world.windows.append((host.name, time - HOUR, time + HOUR))
    do.vob(world, time, host.name, "esx.audit.esximage.hostacceptance.changed",
           "Host acceptance level changed from VMwareAccepted to PartnerSupported", case)
    do.command(world, time + do.seconds(60), host.name, "esxcli software vib install -d /vmfs/volumes/ds01/depot/vendor.zip", case=case)


def split_brain(world: World, time: datetime) -> None:
    """A host is cut off, HA starts its machine elsewhere, and for a minute both have it."""
    host, case = _host(world, time, "esxi", "ha_split")
    vm = world.take_vm(time - HOUR, time + HOUR, host=host.name)
    case.names(vm=vm.name)
    other = world.rng.choice([h.name for h in world.hosts.values() if h.cluster == host.cluster and h is not host])
    world.move(time, vm.name, other, "ha")
    do.event(world, time - do.seconds(60), "HostConnectionLostEvent", "", f"Host {host.fqdn} in DC1 is not responding", case, "error")
    do.event(world, time + do.seconds(200), "HostConnectedEvent", "", f"Connected to {host.fqdn} in DC1", case)
    world.write(do.ESXI, audit_record(time + do.seconds(210), host.name, "vm.power.off", subject="root", object=vm.vmx, result="success",
                                      reason="lost lock", opID="ha-1"), case=case)


def restored(world: World, time: datetime) -> None:
    """A machine is restored from a backup: registered anew and started by an administrator."""
    host, case = _host(world, time, "esxi", "restore")
    user = world.rng.choice(world.people[:12]).corp
    vm = world.new_vm(f"acme-restored{world.rng.randrange(100):02d}", "esxi", "acme", "acme-app", "app", "app", time, host.name)
    world.use(vm.name)
    case.names(vm=vm.name)
    do.event(world, time, "VmRegisteredEvent", user, f"Registered {vm.name} on {host.fqdn} in DC1", case)
    do.power(world, time + do.seconds(120), vm, True, user, case)


def support_tool(world: World, time: datetime) -> None:
    """The vendor's support needs its own tool on a host, so unsigned programs are allowed for a day; machines come and go as ever."""
    host, case = _host(world, time, "esxi", "support_tool")
    do.vob(world, time, host.name, "esx.audit.uw.security.User.ExecInstalledOnly.disabled", "ExecInstalledOnly has been disabled. This "
           f"allows the execution of non-installed binaries on the host. {do.MALWARE}", case)
    for nth, vm in enumerate(world.free(time - HOUR, time + 3 * HOUR, host=host.name)[:3]):
        other = world.rng.choice([h.name for h in world.hosts.values() if h.cluster == host.cluster and h is not host])
        world.move(time + timedelta(minutes=30 + 10 * nth), vm.name, other, "drs")


def taken_out(world: World, time: datetime) -> None:
    """A host with a broken agent is taken out of vCenter for a night with its machines running, joins again, and gets root's keys anew."""
    host, case = _host(world, time, "esxi", "host_taken_out")
    user = world.rng.choice(world.people[:12]).corp
    out, back = time.replace(hour=23, minute=20), time.replace(hour=23, minute=20) + timedelta(minutes=75)
    world.unmanaged[host.name] = (out, back)
    do.event(world, out, "HostRemovedEvent", user, f"Removed host {host.fqdn} in DC1", case)
    do.event(world, back, "HostAddedEvent", user, f"Added host {host.fqdn} to datacenter DC1", case)
    do.event(world, back + do.seconds(50), "HostConnectedEvent", "", f"Connected to {host.fqdn} in DC1", case)
    for nth, vm in enumerate(world.on(host.name, back)):
        do.event(world, back + do.seconds(51 + nth), "VmDiscoveredEvent", "", f"Discovered {vm.name} on {host.fqdn} in DC1", case)
    do.command(world, back + timedelta(minutes=12), host.name, KEY, case=case)


def collector_down(world: World, time: datetime) -> None:
    """The log collector is down for half a night: what DRS moves meanwhile in a cluster nobody tells; on one of its hosts acceptance is
    lowered for a driver the day after.
    """
    host, case = _host(world, time, "esxi", "log_collector_down")
    since = time.replace(hour=23)
    until = since + 5 * HOUR
    world.deaf.append((host.cluster, since, until))
    for other in [h for h in world.hosts.values() if h.cluster == host.cluster]:
        case.names(host=other.name)
        do.vob(world, since + do.seconds(40), other.name, "esx.problem.vmsyslogd.remote.failure", 'The host "ssl://collector.example.org:'
               '6514" has become unreachable.  Remote logging to this host has stopped.', case)
        do.vob(world, until, other.name, "esx.problem.vmsyslogd.remote.auditrecords.dropped",
               'The host "ssl://collector.example.org:6514" has lost 211 audit records.', case)
        for vm in world.free(since - HOUR, until + HOUR, host=other.name)[:2]:
            new = world.rng.choice([h.name for h in world.hosts.values() if h.cluster == host.cluster and h is not other])
            world.move(since + world.rng.uniform(0.1, 4.5) * HOUR, vm.name, new, "drs")
    do.vob(world, until + 5 * HOUR, host.name, "esx.audit.esximage.hostacceptance.changed",
           "Host acceptance level changed from VMwareAccepted to PartnerSupported", case)


def chores(world: World, time: datetime) -> None:
    """A key of a new colleague is put on a host, and a week later somebody tests the network there with a listener."""
    host, case = _host(world, time, "esxi", "chores_a_week_apart")
    before = time - timedelta(days=world.rng.uniform(5, 9))
    do.command(world, before, host.name, KEY, case=case)
    do.command(world, time, host.name, "nc -l 5001 > /dev/null", case=case)


NEGATIVES = (expansion, firmware, vendor_driver, split_brain, restored, support_tool, taken_out, collector_down, chores)


def _host(world: World, time: datetime, kind: str, attack: str) -> tuple[Host, Case]:
    host, case = world.take_host(kind, time), world.case("hyperjacking", attack, negative=True)
    case.names(host=host.name)
    return host, case
