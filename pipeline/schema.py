"""The ECS fields we use: ONE table. Everything else about fields is generated from it.

Names, types and array-ness follow ECS 8.17; what ECS lacks lives in our own groups (`vm`, `hypervisor`, `tenant`) and in
one group per vendor (`vmware`, `libvirt`, `auditd`, `aws`). From the table come the Arrow and Spark schemas, the pydantic
models, the Elasticsearch component template and deploy/schema.md (shapes.py).
"""

from __future__ import annotations

from dataclasses import dataclass

ECS_VERSION = "8.17.0"


@dataclass(frozen=True)
class Column:
    """One leaf field: dotted name, ECS type, whether it holds many values, and what it means."""

    name: str
    type: str
    doc: str
    many: bool = False
    ecs: bool = True


_TABLE = """
@timestamp                      date      When the event happened, from the innermost time of the record.
message                         text      The message without its header.
tags                            keyword[] Marks of the pipeline: unparsed, time_missing, year_guessed, truncated.
ecs.version                     keyword   ECS version of the event.
event.id                        keyword   Hash of file identity and byte offset, or of topic, partition and offset.
event.fact_id                   keyword   What happened to what: the same in the records of several logs that tell one fact.
event.kind                      keyword   event or alert.
event.category                  keyword[] ECS category.
event.type                      keyword[] ECS type.
event.action                    keyword   What happened: the vendor's short documented id (VmPoweredOffEvent, vm.power.off).
event.code                      keyword   The id exactly as the record gives it (vim.event.EventEx, esx.audit.ssh.enabled).
event.outcome                   keyword   success, failure or unknown.
event.module                    keyword   Product family: vmware, libvirt, auditd, aws.
event.dataset                   keyword   module.stream, such as vmware.esxi.
event.provider                  keyword   The service that wrote the record.
event.reason                    keyword   Why it happened, in the record's words.
event.sequence                  long      The record's own sequence number.
event.severity                  long      The record's own numeric severity.
event.created                   date      The outer (collector or syslog) time where it differs from @timestamp.
event.start                     date      Start of what the record describes.
event.end                       date      End of what the record describes.
event.duration                  long      Duration in nanoseconds.
event.original                  keyword   The raw text, complete.
event.timezone                  keyword   Zone used for a time that carried none.
log.level                       keyword   Level as logged, lower case.
log.logger                      keyword   Component (sub= of VMware, Java class).
log.file.path                   keyword   Path of the file the record was read from.
log.offset                      long      Byte offset of the record's first line in the (decompressed, UTF-8) file.
log.origin.function             keyword   Function that logged.
log.origin.file.name            keyword   Source file that logged.
log.origin.file.line            long      Source line that logged.
log.syslog.priority             long      Syslog PRI.
log.syslog.facility.code        long      Syslog facility.
log.syslog.severity.code        long      Syslog severity.
log.syslog.appname              keyword   Syslog APP-NAME.
log.syslog.hostname             keyword   Host in the syslog header.
log.syslog.procid               keyword   Syslog PROCID.
log.syslog.msgid                keyword   Syslog MSGID.
host.name                       keyword   The host the record is about (the hypervisor).
host.hostname                   keyword   Host name as the host itself gives it.
host.id                         keyword   Host id (moref, machine id).
host.ip                         ip[]      Addresses of the host.
observer.vendor                 keyword   Vendor of the product that logged.
observer.product                keyword   Product that logged.
observer.version                keyword   Version of that product.
observer.name                   keyword   The relay or manager that logged for the host.
process.name                    keyword   Program.
process.pid                     long      Process id.
process.executable              keyword   Path of the program.
process.command_line            keyword   Command with arguments.
process.args                    keyword[] Arguments.
process.exit_code               long      Exit status.
process.title                   keyword   Process title.
process.working_directory       keyword   Working directory.
process.thread.id               long      Thread id.
process.thread.name             keyword   Thread name.
process.parent.pid              long      Parent process id.
process.parent.name             keyword   Parent program.
process.tty.name                keyword   Terminal.
user.name                       keyword   Who did it (canonical, without domain).
user.domain                     keyword   Domain or realm.
user.id                         keyword   User id.
user.email                      keyword   E-mail address.
user.roles                      keyword[] Roles.
user.effective.name             keyword   Whose rights were used.
user.effective.id               keyword   Id whose rights were used.
user.target.name                keyword   User acted upon.
user.target.id                  keyword   Id of the user acted upon.
user.target.domain              keyword   Domain of the user acted upon.
group.name                      keyword   Group.
group.id                        keyword   Group id.
source.address                  keyword   Where from, as logged.
source.ip                       ip        Where from.
source.port                     long      Source port.
source.domain                   keyword   Source host name.
source.mac                      keyword   Source MAC.
destination.address             keyword   Where to, as logged.
destination.ip                  ip        Where to.
destination.port                long      Destination port.
destination.domain              keyword   Destination host name.
destination.mac                 keyword   Destination MAC.
network.transport               keyword   tcp, udp, icmp.
network.protocol                keyword   Application protocol.
network.direction               keyword   inbound or outbound.
network.type                    keyword   ipv4 or ipv6.
network.vlan.id                 keyword   VLAN.
network.bytes                   long      Bytes.
file.path                       keyword   File acted upon.
file.name                       keyword   Its name.
file.target_path                keyword   Target of a link, rename or copy.
file.size                       long      Bytes.
service.name                    keyword   Service acted upon or logging.
session.id                      keyword   Session of the login.                                                                       custom
url.original                    keyword   URL as logged.
url.path                        keyword   URL path.
url.query                       keyword   URL query.
url.domain                      keyword   URL host.
http.request.method             keyword   Method.
http.response.status_code       long      Status.
http.response.bytes             long      Bytes answered.
http.version                    keyword   HTTP version.
user_agent.original             keyword   User agent.
error.code                      keyword   Error code.
error.message                   text      Error text.
error.stack_trace               keyword   Stack trace.
trace.id                        keyword   Correlation id of the request.
cloud.provider                  keyword   aws, azure, gcp.
cloud.account.id                keyword   Account.
cloud.region                    keyword   Region.
cloud.availability_zone         keyword   Zone.
cloud.instance.id               keyword   Instance (the first, where many).
cloud.instance.name             keyword   Instance name.
cloud.machine.type              keyword   Instance type.
cloud.service.name              keyword   Cloud service.
rule.id                         keyword   Firewall or policy rule named in the record.
rule.name                       keyword   Its name.
related.ip                      ip[]      Every address in the event.
related.user                    keyword[] Every user in the event.
related.hosts                   keyword[] Every host in the event.
vm.name                         keyword   Virtual machine.
vm.id                           keyword   Manager's id of the VM (moref, uuid, instance id).
vm.uuid                         keyword   BIOS or domain uuid.
vm.path                         keyword   Path of the .vmx or domain file.
vm.state                        keyword   State after the event.
vm.vmm                          keyword   kvm, qemu, lxc.
vm.device.type                  keyword   Kind of device changed (disk, net, hostdev, usb).
vm.device.name                  keyword   Device.
vm.disk.path                    keyword   Disk attached or changed.
vm.disk.old_path                keyword   Disk before.
vm.network.name                 keyword   Network or port group of an adapter.
vm.network.mac                  keyword   MAC of an adapter.
vm.snapshot.name                keyword   Snapshot.
vm.source.name                  keyword   VM that was the source of a clone.
vm.config.key                   keyword   Configuration key changed.
vm.config.value                 keyword   Its new value.
vm.target.host                  keyword   Host migrated to.
vm.vcpus                        long      Virtual processors.
vm.memory_mib                   long      Memory in MiB.
hypervisor.type                 keyword   esxi, kvm, hyperv, xen, aws.
hypervisor.version              keyword   Version.
hypervisor.origin               keyword   What tells the records of hosts apart: host.name, or the file of a log that names no host.
hypervisor.cluster              keyword   Cluster.
hypervisor.datacenter           keyword   Data centre.
hypervisor.datastore            keyword   Datastore or pool.
hypervisor.switch.name          keyword   Virtual switch.
hypervisor.portgroup.name       keyword   Port group.
hypervisor.setting.name         keyword   Host setting changed.
hypervisor.setting.value        keyword   New value.
hypervisor.setting.old_value    keyword   Value before.
tenant.id                       keyword   Tenant.
tenant.name                     keyword   Tenant name.
vmware.op_id                    keyword   opID, joins vCenter and host records.
vmware.session_id               keyword   sid.
vmware.world_id                 keyword   World of a vmkernel record.
vmware.cpu                      keyword   Physical CPU of a vmkernel record.
vmware.event_key                keyword   Event number (Event N, Event [N]).
vmware.chain_id                 keyword   Chain: task and its sub-events.
vmware.event_type_id            keyword   eventTypeId of an EventEx.
vmware.correlator               keyword   vobd correlator.
vmware.subject                  keyword   subject= of an ESX audit record.
vmware.object                   keyword   object= of an ESX audit record, or the entity of a task.
vmware.result                   keyword   result= of an ESX audit record.
vmware.type                     keyword   type= of an ESX audit record, or a ticket type.
vmware.name                     keyword   name= of an ESX audit record.
vmware.value                    keyword   value= of an ESX audit record.
vmware.comment                  keyword   comment= of an ESX audit record.
vmware.task                     keyword   Method or task (vim.VirtualMachine.powerOff).
vmware.lro                      keyword   Long running operation.
vmware.privilege                keyword   Privilege asked for.
vmware.role                     keyword   Role.
vmware.propagate                keyword   Whether a permission propagates.
vmware.config_changes           keyword   The change list of a reconfigure event, as text.
vmware.guest_operation          keyword   Guest operation.
vmware.vib                      keyword   VIB or image profile.
vmware.acceptance_level         keyword   Acceptance level.
libvirt.taint                   keyword   Taint reason.
libvirt.domain_id               keyword   Domain id.
libvirt.operation               keyword   Operation, API call or monitor command.
auditd.record_types             keyword[] Record types of the event.
auditd.sequence                 long      Serial of the audit event.
auditd.session                  keyword   Session.
auditd.user.audit.id            keyword   Login uid (auid).
auditd.user.audit.name          keyword   Its name.
auditd.key                      keyword[] Rule keys.
auditd.op                       keyword   op=.
auditd.result                   keyword   res= or success=.
auditd.syscall                  keyword   System call (number or name).
auditd.arch                     keyword   Architecture.
auditd.exit                     keyword   Exit of the system call.
auditd.subject                  keyword   Subject context.
auditd.virt                     keyword   virt= (kvm, lxc).
auditd.resource                 keyword   resrc=.
auditd.reason                   keyword   reason=.
auditd.class                    keyword   class= of a cgroup record.
auditd.acl                      keyword   acl= of a cgroup record.
auditd.paths                    keyword[] Names of all PATH records.
auditd.avc.denied               keyword[] Permissions of an AVC.
auditd.avc.scontext             keyword   Source context.
auditd.avc.tcontext             keyword   Target context.
auditd.avc.tclass               keyword   Target class.
auditd.avc.permissive           keyword   permissive=.
auditd.sig                      keyword   Signal of an ANOM_ABEND.
auditd.setting                  keyword   Audit setting changed (audit_enabled).
auditd.old                      keyword   Its old value.
auditd.new                      keyword   Its new value.
auditd.device                   keyword   Device (ANOM_PROMISCUOUS dev=, VIRT_RESOURCE device=).
auditd.promiscuous              keyword   prom= after the change.
aws.cloudtrail.event_version    keyword   eventVersion.
aws.cloudtrail.event_type       keyword   eventType.
aws.cloudtrail.event_category   keyword   eventCategory.
aws.cloudtrail.read_only        boolean   readOnly.
aws.cloudtrail.management_event boolean   managementEvent.
aws.cloudtrail.user_identity.type          keyword userIdentity.type.
aws.cloudtrail.user_identity.arn           keyword userIdentity.arn.
aws.cloudtrail.user_identity.access_key_id keyword userIdentity.accessKeyId.
aws.cloudtrail.user_identity.invoked_by    keyword userIdentity.invokedBy.
aws.cloudtrail.user_identity.issuer_arn    keyword sessionIssuer.arn.
aws.cloudtrail.user_identity.mfa_authenticated keyword sessionContext.attributes.mfaAuthenticated.
aws.cloudtrail.mfa_used         keyword   additionalEventData.MFAUsed.
aws.cloudtrail.request_parameters keyword requestParameters as compact JSON.
aws.cloudtrail.response_elements keyword  responseElements as compact JSON.
aws.cloudtrail.additional_event_data keyword additionalEventData as compact JSON.
aws.cloudtrail.resource_arns    keyword[] ARNs of resources.
aws.cloudtrail.instance_ids     keyword[] Every instance of the request or response.
aws.cloudtrail.snapshot_id      keyword   Snapshot acted upon.
aws.cloudtrail.image_id         keyword   Image acted upon.
aws.cloudtrail.shared_with      keyword[] Accounts or groups given access.
"""

_OURS = ("vm", "hypervisor", "tenant", "vmware", "libvirt", "auditd", "aws", "session", "event.fact_id")


def _read_table(text: str) -> tuple[Column, ...]:
    rows = []
    for line in text.strip().splitlines():
        name, kind, doc = line.split(None, 2)
        ours = name in _OURS or name.split(".")[0] in _OURS
        rows.append(Column(name, kind.removesuffix("[]"), doc.strip(), kind.endswith("[]"), not ours))
    return tuple(rows)


COLUMNS: tuple[Column, ...] = _read_table(_TABLE)
BY_NAME: dict[str, Column] = {c.name: c for c in COLUMNS}
