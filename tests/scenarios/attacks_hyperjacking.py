"""Somebody takes over a hypervisor itself (job hyperjacking): foreign software, hidden machines, foreign hosts, changes no log tells."""

from __future__ import annotations

from datetime import datetime, timedelta

from . import doings as do
from .lines import audit_record, vcenter_event
from .parts import DAY, HOUR, Case, Host
from .world import World

JOB = "hyperjacking"


def implant(world: World, time: datetime) -> None:
    """Acceptance lowered, an unsigned package forced in, a start script: the way of VIRTUALPITA."""
    host, case = _host(world, time, "esxi", "esxi_implant")
    do.command(world, time, host.name, "esxcli software acceptance set --level=CommunitySupported", case=case)
    do.vob(world, time + do.seconds(1), host.name, "esx.audit.esximage.hostacceptance.changed",
           "Host acceptance level changed from PartnerSupported to CommunitySupported", case)
    do.command(world, time + do.seconds(70), host.name, "esxcli software vib install -v /tmp/lsu.vib --force --no-sig-check", case=case)
    do.vob(world, time + do.seconds(72), host.name, "esx.audit.esximage.install.nosigcheck", "Attempting to install an image profile "
           "bypassing signing and acceptance level verification. This may pose a large security risk.", case)
    later = time + timedelta(hours=world.rng.uniform(0.2, 20))
    do.command(world, later, host.name, 'echo "nohup /bin/python /store/packages/x.py &" >> /etc/rc.local.d/local.sh', case=case)


def hidden_machine(world: World, time: datetime) -> None:
    """Binaries allowed to run unsigned, then a machine that runs on the host and that neither host nor manager lists."""
    host, case = _host(world, time, "esxi", "esxi_hidden_machine")
    do.command(world, time, host.name, "esxcli system settings advanced set -o /User/execInstalledOnly -i 0", case=case)
    do.vob(world, time + do.seconds(1), host.name, "esx.audit.uw.security.User.ExecInstalledOnly.disabled", "ExecInstalledOnly has been "
           f"disabled. This allows the execution of non-installed binaries on the host. {do.MALWARE}", case)
    do.command(world, time + do.seconds(200), host.name, "/bin/vmx -x /vmfs/volumes/ds03/.cache/node.vmx", case=case)
    hidden = world.new_vm(f"node-{world.rng.randrange(10**6):06d}", "esxi", "infra", "infra-mgmt", "mgmt", "hidden", time, host.name)
    world.silent.add(hidden.name)
    world.use(hidden.name)
    case.names(vm=hidden.name)
    hidden.died = time + 6 * DAY


def foreign_host(world: World, time: datetime) -> None:
    """A host that nobody knows joins, its attestation fails, and it runs a machine that another host runs too."""
    case = world.case(JOB, "foreign_host")
    name = f"esx{90 + world.rng.randrange(9)}"
    user = world.take_person().corp
    vm = world.take_vm(time - HOUR, time + 2 * DAY, kind="esxi")
    case.names(host=name, vm=vm.name)
    fqdn = f"{name}.dc1.example.org"
    do.event(world, time, "HostAddedEvent", user, f"Added host {fqdn} to datacenter DC1", case)
    do.event(world, time + do.seconds(40), "EventEx", "", "Host TPM attestation failed", case, "error")
    body = ('{"id":"9","source":"https://vcsa01/sdk","specversion":"1.0","type":"com.vmware.event.router/eventex","subject":"com.vmware.vc.'
            f'host.TPMAttestationFailedEvent","time":"{time + do.seconds(41):%Y-%m-%dT%H:%M:%S}.000Z","data":{{"Key":9902,"ChainId":9902,'
            f'"CreatedTime":"{time + do.seconds(41):%Y-%m-%dT%H:%M:%S}.000Z","UserName":"","Datacenter":{{"Name":"DC1"}},"Host":{{"Name":'
            f'"{fqdn}","Host":{{"Type":"HostSystem","Value":"host-99"}}}},"FullFormattedMessage":"Host TPM attestation failed"}}}}')
    world.write(do.VC, (time + do.seconds(41), body), case=case)
    world.write(do.ESXI, audit_record(time + timedelta(hours=3), name, "vm.power.on", subject="root", object=vm.vmx, result="success",
                                      ip="127.0.0.1", opID="esxcli-9"), case=case)
    do.esxi_client(world, time + timedelta(hours=2.9), name, "root", "203.0.113.91", "pyvmomi Python/3.11.4", case=None)
    world.twins.append((vm.name, name, time + timedelta(hours=3)))


def unlogged(world: World, time: datetime) -> None:
    """Two inventories differ and no event tells why (the logs of the change were kept away); the host's guard went down before."""
    host, case = _host(world, time, "esxi", "unlogged_change")
    do.command(world, time, host.name, "esxcli system settings encryption set --require-secure-boot=F", case=case)
    world.write(do.ESXI, audit_record(time + do.seconds(1), host.name, "configenc.reqsb.disable", subject="root",
                                      object="RequireSecureBoot", result="success", ip="192.0.2.10", opID="esxcli-31"), case=case)
    vm = world.take_vm(time - HOUR, world.end - timedelta(minutes=1), kind="esxi")
    case.names(vm=vm.name)
    world.unlogged[vm.name] = (time + HOUR, host.name)


def kvm_rootkit(world: World, time: datetime) -> None:
    """A kernel module from /tmp, and a program of nobody that opens /dev/kvm."""
    host, case = _host(world, time, "kvm", "kvm_rootkit")
    do.records(world, time, host.name, "type=SYSCALL msg={stamp}: arch=c000003e syscall=313 success=yes exit=0 a0=3 a1=0 a2=0 a3=0 items=0 "
               "ppid=6234 pid=6235 auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0 ses=4 comm=\"insmod\" "
               'exe="/usr/bin/kmod" key="modules"', 'type=KERN_MODULE msg={stamp}: name="rk"', case=case)
    do.run(world, time + timedelta(minutes=5), host.name, 1000, "kexec", "-e", exe="/usr/sbin/kexec", case=case)
    do.records(world, time + timedelta(hours=1), host.name, "type=SYSCALL msg={stamp}: arch=c000003e syscall=257 success=yes exit=3 "
               "a0=55f1 a1=7ffc a2=0 a3=0 items=1 ppid=6234 pid=6235 auid=1000 uid=1000 gid=1000 euid=1000 suid=1000 fsuid=1000 egid=1000 "
               'sgid=1000 fsgid=1000 tty=pts0 ses=4 comm="vmm" exe="/tmp/.cache/vmm" key="kvm_device"',
               'type=CWD msg={stamp}: cwd="/root"',
               'type=PATH msg={stamp}: item=0 name="/dev/kvm" inode=131 dev=00:06 mode=020660 ouid=0 ogid=107 rdev=0a:e8 nametype=NORMAL '
               "cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0", case=case)


ATTACKS = (implant, hidden_machine, foreign_host, unlogged, kvm_rootkit)


# --- negatives --------------------------------------------------------------------------------------------------------------------


def expansion(world: World, time: datetime) -> None:
    """New hosts are unpacked and join, attested, on a working day."""
    case = world.case(JOB, "new_host", negative=True)
    user = world.rng.choice(world.people[:12]).corp
    for nth in range(2):
        name = f"esx{70 + nth}"
        case.names(host=name)
        do.event(world, time + nth * HOUR, "HostAddedEvent", user, f"Added host {name}.dc1.example.org to datacenter DC1", case)
        do.event(world, time + nth * HOUR + do.seconds(60), "HostConnectedEvent", "", f"Connected to {name}.dc1.example.org in DC1", case)


def firmware(world: World, time: datetime) -> None:
    """After an update of its firmware a host fails attestation once, until its new values are accepted."""
    host, case = _host(world, time, "esxi", "attestation_after_firmware", negative=True)
    world.windows.append((host.name, time - HOUR, time + HOUR))
    do.vob(world, time - do.seconds(400), host.name, "esx.audit.host.boot", "Host has booted.", case)
    world.write(do.VC, vcenter_event(time, world.serial(), "EventEx", "", "Host TPM attestation failed", level="error"), case=case)


def vendor_driver(world: World, time: datetime) -> None:
    """A hardware vendor's driver needs a lower acceptance level; it is installed in a maintenance window."""
    host, case = _host(world, time, "esxi", "vendor_driver", negative=True)
    world.windows.append((host.name, time - HOUR, time + HOUR))
    do.vob(world, time, host.name, "esx.audit.esximage.hostacceptance.changed",
           "Host acceptance level changed from VMwareAccepted to PartnerSupported", case)
    do.command(world, time + do.seconds(60), host.name, "esxcli software vib install -d /vmfs/volumes/ds01/depot/vendor.zip", case=case)


def split_brain(world: World, time: datetime) -> None:
    """A host is cut off, HA starts its machine elsewhere, and for a minute both have it."""
    host, case = _host(world, time, "esxi", "ha_split", negative=True)
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
    host, case = _host(world, time, "esxi", "restore", negative=True)
    user = world.rng.choice(world.people[:12]).corp
    vm = world.new_vm(f"acme-restored{world.rng.randrange(100):02d}", "esxi", "acme", "acme-app", "app", "app", time, host.name)
    world.use(vm.name)
    case.names(vm=vm.name)
    do.event(world, time, "VmRegisteredEvent", user, f"Registered {vm.name} on {host.fqdn} in DC1", case)
    do.power(world, time + do.seconds(120), vm, True, user, case)


NEGATIVES = (expansion, firmware, vendor_driver, split_brain, restored)


def _host(world: World, time: datetime, kind: str, attack: str, negative: bool = False) -> tuple[Host, Case]:
    host, case = world.take_host(kind, time), world.case(JOB, attack, negative)
    case.names(host=host.name)
    return host, case
