"""Ordinary weeks of a data centre. `plan` moves machines about; `tell` writes what everybody does, once all moves are known.

Bastions, a scanner, backups, configuration management, DRS storms, HA failovers, patch nights, new staff, machines that come and go, and
addresses that pass from one tenant to another: nothing of it is an attack.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from . import doings as do
from .lines import audit_record, esxi, libvirtd, spread
from .parts import DAY, HOUR, OFFICE, PEOPLE, VCENTER, Person, Vm
from .world import World

SERVICES = {"svc-backup": "infra-proxy01", "svc-monitor": "infra-monitor01", "svc-patch": "infra-patch01"}


def plan(world: World) -> None:
    """All moves of ordinary weeks, and the maintenance windows."""
    for day in range(world.days):
        start = world.start + day * DAY
        _balancing(world, start)
        _comings_and_goings(world, start)
        if day % 7 == 3:
            _drs_storm(world, start + world.rng.uniform(8, 16) * HOUR)
        if day % 9 == 5:
            _failover(world, start + world.rng.uniform(1, 23) * HOUR)
        if day % 14 == 9:
            _patch_night(world, start + 22 * HOUR, day // 14)


def tell(world: World) -> None:
    """Everything people, services and hosts write in those weeks."""
    for move in sorted(world.moves, key=lambda one: (one.time, one.vm)):
        do.moved(world, move)
    hire(world)
    for host in world.hosts.values():
        if host.kind == "esxi":
            do.booted(world, world.start + do.seconds(5), host)
    pairs = _pairs(world)
    for day in range(world.days):
        start = world.start + day * DAY
        for person in world.people:
            if start >= person.since and (start.weekday() < 5 or world.rng.random() < 0.05):
                _working_day(world, person, start)
        _services(world, start)
        _guests(world, start, pairs)
        _backups(world, start)
        _hosts(world, start)
        _cloud(world, start)
        if day % 7 == 5:
            _scan(world, start + 2 * HOUR)


# --- moves ------------------------------------------------------------------------------------------------------------------------


def _calm(world: World, time: datetime, kind: str) -> list[Vm]:
    return [vm for vm in world.vms.values() if vm.kind == kind and world.calm(vm, time - HOUR, time + HOUR)]


def _neighbour(world: World, host: str, time: datetime) -> str:
    """Another host of the cluster, not in maintenance."""
    down = {name for name, since, until in world.windows if since - HOUR <= time <= until + HOUR}
    kind, cluster = world.hosts[host].kind, world.hosts[host].cluster
    others = [h.name for h in world.hosts.values() if h.cluster == cluster and h.name not in {host, *down}]
    return world.rng.choice(others or [h.name for h in world.hosts.values() if h.kind == kind and h.name not in {host, *down}])


def _balancing(world: World, start: datetime) -> None:
    for time in spread(world.rng, f"{start:%Y-%m-%d}", max(2, len(world.vms) // 25)):
        kind = "kvm" if world.rng.random() < 0.15 else "esxi"
        if calm := _calm(world, time, kind):
            vm = world.rng.choice(calm)
            how = "live" if kind == "kvm" else world.rng.choice(("drs", "drs", "drs", "manual"))
            world.move(time, vm.name, _neighbour(world, world.where(vm.name, time), time), how, f"CORP\\{world.rng.choice(PEOPLE)}")


def _drs_storm(world: World, time: datetime) -> None:
    cluster = world.rng.choice(sorted({host.cluster for host in world.hosts.values() if host.kind == "esxi"}))
    calm = [vm for vm in _calm(world, time, "esxi") if world.hosts[world.where(vm.name, time)].cluster == cluster]
    for number, vm in enumerate(world.rng.sample(calm, len(calm) // 2)):
        when = time + do.seconds(7 * number)
        world.move(when, vm.name, _neighbour(world, world.where(vm.name, when), when), "drs")


def _failover(world: World, time: datetime) -> None:
    """A host loses power; HA starts its machines elsewhere within minutes."""
    host = world.rng.choice([h.name for h in world.hosts.values() if h.kind == "esxi"])
    world.windows.append((host, time, time + 2 * HOUR))
    do.event(world, time + do.seconds(30), "HostConnectionLostEvent", "", f"Host {world.hosts[host].fqdn} in DC1 is not responding",
             level="error")
    for number, vm in enumerate(world.on(host, time)):
        world.move(time + do.seconds(90 + 4 * number), vm.name, _neighbour(world, host, time), "ha")
    do.booted(world, time + 1.5 * HOUR, world.hosts[host])
    do.event(world, time + 1.6 * HOUR, "HostConnectedEvent", "", f"Connected to {world.hosts[host].fqdn} in DC1")


def _patch_night(world: World, time: datetime, number: int) -> None:
    """Host after host of a cluster: emptied, updated, restarted; and the patch service works in guests through vCenter."""
    clusters = sorted({host.cluster for host in world.hosts.values() if host.kind == "esxi"})
    cluster = clusters[number % len(clusters)]
    user = "CORP\\svc-patch"
    for place, host in enumerate([h for h in world.hosts.values() if h.cluster == cluster]):
        when = time + place * timedelta(minutes=40)
        world.windows.append((host.name, when, when + timedelta(minutes=35)))
        do.event(world, when, "EnteringMaintenanceModeEvent", user, f"Host {host.fqdn} in DC1 has started to enter maintenance mode")
        for nth, vm in enumerate(world.on(host.name, when)):
            moment = when + do.seconds(10 + 4 * nth)
            if world.calm(vm, moment - do.seconds(60), moment + do.seconds(60)):
                world.move(moment, vm.name, _neighbour(world, host.name, moment), "drs")
        done = when + timedelta(minutes=10)
        do.event(world, done, "EnteredMaintenanceModeEvent", user, f"Host {host.fqdn} in DC1 has entered maintenance mode")
        world.write(do.ESXI, esxi(done + do.seconds(30), host.name, "esxupdate", "2100123: root: INFO: Command = profile.update", 14),
                    esxi(done + do.seconds(90), host.name, "esxupdate", "2100123: HostImage: INFO: Acceptance level checking passed", 14))
        do.vob(world, done + do.seconds(200), host.name, "esx.audit.host.stop.reboot", "Host is rebooting.")
        do.booted(world, done + do.seconds(800), host)
        do.event(world, done + do.seconds(900), "HostConnectedEvent", "", f"Connected to {host.fqdn} in DC1")
        do.event(world, done + do.seconds(960), "ExitMaintenanceModeEvent", user, f"Host {host.fqdn} in DC1 has exited maintenance mode")


def _comings_and_goings(world: World, start: datetime) -> None:
    """Machines are deployed and removed; in the shared segment an address passes to another tenant a few hours later."""
    shared = [vm for vm in world.vms.values() if vm.segment == "shared-edge" and world.calm(vm, start, start + DAY)]
    if start.weekday() == 1 and len(shared) > 20:
        old = world.rng.choice(shared)
        world.move(start + 10 * HOUR, old.name, None, "remove", f"CORP\\{world.rng.choice(PEOPLE)}")
        other = world.rng.choice([tenant for tenant in sorted({vm.tenant for vm in shared}) if tenant != old.tenant])
        deploy(world, start + 15 * HOUR, other, "shared-edge", "dmz", "edge", old.kind, old.address)
    for hour in (9, 14):
        tenant = world.rng.choice(sorted({vm.tenant for vm in world.vms.values()} - {"infra"}))
        deploy(world, start + (hour + world.rng.random()) * HOUR, tenant, f"{tenant}-app", "app", "app",
               world.rng.choice(("esxi", "esxi", "kvm")))
    victims = [vm for vm in world.vms.values() if vm.role == "app" and world.calm(vm, start, start + DAY)]
    for vm in world.rng.sample(victims, 2):
        world.move(start + world.rng.uniform(10, 18) * HOUR, vm.name, None, "remove", f"CORP\\{world.rng.choice(PEOPLE)}")


def deploy(world: World, time: datetime, tenant: str, segment: str, zone: str, role: str, kind: str, address: str | None = None) -> Vm:
    """A new machine of a tenant."""
    host = world.rng.choice([h.name for h in world.hosts.values() if h.kind == kind])
    name = f"{tenant}-{role}{100 + len(world.vms)}"
    vm = world.new_vm(name, kind, tenant, segment, zone, role, time, _neighbour(world, host, time), address)
    world.move(time, vm.name, world.where(vm.name, time), "deploy", f"CORP\\{world.rng.choice(PEOPLE)}")
    return vm


# --- people -----------------------------------------------------------------------------------------------------------------------


def hire(world: World) -> None:
    """A colleague joins in the third week and is introduced to everything in a few days."""
    world.people.append(Person("nadia", len(PEOPLE), world.start + 15 * DAY, 9, False))


def _working_day(world: World, person: Person, start: datetime) -> None:
    rng = world.rng
    home = rng.random() < 0.3
    ip = person.vpn if home else person.office
    agent = do.NEXT_BROWSER if start >= world.start + 12 * DAY else do.BROWSER
    hours = sorted(rng.uniform(person.shift, person.shift + 9) for _ in range(rng.randrange(3, 6)))
    for nth, hour in enumerate(hours):
        time = start + hour * HOUR
        if rng.random() < 0.06:
            do.vcenter_refused(world, time - do.seconds(20), person.name, ip)
        script = person.number % 4 == 1 and nth == 1
        do.vcenter_login(world, time, person.name, ip, "PowerCLI/13.3.0" if script else agent)
        if rng.random() < 0.4:
            _work_on_machine(world, person, time + timedelta(minutes=rng.uniform(2, 20)))
    _over_bastion(world, person, start + (person.shift + rng.uniform(0.5, 8)) * HOUR, ip)
    if person.cloud:
        time = start + (person.shift + rng.uniform(0, 8)) * HOUR
        do.console_login(world, time, person.name, ip, agent=agent)
        do.assume_role(world, time + do.seconds(300), person.name, "operator", ip)
        do.called(world, time + do.seconds(400), "DescribeInstances", "ec2", person.name, ip)


def _work_on_machine(world: World, person: Person, time: datetime) -> None:
    vm = world.rng.choice([vm for vm in world.vms.values() if world.calm(vm, time, time + HOUR)])
    what = world.rng.randrange(4)
    if what == 0 and vm.kind == "esxi":
        do.console(world, time, vm, person.corp)
    elif what == 1:
        do.power(world, time, vm, False, person.corp)
        do.power(world, time + do.seconds(120), vm, True, person.corp)
    elif what == 2 and vm.kind == "esxi":
        do.event(world, time, "VmReconfiguredEvent", person.corp,
                 f"Reconfigured {vm.name} on {world.hosts[world.where(vm.name, time)].fqdn} in DC1.  Modified: config.hardware.memoryMB: "
                 "4096 -> 8192; Added:  Deleted: ")
    elif what == 3:
        do.event(world, time, "TaskEvent", person.corp, "Task: Create virtual machine snapshot")


def _over_bastion(world: World, person: Person, time: datetime, ip: str) -> None:
    """The way to machines and hosts leads over a bastion."""
    bastion = world.vms[f"infra-bastion{1 + person.number % 2:02d}"]
    do.ssh(world, time, bastion.name, person.name, ip, minutes=90)
    for step in range(world.rng.randrange(1, 5)):
        moment = time + timedelta(minutes=3 + 9 * step)
        if world.rng.random() < 0.25:
            host = world.rng.choice([host for host in world.hosts.values() if host.kind == "kvm"])
            do.ssh(world, moment, host.name, person.name, bastion.address)
            do.run(world, moment + do.seconds(30), host.name, 1000 + person.number, "virsh", "list", "--all", key="virsh_exec")
        else:
            vm = world.rng.choice([vm for vm in world.vms.values() if world.calm(vm, moment, moment + HOUR) and vm.tenant != "infra"])
            do.ssh(world, moment, vm.name, person.name, bastion.address)


# --- services ---------------------------------------------------------------------------------------------------------------------


def _services(world: World, start: datetime) -> None:
    for name, machine in SERVICES.items():
        for hour in range(1, 24, 6):
            time = start + (hour + world.rng.random()) * HOUR
            do.vcenter_login(world, time, name, world.vms[machine].address, "VMware vim-java 1.0", minutes=5)
    config = world.vms["infra-config01"]
    alive = [vm for vm in world.vms.values() if world.calm(vm, start, start + DAY) and vm.tenant != "infra"]
    for nth, vm in enumerate(alive[start.day % 5::5]):
        do.ssh(world, start + 4 * HOUR + do.seconds(8 * nth), vm.name, "ansible", config.address, minutes=0.3)
    if any(since <= start + 23 * HOUR <= until for _, since, until in world.windows):
        for nth, vm in enumerate(world.rng.sample([vm for vm in alive if vm.kind == "esxi"], 40)):
            do.guest_operation(world, start + 23 * HOUR + do.seconds(20 * nth), vm, "CORP\\svc-patch")


def _pairs(world: World) -> list[tuple[str, str]]:
    """Which machines of a tenant log in to which others every day: application to database, build server to what it deploys."""
    pairs = []
    for tenant in sorted({vm.tenant for vm in world.vms.values()} - {"infra"}):
        names = {role: [vm.name for vm in world.vms.values() if vm.tenant == tenant and vm.role == role and vm.born == world.start]
                 for role in ("app", "db", "build", "web")}
        pairs += [(app, names["db"][nth % len(names["db"])]) for nth, app in enumerate(names["app"][:8]) if names["db"]]
        pairs += [(build, web) for build in names["build"][:2] for web in names["web"][:4]]
    return pairs


def _guests(world: World, start: datetime, pairs: list[tuple[str, str]]) -> None:
    for source, target in pairs:
        one, other = world.vms[source], world.vms[target]
        time = start + world.rng.uniform(0, 23) * HOUR
        if world.alive(one, time) and world.alive(other, time) and world.rng.random() < 0.7:
            do.ssh(world, time, target, "deploy" if one.role == "build" else "svc-app", one.address, minutes=0.2)
    shared = [vm for vm in world.vms.values() if vm.segment == "shared-edge" and world.calm(vm, start, start + DAY)]
    for vm in shared:
        twins = [other for other in shared if other.tenant == vm.tenant and other is not vm]
        if twins and world.rng.random() < 0.3:
            do.ssh(world, start + world.rng.uniform(0, 23) * HOUR, twins[0].name, "svc-sync", vm.address, minutes=0.2)


def _backups(world: World, start: datetime) -> None:
    """Every night the disks of a quarter of the machines hang at a proxy for some minutes."""
    proxies = [world.vms["infra-proxy01"], world.vms["infra-proxy02"]]
    alive = [vm for vm in world.vms.values() if vm.kind == "esxi" and world.calm(vm, start, start + 5 * HOUR) and vm.tenant != "infra"]
    for nth, vm in enumerate(alive[start.day % 4::4]):
        time, proxy = start + HOUR + do.seconds(100 * nth), proxies[nth % 2]
        do.event(world, time, "TaskEvent", "CORP\\svc-backup", "Task: Create virtual machine snapshot")
        do.hot_add(world, time + do.seconds(20), vm, proxy, "CORP\\svc-backup")
        do.hot_remove(world, time + do.seconds(80), vm, proxy, "CORP\\svc-backup")


def _scan(world: World, time: datetime) -> None:
    """The weekly scan with credentials: one machine logs in to all."""
    scanner = world.vms["infra-scanner01"]
    for nth, vm in enumerate([vm for vm in world.vms.values() if world.calm(vm, time, time + 3 * HOUR) and vm is not scanner]):
        do.ssh(world, time + do.seconds(15 * nth), vm.name, "scanner", scanner.address, minutes=0.5)


def _hosts(world: World, start: datetime) -> None:
    """What hosts write by themselves."""
    rng, esx = world.rng, [host for host in world.hosts.values() if host.kind == "esxi"]
    for time in spread(rng, f"{start:%Y-%m-%d}", 8 * len(esx)):
        name, number = rng.choice(esx).name, world.serial()
        login = f"opID=HB-{number:x} user=vpxuser] Event {number} : User vpxuser@{VCENTER} logged in as VMware-client/8.0.3"
        world.write(do.ESXI, rng.choice((
            esxi(time, name, "Hostd", f"info hostd[2099656] [Originator@6876 sub=Vimsvc.ha-eventmgr {login}"),
            esxi(time, name, "vmkernel", f"cpu{number % 32}:2098112)ScsiDeviceIO: 3047: Cmd(0x45d9{number % 65536:04x}) 0x1a, CmdSN "
                 f'0x{number:x} from world 0 to dev "naa.600508b1001c3d4a" failed H:0x0 D:0x2 P:0x0 Valid sense data: 0x5 0x24 0x0.', 182),
            esxi(time, name, "crond[2098000]", f"USER root pid {number} cmd /bin/hostd-probe.sh ++group=host/vim/vmvisor/sh", 78),
            esxi(time, name, "Fdm", f"info fdm[2100900] [Originator@6876 sub=Invt opID=SWI-{number:x}] "
                 "Datastore (/vmfs/volumes/ds01) is accessible"))))
    for host in esx[(start.day + 1) % 2::2]:  # a new log file begins with what its daemon is
        do.file_begun(world, start + rng.uniform(0, 24) * HOUR, host)
    for time in spread(rng, f"{start:%Y-%m-%d}", 3):
        vm = rng.choice([vm for vm in world.vms.values() if vm.kind == "esxi" and world.calm(vm, time, time + HOUR)])
        if world.where(vm.name, time) not in world.quiet:
            world.write(do.ESXI, audit_record(time, world.where(vm.name, time), "vm.guestrpc.denied", subject="vmx", object=vm.vmx,
                                              result="failure", reason="Permission denied", name="info-set", value="guestinfo.ip"))
    for kvm in (host for host in world.hosts.values() if host.kind == "kvm"):
        for time in spread(rng, f"{start:%Y-%m-%d}", 4):
            stamp = libvirtd(time, "info", "virObjectNew:256", f"OBJECT_NEW: obj=0x7f{world.serial():010x} classname=virDomainObj", 1290)[1]
            world.write(do.DAEMON, (time, f"<30>1 {time.isoformat(timespec='microseconds')} {kvm.name} libvirtd 1288 - -  {stamp}"))


def _cloud(world: World, start: datetime) -> None:
    for time in spread(world.rng, f"{start:%Y-%m-%d}", 40):
        do.called(world, time, world.rng.choice(("DescribeInstances", "DescribeSnapshots", "DescribeVolumes")), "ec2", "ci-deploy",
                  f"{OFFICE}240")
    for time in spread(world.rng, f"{start:%Y-%m-%d}", 4):
        do.assume_role(world, time, "ci-deploy", "deployer", f"{OFFICE}240", mfa=False)
