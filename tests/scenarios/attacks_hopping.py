"""From machine to machine (job vm_hopping): over the network, through the hypervisor's guest operations, over disks."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

from . import doings as do
from .parts import HOUR, TENANTS, Case, Nothing, Vm
from .world import World

JOB = "vm_hopping"


def linear(world: World, time: datetime) -> None:
    """An intruder in a web server goes on to an application server and from there, with another account, to a database."""
    web, app, db, case = _three(world, time, "linear_chain")
    _hop(world, time, web, app, "svc-app", case)
    _hop(world, time + timedelta(minutes=world.rng.uniform(8, 25)), app, db, "postgres", case)
    if world.rng.random() < 0.6:
        last = world.take_vm(time - HOUR, time + 3 * HOUR, tenant=web.tenant, role="ad")
        case.names(vm=last.name)
        _hop(world, time + timedelta(minutes=world.rng.uniform(35, 100)), db, last, "postgres", case)


def migrated(world: World, time: datetime) -> None:
    """The same chain, and the machine in its middle is migrated between the first hop and the second."""
    web, app, db, case = _three(world, time, "migrated_between_hops", app_kind="esxi")
    _hop(world, time, web, app, "svc-app", case)
    host = world.hosts[world.where(app.name, time)]
    other = world.rng.choice([h.name for h in world.hosts.values() if h.kind == host.kind and h.cluster == host.cluster and h is not host])
    world.move(time + timedelta(minutes=8), app.name, other, "drs")
    _hop(world, time + timedelta(minutes=20), app, db, "svc-app", case)
    last = world.take_vm(time - HOUR, time + 3 * HOUR, tenant=web.tenant, role="build")
    case.names(vm=last.name)
    _hop(world, time + timedelta(minutes=70), db, last, "svc-app", case)


def crossing(world: World, time: datetime) -> None:
    """One hop in the shared segment, from a machine of one tenant to one of another."""
    source = world.take_vm(time - HOUR, time + HOUR, segment="shared-edge")
    near = world.untouched(time - HOUR, time + HOUR, segment="shared-edge")
    target = world.rng.choice([vm for vm in near if vm.tenant != source.tenant])
    world.use(target.name)
    case = _case(world, "tenant_crossing", source, target)
    _hop(world, time, source, target, "admin", case, "password")


def reused(world: World, time: datetime) -> None:
    """An address was another tenant's until this morning; the machine that has it now crosses to that tenant."""
    old = world.take_vm(time - 12 * HOUR, time + HOUR, segment="shared-edge")
    world.move(time - 9 * HOUR, old.name, None, "remove", "CORP\\alice")
    others = [tenant for tenant in TENANTS if tenant != old.tenant]
    host = world.where(old.name, time - 10 * HOUR)
    other = world.rng.choice(others)
    new = world.new_vm(f"{other}-edge{900 + len(world.vms)}", old.kind, other, "shared-edge", "dmz", "edge", time - 6 * HOUR, host,
                       old.address)
    world.move(time - 6 * HOUR, new.name, host, "deploy", "CORP\\alice")
    world.snapshots.append(time - 5 * HOUR)
    target = world.rng.choice([vm for vm in world.untouched(time - HOUR, time + HOUR, segment="shared-edge") if vm.tenant == old.tenant])
    world.use(new.name, target.name)
    case = _case(world, "address_reused", new, target)
    _hop(world, time, new, target, "admin", case, "password")


def guest_operations(world: World, time: datetime) -> None:
    """Stolen rights in vCenter: commands in guests of several tenants, past every firewall."""
    person = world.take_person()
    case = world.case(JOB, "guest_operations")
    case.names(user=person.name)
    vms = [world.take_vm(time - HOUR, time + 3 * HOUR, kind="esxi", tenant=tenant) for tenant in world.rng.sample(TENANTS, 4)]
    do.vcenter_login(world, time - do.seconds(100), person.name, person.vpn)
    for nth, vm in enumerate(vms):
        case.names(vm=vm.name)
        do.guest_operation(world, time + timedelta(minutes=7 * nth), vm, person.corp, case=case)


def disk(world: World, time: datetime) -> None:
    """The disk of another tenant's machine is attached to one's own, over which one came in, and taken off again."""
    person = world.take_person()
    mine = world.take_vm(time - HOUR, time + 3 * HOUR, kind="esxi", role="app")
    databases = world.untouched(time - HOUR, time + 3 * HOUR, kind="esxi", role="db")
    theirs = world.rng.choice([vm for vm in databases if vm.tenant != mine.tenant])
    world.use(theirs.name)
    case = _case(world, "disk_attached", mine, theirs)
    case.names(user=person.name)
    do.console(world, time, mine, person.corp, case)
    do.hot_add(world, time + timedelta(minutes=6), theirs, mine, person.corp, case)
    do.hot_remove(world, time + timedelta(minutes=25), theirs, mine, person.corp, case)


def sideways(world: World, time: datetime) -> None:
    """With an account that all application servers know, from one to the next until one leads to a database."""
    tenant = world.rng.choice(TENANTS)
    apps = [world.take_vm(time - HOUR, time + 5 * HOUR, tenant=tenant, role="app") for _ in range(4)]
    db = world.take_vm(time - HOUR, time + 5 * HOUR, tenant=tenant, role="db")
    case = _case(world, "sideways_with_one_account", *apps, db)
    moment = time
    for source, target in pairwise([*apps, db]):
        _hop(world, moment, source, target, "svc-deploy", case, "password")
        moment += timedelta(minutes=world.rng.uniform(5, 60))


def neighbours(world: World, time: datetime) -> None:
    """From machine to machine on one host, since what goes from guest to guest there passes no firewall of the network."""
    crowds: dict[tuple[str, str, str], list[Vm]] = {}
    for vm in world.untouched(time - HOUR, time + 3 * HOUR):
        crowds.setdefault((vm.tenant, vm.zone, world.where(vm.name, time)), []).append(vm)
    several = [crowd for crowd in crowds.values() if len(crowd) >= 3]
    if not several:
        raise Nothing("no three machines of a tenant and zone on one host")
    chosen = world.rng.sample(world.rng.choice(several), 3)
    world.use(*(vm.name for vm in chosen))
    case = _case(world, "neighbours_on_one_host", *chosen)
    for nth, (source, target) in enumerate(pairwise(chosen)):
        _hop(world, time + nth * timedelta(minutes=world.rng.uniform(6, 25)), source, target, "root", case, "password")


def through_host(world: World, time: datetime) -> None:
    """A host's password lay in a guest: with it onto the host, and from there with the guest agent into a machine of another tenant."""
    source = world.take_vm(time - HOUR, time + 3 * HOUR, kind="kvm", role="app")
    host = world.where(source.name, time)
    target = world.rng.choice([vm for vm in world.untouched(time - HOUR, time + 3 * HOUR, host=host) if vm.tenant != source.tenant])
    world.use(target.name)
    case = _case(world, "through_the_host", source, target)
    case.names(host=host)
    _hop(world, time, world.rng.choice(world.untouched(time - HOUR, time + 3 * HOUR, kind="kvm", tenant=source.tenant)), source, "svc-app",
         case)
    do.ssh(world, time + timedelta(minutes=9), host, "root", source.address, case, "password")
    do.records(world, time + timedelta(minutes=17), host, "type=SYSCALL msg={stamp}: arch=c000003e syscall=59 success=yes exit=0 a0=7ffc "
               "a1=7ffd a2=5652 a3=7f7d items=2 ppid=6234 pid=6235 auid=0 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0 "
               'ses=64 comm="virsh" exe="/usr/bin/virsh" key="virsh_exec"\x1dARCH=x86_64 SYSCALL=execve AUID="root" UID="root"',
               f'type=EXECVE msg={{stamp}}: argc=4 a0="virsh" a1="qemu-agent-command" a2="{target.name}" '
               "a3=7B2265786563757465223A2267756573742D65786563227D", case=case)


def through_esxi(world: World, time: datetime) -> None:
    """The same on ESXi: from a guest to the host past vCenter, and with its own tools into a guest of another tenant."""
    source = world.take_vm(time - HOUR, time + 3 * HOUR, kind="esxi", role="web")
    host = world.where(source.name, time)
    near = [vm for vm in world.untouched(time - HOUR, time + 3 * HOUR, host=host) if vm.tenant != source.tenant]
    target = world.rng.choice(near)
    world.use(target.name)
    case = _case(world, "through_the_host_esxi", source, target)
    case.names(host=host)
    do.esxi_client(world, time, host, "root", source.address, "govc/0.37.0", case)
    do.host_guest_operation(world, time + timedelta(minutes=11), target, "root", case=case)


def connections(world: World, time: datetime) -> None:
    """The last machine of the chain sends no logs; that the one before reached for it, the audit rules there tell."""
    web, app, db, case = _three(world, time, "last_hop_by_connection")
    _hop(world, time, web, app, "svc-app", case)
    do.connected(world, time + timedelta(minutes=world.rng.uniform(8, 25)), app.name, db.address, 22, "ssh", case)


def consoles(world: World, time: datetime) -> None:
    """A stolen session at vCenter, used from a guest: the console of another tenant's machine, and over the network on from there."""
    person = world.take_person()
    source = world.take_vm(time - HOUR, time + 3 * HOUR, role="app")
    doors = world.untouched(time - HOUR, time + 3 * HOUR, kind="esxi", role="app")
    door = world.rng.choice([vm for vm in doors if vm.tenant != source.tenant])
    goal = world.rng.choice(world.untouched(time - HOUR, time + 3 * HOUR, tenant=door.tenant, role="db"))
    world.use(door.name, goal.name)
    case = _case(world, "console_of_another_tenant", source, door, goal)
    case.names(user=person.name)
    do.vcenter_login(world, time, person.name, source.address, case=case)
    do.console(world, time + timedelta(minutes=6), door, person.corp, case)
    _hop(world, time + timedelta(minutes=19), door, goal, "postgres", case)


def own_tenant(world: World, time: datetime) -> None:
    """Commands in machines of one tenant and zone through vCenter, with the account of one who may do so and never does."""
    person, tenant = world.take_person(), world.rng.choice(TENANTS)
    case = world.case(JOB, "guest_operations_in_one_tenant")
    case.names(user=person.name)
    for nth in range(3):
        vm = world.take_vm(time - HOUR, time + 3 * HOUR, kind="esxi", tenant=tenant, role="app")
        case.names(vm=vm.name)
        do.guest_operation(world, time + timedelta(minutes=12 * nth), vm, person.corp, case=case)


ATTACKS = (linear, migrated, crossing, reused, guest_operations, disk, sideways, neighbours, through_host, through_esxi, connections,
           consoles, own_tenant)


# --- negatives: the scanner, the bastion, backups and configuration management also work every day in life.py ------------------------


def scanner(world: World, time: datetime) -> None:
    """The scanner looks at all machines of a segment at once."""
    source = world.vms["infra-scanner01"]
    case = world.case(JOB, "fan_out_scanner", negative=True)
    case.names(vm=source.name)
    for nth, vm in enumerate([vm for vm in world.vms.values() if vm.tenant != "infra" and world.calm(vm, time, time + HOUR)][:60]):
        do.ssh(world, time + do.seconds(12 * nth), vm.name, "scanner", source.address, case, minutes=0.3)


def bastion(world: World, time: datetime) -> None:
    """An administrator looks after an incident: from the bastion to a dozen machines of all tenants."""
    person, source = world.rng.choice(world.people[:12]), world.vms["infra-bastion01"]
    case = world.case(JOB, "bastion_star", negative=True)
    case.names(vm=source.name)
    do.ssh(world, time, source.name, person.name, person.office, case, minutes=120)
    for nth, vm in enumerate(world.rng.sample([vm for vm in world.vms.values() if world.calm(vm, time, time + HOUR)], 12)):
        do.ssh(world, time + do.seconds(90 + 200 * nth), vm.name, person.name, source.address, case)


def address_passed_on(world: World, time: datetime) -> None:
    """An address passes to another tenant, whose new machine speaks to its own tenant only."""
    old = world.take_vm(time - 12 * HOUR, time + HOUR, segment="shared-edge")
    world.move(time - 9 * HOUR, old.name, None, "remove", "CORP\\bogdan")
    twin = world.rng.choice([vm for vm in world.untouched(time - HOUR, time + HOUR, segment="shared-edge") if vm.tenant != old.tenant])
    host = world.where(old.name, time - 10 * HOUR)
    new = world.new_vm(f"{twin.tenant}-edge{900 + len(world.vms)}", old.kind, twin.tenant, "shared-edge", "dmz", "edge", time - 6 * HOUR,
                       host, old.address)
    world.move(time - 6 * HOUR, new.name, host, "deploy", "CORP\\bogdan")
    world.use(new.name, twin.name)
    world.snapshots.append(time - 5 * HOUR)
    case = _case(world, "ip_reuse", new, twin, negative=True)
    _hop(world, time, new, twin, "svc-sync", case)


def restore_to_proxy(world: World, time: datetime) -> None:
    """For a restore of single files the disk of a machine hangs at the backup proxy for an hour of the day."""
    vm, proxy = world.take_vm(time - HOUR, time + 2 * HOUR, kind="esxi"), world.vms["infra-proxy01"]
    case = _case(world, "backup_restore", vm, proxy, negative=True)
    do.hot_add(world, time, vm, proxy, "CORP\\svc-backup", case)
    do.hot_remove(world, time + HOUR, vm, proxy, "CORP\\svc-backup", case)


def rollout(world: World, time: datetime) -> None:
    """Configuration management rolls out a certificate everywhere."""
    source = world.vms["infra-config01"]
    case = world.case(JOB, "configuration_management", negative=True)
    case.names(vm=source.name)
    for nth, vm in enumerate([vm for vm in world.vms.values() if vm.tenant != "infra" and world.calm(vm, time, time + HOUR)][::3]):
        do.ssh(world, time + do.seconds(9 * nth), vm.name, "ansible", source.address, case, minutes=0.2)


NEGATIVES = (scanner, bastion, address_passed_on, restore_to_proxy, rollout)


def _three(world: World, time: datetime, attack: str, app_kind: str = "") -> tuple[Vm, Vm, Vm, Case]:
    tenant = world.rng.choice(TENANTS)
    kinds = {"kind": app_kind} if app_kind else {}
    web = world.take_vm(time - HOUR, time + 3 * HOUR, tenant=tenant, role="web")
    app = world.take_vm(time - HOUR, time + 3 * HOUR, tenant=tenant, role="app", **kinds)
    db = world.take_vm(time - HOUR, time + 3 * HOUR, tenant=tenant, role="db")
    return web, app, db, _case(world, attack, web, app, db)


def _case(world: World, attack: str, *vms: Vm, negative: bool = False) -> Case:
    case = world.case(JOB, attack, negative)
    for vm in vms:
        case.names(vm=vm.name)
    return case


def _hop(world: World, time: datetime, source: Vm, target: Vm, user: str, case: Case, method: str = "publickey") -> None:
    do.ssh(world, time, target.name, user, source.address, case, method)
