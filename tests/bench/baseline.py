"""What a competent user writes by hand for one source: Python's `re`, dictionaries and orjson, one line at a time.

It knows the header, the envelope of VMware's daemons and the twelve message forms that make up most of a host's log, and gives
nested ECS events as NDJSON. Neither crippled nor tuned beyond what such a script gets: patterns are compiled once and tried only
for their own program, most frequent first.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import orjson

HEADER = re.compile(r"<(\d+)>(\S+) (\S+) ([^\s\[:]+)(?:\[(\d+)\])?: +(.*)", re.DOTALL)
ENVELOPE = re.compile(r"(\w+) \w+\[(\w+)\] \[Originator@\d+ sub=([^\s\]]+(?: Req \d+)?)"
                      r"(?: opID=([^\s\]]+))?(?: user=([^\]]+))?[^\]]*\] (.*)", re.DOTALL)
WORLD = re.compile(r"cpu(\d+):(\d+)(?: opID=(\w+))?\)(.*)", re.DOTALL)


@dataclass(frozen=True)
class Form:
    """One message form; the names of its groups are ECS fields with `__` for the dot."""

    pattern: re.Pattern[str]
    action: str
    category: str
    type: str
    outcome: str | None = None
    paths: tuple[tuple[str, tuple[str, ...]], ...] = ()


def form(pattern: str, action: str, category: str, type_: str, outcome: str | None = None) -> Form:
    """A form with its field paths worked out once."""
    compiled = re.compile(pattern)
    return Form(compiled, action, category, type_, outcome, tuple((name, tuple(name.split("__"))) for name in compiled.groupindex))


HOSTD = (
    form(r"Task Created : haTask-(?P<vm__id>\d+)-(?P<vmware__task>\S+)", "task-created", "configuration", "change"),
    form(r"Task Completed : haTask-(?P<vm__id>\d+)-(?P<vmware__task>\S+) Status (?P<event__reason>\w+)",
         "task-completed", "configuration", "change"),
    form(r"State Transition \((?P<vmware__old_state>\w+) -> (?P<vmware__new_state>\w+)\)", "state-transition", "host", "change"),
    form(r"Event (?P<event__sequence>\d+) : User (?P<user__name>\S+)@(?P<source__ip>\S+) logged in as (?P<user_agent__original>.+)",
         "UserLoginSessionEvent", "authentication", "start", "success"),
    form(r"Event (?P<event__sequence>\d+) : User (?P<user__name>\S+)@(?P<source__ip>\S+) logged out \(login time: "
         r"(?P<vmware__login_time>.+?), number of API invocations: (?P<vmware__api_calls>\d+), user agent: (?P<user_agent__original>.+)\)",
         "UserLogoutSessionEvent", "authentication", "end"),
)
VPXA = (
    form(r"RecordOp ASSIGN: (?P<vmware__property>\S+), (?P<vm__id>\w+)\. Sent notification immediately",
         "property-changed", "host", "info"),
    form(r"\[VpxLRO\] -- BEGIN (?P<vmware__lro>\S+) -- (?P<vmware__target>\S+) -- (?P<vmware__method>\S+) -- (?P<vmware__session_id>\S+)",
         "lro-begin", "host", "info"),
    form(r"\[VpxLRO\] -- FINISH (?P<vmware__lro>\S+)", "lro-finish", "host", "info"),
)
PROXY = (
    form(r"New proxy client <SSL\(<io_obj p:(?P<vmware__object>\w+), h:\d+, <TCP '(?P<destination__ip>\S+) : (?P<destination__port>\d+)'>, "
         r"<TCP '(?P<source__ip>\S+) : (?P<source__port>\d+)'>>\)>", "proxy-client", "network", "connection"),
)
VMKERNEL = (
    form(r'ScsiDeviceIO: \d+: Cmd\(\w+\) (?P<vmware__scsi__command>\w+), CmdSN \w+ from world (?P<vmware__scsi__world>\d+) to dev '
         r'"(?P<vmware__device>[^"]+)" failed (?P<error__message>.+)', "scsi-command-failed", "host", "error"),
)
VOBD = (
    form(r"\[(?P<vmware__correlator>\w+)\] (?P<vmware__uptime>\d+)us: \[(?P<event__code>[\w.]+)\] (?P<event__reason>.+)",
         "vob", "host", "info"),
)
SSHD = (
    form(r"Accepted (?P<vmware__method>\S+) for (?P<user__name>\S+) from (?P<source__ip>\S+) port (?P<source__port>\d+)",
         "ssh-login", "authentication", "start", "success"),
)
FORMS: dict[str, tuple[Form, ...]] = {"hostd": HOSTD, "vpxa": VPXA, "rhttpproxy": PROXY, "vmkernel": VMKERNEL, "vobd": VOBD, "sshd": SSHD}
NUMBERS = {"port", "sequence"}


def envelope(event: dict[str, Any], message: str) -> str:
    """The message inside VMware's own envelopes, whose fields go into the event."""
    if found := ENVELOPE.match(message):
        level, pid, logger, op_id, user, message = found.groups()
        event["log"].update(level=level, logger=logger)
        event["process"]["pid"] = int(pid) if pid.isdigit() else None
        if op_id:
            event["vmware"] = {"op_id": op_id}
        if user:
            event["user"] = {"name": user.rpartition("\\")[2]}
    elif found := WORLD.match(message):
        event["vmware"] = {"cpu": int(found[1]), "world_id": int(found[2])}
        message = found[4]
    return message


def parse_line(line: str, path: str, offset: int) -> dict[str, Any]:
    """One event as nested ECS."""
    event: dict[str, Any] = {
        "event": {"id": hashlib.blake2b(f"{path}:{offset}".encode(), digest_size=12).hexdigest(), "original": line, "kind": "event",
                  "module": "vmware", "dataset": "vmware.esxi"},
        "log": {"offset": offset, "file": {"path": path}}}
    header = HEADER.match(line)
    if header is None:
        return event | {"message": line, "tags": ["unparsed"]}
    priority, stamp, host, program, process, message = header.groups()
    event["@timestamp"] = datetime.fromisoformat(stamp)
    event["log"]["syslog"] = {"priority": int(priority), "facility": {"code": int(priority) >> 3}, "severity": {"code": int(priority) & 7}}
    event["host"] = {"name": host}
    event["process"] = {"name": program.lower(), "pid": int(process) if process else None}
    message = event["message"] = envelope(event, message)
    for candidate in FORMS.get(program.lower(), ()):
        if found := candidate.pattern.match(message):
            fill(event, candidate, found)
            return event
    event["tags"] = ["unparsed"]
    return event


def fill(event: dict[str, Any], matched: Form, found: re.Match[str]) -> None:
    """The fields of a form into the event."""
    for name, (*parents, leaf) in matched.paths:
        value = found[name]
        node = event
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = int(value) if leaf in NUMBERS else value
    event["event"].update(action=matched.action, category=[matched.category], type=[matched.type])
    if matched.outcome:
        event["event"]["outcome"] = matched.outcome


def lines(file: BinaryIO) -> Iterator[tuple[int, str]]:
    """Every line with its byte offset."""
    offset = 0
    for raw in file:
        yield offset, raw.rstrip(b"\n").decode("utf-8", "replace")
        offset += len(raw)


def run(path: Path, write: Callable[[bytes], object]) -> int:
    """A whole file to NDJSON, given to `write` line by line. Returns how many events a form recognised."""
    recognised = 0
    with path.open("rb") as file:
        for offset, line in lines(file):
            event = parse_line(line, str(path), offset)
            recognised += "tags" not in event
            write(orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z))
    return recognised
