"""What people, services and hypervisors do, each as the lines that every source involved writes of it."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from .lines import audit, audit_record, cloudtrail, esxi, execve, shell, sshd, sso, vcenter_event, virt_control, virt_disk, vobd
from .parts import VCENTER, Case, Host, Move, Vm
from .world import World

VC, ESXI, AUDIT, AUTH, GUESTS, DAEMON, CLOUD = (
    "vcenter.log", "esxi.log", "kvm-audit.log", "kvm-auth.log", "guests-auth.log", "kvm-libvirtd.log", "cloudtrail.ndjson")
FILES = (VC, ESXI, AUDIT, AUTH, GUESTS, DAEMON, CLOUD)
BROWSER = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/136.0.0.0"
NEXT_BROWSER = BROWSER.replace("136", "137")
ACCOUNT = "111122223333"
MALWARE = "Unknown content can cause malware attacks similar to Ransomware."


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def event(world: World, time: datetime, kind: str, user: str, text: str, case: Case | None = None, level: str = "info",
          datacenter: str = "DC1") -> None:
    world.write(VC, vcenter_event(time, 500_000 + world.serial(), kind, user, text, datacenter, level), case=case)


# --- people come in -----------------------------------------------------------------------------------------------------------------


def vcenter_login(world: World, time: datetime, name: str, ip: str, agent: str = BROWSER, case: Case | None = None, domain: str = "CORP",
                  minutes: float = 30) -> None:
    """A sign-in at SSO and the session that vCenter opens for it, and its end."""
    user = f"{domain}\\{name}"
    mail = f"{name}@{'corp.example.org' if domain == 'CORP' else domain.lower()}"
    world.write(VC, sso(time, "LoginSuccess", mail, ip, f"User {mail}@{ip} logged in with response code 200"), case=case)
    event(world, time + seconds(1), "UserLoginSessionEvent", user, f"User {user}@{ip} logged in as {agent}", case, datacenter="")
    event(world, time + seconds(60 * minutes), "UserLogoutSessionEvent", user,
          f"User {user}@{ip} logged out (login time: {time:%A, %d %B, %Y %I:%M:%S %p}, number of API invocations: 40, user agent: {agent})",
          None, datacenter="")


def vcenter_refused(world: World, time: datetime, name: str, ip: str, case: Case | None = None) -> None:
    mail = f"{name}@corp.example.org"
    world.write(VC, sso(time, "LoginFailure", mail, ip, f"User {mail}@{ip} failed to log in with response code 401"), case=case)


def ssh(world: World, time: datetime, machine: str, user: str, ip: str, case: Case | None = None, method: str = "publickey",
        minutes: float = 10) -> None:
    """A login to a guest or a KVM host by SSH, and its end."""
    file = AUTH if machine in world.hosts else GUESTS
    port, pid = 30000 + world.serial() % 30000, 10000 + world.serial() % 20000
    key = ": ED25519 SHA256:exampleexampleexampleexample" if method == "publickey" else ""
    world.write(file, sshd(time, machine, f"Accepted {method} for {user} from {ip} port {port} ssh2{key}", pid), case=case)
    world.write(file, sshd(time + seconds(60 * minutes), machine, f"Disconnected from user {user} {ip} port {port}", pid))


def ssh_refused(world: World, time: datetime, machine: str, user: str, ip: str, case: Case | None = None) -> None:
    file = AUTH if machine in world.hosts else GUESTS
    world.write(file, sshd(time, machine, f"Failed password for {user} from {ip} port {30000 + world.serial() % 30000} ssh2"), case=case)


def esxi_ssh(world: World, time: datetime, host: str, user: str, ip: str, case: Case | None = None) -> None:
    """A login to an ESXi host by SSH: three records tell it."""
    port = 40000 + world.serial() % 20000
    world.write(ESXI,
                esxi(time, host, f"sshd[{2_100_000 + world.serial() % 9000}]",
                     f"Accepted keyboard-interactive/pam for {user} from {ip} port {port} ssh2", 38),
                vobd(time + seconds(0.2), host, "esx.audit.ssh.session.opened", f"SSH session was opened for '{user}@{ip}'."), case=case)


def esxi_client(world: World, time: datetime, host: str, user: str, ip: str, agent: str = BROWSER, case: Case | None = None) -> None:
    """A login to an ESXi host past vCenter, with the Host Client or the API."""
    number = world.serial()
    world.write(ESXI, esxi(time, host, "Hostd", f"info hostd[2099656] [Originator@6876 sub=Vimsvc.ha-eventmgr opID=esxui-{number:04x}-11 "
                           f"user={user}] Event {number} : User {user}@{ip} logged in as {agent}"), case=case)


def session_used(world: World, time: datetime, host: str, user: str, ip: str, token: str, case: Case | None = None) -> None:
    """A session of an ESXi host is used from an address."""
    world.write(ESXI, audit_record(time, host, "vim.connect", subject=user, object="hostd", result="success", ip=ip, uniqueID=token,
                                   opID=f"esxui-{world.serial():x}"), case=case)


def command(world: World, time: datetime, host: str, text: str, user: str = "root", case: Case | None = None) -> None:
    """A command in the shell of an ESXi host."""
    world.write(ESXI, shell(time, host, user, text), case=case)


def vob(world: World, time: datetime, host: str, name: str, text: str, case: Case | None = None) -> None:
    world.write(ESXI, vobd(time, host, name, text), case=case)


def records(world: World, time: datetime, host: str, *texts: str, case: Case | None = None) -> None:
    """Records of one audit event of a KVM host; `{stamp}` in each."""
    world.write(AUDIT, audit(time, world.serial(), *texts, node=host), case=case)


def run(world: World, time: datetime, host: str, auid: int, *argv: str, exe: str | None = None, key: str = "root_commands",
        case: Case | None = None) -> None:
    """A command on a KVM host, as the audit rules see it."""
    world.write(AUDIT, execve(time, world.serial(), auid, *argv, exe=exe or f"/usr/bin/{argv[0]}", key=key, node=host), case=case)


def kernel(world: World, time: datetime, host: str, text: str, case: Case | None = None) -> None:
    """A line of the kernel of a KVM host."""
    world.write(AUTH, (time, f"<4>1 {time.isoformat(timespec='microseconds')} {host} kernel - - -  {text}"), case=case)


def connected(world: World, time: datetime, machine: str, address: str, port: int, program: str, case: Case | None = None) -> None:
    """A program of a machine whose audit rules watch connections reaches for a port of another one."""
    who = "auid=1000 uid=1000 gid=1000 euid=1000 suid=1000 fsuid=1000 egid=1000 sgid=1000 fsgid=1000 tty=pts0 ses=64"
    where = "".join(f"{int(part):02X}" for part in address.split("."))
    records(world, time, machine, "type=SYSCALL msg={stamp}: arch=c000003e syscall=42 success=yes exit=0 a0=3 a1=55d0 a2=10 a3=0 items=0 "
            f'ppid=6234 pid=6235 {who} comm="{program}" exe="/usr/bin/{program}" key="net_connect"\x1dARCH=x86_64 SYSCALL=connect '
            'AUID="svc-app" UID="svc-app"', f"type=SOCKADDR msg={{stamp}}: saddr=0200{port:04X}{where}0000000000000000\x1dSADDR={{ "
            f"saddr_fam=inet laddr={address} lport={port} }}", case=case)


def told(world: World, time: datetime, host: str, subject: str, text: str, case: Case | None = None) -> None:
    """What vCenter says of a host, as its event broker delivers it."""
    stamp = f"{time:%Y-%m-%dT%H:%M:%S}.000Z"
    body = {"id": f"{world.serial()}", "source": "https://vcsa01/sdk", "specversion": "1.0", "type": "com.vmware.event.router/eventex",
            "subject": subject, "time": stamp, "data": {
                "Key": 9902, "ChainId": 9902, "CreatedTime": stamp, "UserName": "", "Datacenter": {"Name": "DC1"},
                "Host": {"Name": host, "Host": {"Type": "HostSystem", "Value": "host-99"}}, "FullFormattedMessage": text,
                "EventTypeId": subject}}
    world.write(VC, (time, json.dumps(body, separators=(",", ":"))), case=case)


def booted(world: World, time: datetime, host: Host) -> None:
    """An ESXi host starts."""
    vob(world, time, host.name, "esx.audit.host.boot", "Host has booted.")
    file_begun(world, time + seconds(20), host, time)


def file_begun(world: World, time: datetime, host: Host, started: datetime | None = None) -> None:
    """The head of a log file of the host's agent: what it is, and since when it runs."""
    version, build = host.build.split()
    since = started or world.start
    world.write(ESXI, esxi(time, host.name, "Hostd", f"- time the service was last started {since:%Y-%m-%dT%H:%M:%S}.000Z, Section for "
                           f"VMware ESX, pid=2099656, version={version}, build={build}, option=Release"))


# --- what is done to machines ---------------------------------------------------------------------------------------------------


def guest_operation(world: World, time: datetime, vm: Vm, user: str, what: str = "Start Program", case: Case | None = None) -> None:
    """A command in a guest, through VMware Tools: vCenter tells it."""
    event(world, time, "EventEx", user, f"Guest operation {what} performed on Virtual machine {vm.name}.", case)


def host_guest_operation(world: World, time: datetime, vm: Vm, user: str, what: str = "Start Program", case: Case | None = None) -> None:
    """The same past vCenter: its host tells it."""
    number = world.serial()
    world.write(ESXI, esxi(time, world.where(vm.name, time), "Hostd", "info hostd[2099656] [Originator@6876 sub=Vimsvc.ha-eventmgr "
                           f"opID=esxui-{number:04x}-39 user={user}] Event {number} : Guest operation {what} performed on Virtual machine "
                           f"{vm.name}."), case=case)


def console(world: World, time: datetime, vm: Vm, user: str, case: Case | None = None) -> None:
    host = world.hosts[world.where(vm.name, time)]
    text = f"A ticket for {vm.name} of type webmks on {host.fqdn} in DC1 has been acquired"
    event(world, time, "VmAcquiredTicketEvent", user, text, case)


def hot_add(world: World, time: datetime, disk: Vm, to: Vm, user: str, case: Case | None = None) -> None:
    """A disk of one machine is attached to another."""
    host = world.where(to.name, time)
    if to.kind == "kvm":
        world.write(AUDIT, virt_disk(time, world.serial(), to.name, to.uuid, disk.disk, "attach", node=host), case=case)
        return
    backing = f'(key = 2001, backing = (fileName = "ds://{disk.disk}", diskMode = "independent_nonpersistent"))'
    event(world, time, "VmReconfiguredEvent", user, f"Reconfigured {to.name} on {world.hosts[host].fqdn} in DC1.  Modified:   Added: "
          f"config.hardware.device(2001): {backing}; Deleted: ", case)
    world.write(ESXI, audit_record(time + seconds(1), host, "vm.storage.add", subject="vpxuser", object=to.vmx, result="success",
                                   ip=VCENTER, path=disk.disk, opID=f"lro-{world.serial():x}"), case=case)


def hot_remove(world: World, time: datetime, disk: Vm, of: Vm, user: str, case: Case | None = None) -> None:
    host = world.where(of.name, time)
    if of.kind == "kvm":
        world.write(AUDIT, virt_disk(time, world.serial(), of.name, of.uuid, "?", "detach", disk.disk, node=host), case=case)
        return
    backing = f'(key = 2001, backing = (fileName = "ds://{disk.disk}"))'
    event(world, time, "VmReconfiguredEvent", user, f"Reconfigured {of.name} on {world.hosts[host].fqdn} in DC1.  Modified:   Added:  "
          f"Deleted: config.hardware.device(2001): {backing};", case)


def power(world: World, time: datetime, vm: Vm, on: bool, user: str, case: Case | None = None) -> None:
    """A machine is switched on or off where it is."""
    host = world.where(vm.name, time)
    if vm.kind == "kvm":
        reason = ("start", "booted") if on else ("stop", "shutdown")
        if on:
            world.write(AUDIT, virt_disk(time - seconds(0.2), world.serial(), vm.name, vm.uuid, vm.disk, node=host), case=case)
        world.write(AUDIT, virt_control(time, world.serial(), vm.name, vm.uuid, *reason, node=host), case=case)
        return
    word = "on" if on else "off"
    event(world, time, "VmPoweredOnEvent" if on else "VmPoweredOffEvent", user,
          f"{vm.name} on {world.hosts[host].fqdn} in DC1 is powered {word}", case)
    world.write(ESXI, audit_record(time - seconds(0.5), host, f"vm.power.{word}", subject="vpxuser", object=vm.vmx, result="success",
                                   opID=f"lro-{world.serial():x}"), case=case)


def moved(world: World, move: Move, case: Case | None = None) -> None:
    """The lines of a move that the world knows."""
    vm, came = world.vms[move.vm], world.before(move.vm, move.time)
    clusters = {world.hosts[host].cluster for host in (came, move.to) if host in world.hosts}
    if any(cluster in clusters and since <= move.time <= until for cluster, since, until in world.deaf):
        return
    if vm.kind == "kvm":
        _moved_kvm(world, move, vm, came, case)
        return
    old = world.hosts[came].fqdn if came else ""
    new = world.hosts[move.to].fqdn if move.to else ""
    cluster = world.hosts[move.to].cluster if move.to else ""
    if move.how == "drs" and came != move.to:
        event(world, move.time, "DrsVmMigratedEvent", "", f"DRS migrated {vm.name} from {old} to {new} in cluster {cluster} in DC1", case)
    elif move.how == "manual" and came != move.to:
        store = vm.vmx.split("/")[3]
        event(world, move.time - seconds(40), "VmBeingHotMigratedEvent", move.user,
              f"Migrating {vm.name} from {old}, {store} to {new}, {store} in DC1", case)
        event(world, move.time, "VmMigratedEvent", move.user,
              f"Migration of virtual machine {vm.name} from {old}, {store} to {new}, {store} completed", case)
    elif move.how == "ha":
        event(world, move.time, "EventEx", "", f"vSphere HA restarted virtual machine {vm.name} on host {new} in cluster {cluster}", case)
        event(world, move.time + seconds(5), "VmPoweredOnEvent", "", f"{vm.name} on {new} in DC1 is powered on", case)
    elif move.how == "deploy":
        event(world, move.time, "VmBeingDeployedEvent", move.user, f"Deploying {vm.name} on host {new} in DC1 from template tpl01", case)
        event(world, move.time + seconds(90), "VmPoweredOnEvent", move.user, f"{vm.name} on {new} in DC1 is powered on", case)
    elif move.how == "remove":
        event(world, move.time - seconds(60), "VmPoweredOffEvent", move.user, f"{vm.name} on {old} in DC1 is powered off", case)
        event(world, move.time, "VmRemovedEvent", move.user, f"Removed {vm.name} on {old} from DC1", case)


def _moved_kvm(world: World, move: Move, vm: Vm, came: str | None, case: Case | None) -> None:
    if move.how == "live" and came and came != move.to:
        world.write(AUDIT, virt_control(move.time, world.serial(), vm.name, vm.uuid, "start", "migrated", node=str(move.to)), case=case)
        world.write(AUDIT, virt_control(move.time + seconds(1), world.serial(), vm.name, vm.uuid, "stop", "migrated", node=came), case=case)
    elif move.how == "deploy":
        world.write(AUDIT, virt_control(move.time, world.serial(), vm.name, vm.uuid, "start", "booted", node=str(move.to)), case=case)
    elif move.how == "remove" and came:
        world.write(AUDIT, virt_control(move.time, world.serial(), vm.name, vm.uuid, "stop", "shutdown", node=came), case=case)


# --- the cloud --------------------------------------------------------------------------------------------------------------------


def console_login(world: World, time: datetime, user: str, ip: str, mfa: bool = True, agent: str = BROWSER,
                  case: Case | None = None) -> None:
    world.write(CLOUD, cloudtrail(
        time, "ConsoleLogin", "signin", user, ip, userAgent=agent, responseElements={"ConsoleLogin": "Success"},
        eventType="AwsConsoleSignIn", userIdentity={"type": "IAMUser", "principalId": f"AIDAEXAMPLE{user.upper()}", "accountId": ACCOUNT,
                                                    "arn": f"arn:aws:iam::{ACCOUNT}:user/{user}", "userName": user},
        additionalEventData={"LoginTo": "https://console.aws.amazon.com/console/home", "MobileVersion": "No",
                             "MFAUsed": "Yes" if mfa else "No"}), case=case)


def assume_role(world: World, time: datetime, user: str, role: str, ip: str, mfa: bool = True, agent: str = "aws-cli/2.15.0",
                case: Case | None = None) -> None:
    world.write(CLOUD, cloudtrail(
        time, "AssumeRole", "sts", user, ip, userAgent=agent,
        userIdentity={"type": "IAMUser", "principalId": f"AIDAEXAMPLE{user.upper()}", "accountId": ACCOUNT,
                      "arn": f"arn:aws:iam::{ACCOUNT}:user/{user}", "accessKeyId": "AKIAIOSFODNN7EXAMPLE", "userName": user,
                      "sessionContext": {"attributes": {"mfaAuthenticated": str(mfa).lower()}}},
        requestParameters={"roleArn": f"arn:aws:iam::{ACCOUNT}:role/{role}", "roleSessionName": user},
        resources=[{"accountId": ACCOUNT, "type": "AWS::IAM::Role", "ARN": f"arn:aws:iam::{ACCOUNT}:role/{role}"}],
        responseElements={"assumedRoleUser": {"arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{user}"}}), case=case)


def called(world: World, time: datetime, name: str, service: str, user: str, ip: str, case: Case | None = None, **more: Any) -> None:
    world.write(CLOUD, cloudtrail(time, name, service, user, ip, read_only=name.startswith(("Describe", "Get", "List")), **more), case=case)

