"""`hypervigil new parser|rule`: a scaffold that passes `check` and `test` at once, to be edited from there."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import orjson

from . import content
from .errors import ContentError
from .kernel.engine import Engine
from .kernel.spec import load_parser
from .proofs import WRITTEN, events_of
from .sigma.metadata import Threat

_PARSER = """\
id: {name}
title: {title}
dataset: {dataset}
logsource: {{product: {product}, service: {service}}}
enable: |
  Say here what must be switched on at the vendor's side, with the commands.
set: {{event.module: {product}, observer.vendor: {product}, observer.product: {service}}}
detect:
  - {{pattern: '{service}d\\[\\d+\\]: ', weight: 5}}
headers: [rfc5424, bsd, iso]
stages:
  - name: messages
    dispatch: process.name
    forms:
      - id: login
        programs: [{service}d]
        pattern: '^login of %{{USER:user.name}} from %{{IP:source.ip}} (?:%{{WORD:event.outcome}})$'
        example: 'login of alice from 192.0.2.10 success'
        set: {{event.action: host-login, event.category: [authentication], event.type: [start]}}
"""
_SAMPLE = """\
<38>1 2026-03-01T10:00:00.123Z host01 {service}d 4711 - - login of alice from 192.0.2.10 success
Mar  1 10:00:05 host01 {service}d[4711]: login of mallory from 192.0.2.66 failure
"""
_RULE = """\
title: {title}
id: {id}
status: test
description: Say here what an attacker does, and what of it the record shows.
references:
  - ESX audit event reference, event account.create
author: {author}
date: {date}
tags:
  - attack.persistence
  - attack.t1136.001
logsource:
  product: vmware
  service: esxi
detection:
  selection:
    event.action: account.create
    user.name: {name}
  condition: selection
falsepositives:
  - Accounts that an administrator makes on purpose
level: low
custom:
  threat: {threat}
  evidence:
    - kind: documented
      source: vendor_reference/esx_9_0_audit_events.csv
      value: account.create
  blind_spots: Hosts whose audit records are not forwarded.
  response:
    - "List the local accounts: esxcli system account list"
  attack_v18: [T1136.001]
  explain: "{{user.name}} made a local account on {{host.name}}"
"""
_CASES = """\
cases:
  - name: fires on the account of the scaffold
    parser: vmware-esxi
    raw: |
      <110>2026-03-01T10:00:00.123Z esx01 Hostd[2099]: [account.create@6876 subject="{name}" object="newuser" result="success"]
    fires: true
  - name: silent for another subject
    parser: vmware-esxi
    raw: |
      <110>2026-03-01T10:00:00.123Z esx01 Hostd[2099]: [account.create@6876 subject="someone-else" object="newuser" result="success"]
    fires: false
"""


def new_parser(name: str, into: Path | None = None) -> list[Path]:
    """Make parsers/<name>/ with parser.yml, a sample and its expected events. Raises ContentError when the name is bad or taken."""
    if not re.fullmatch(r"[a-z0-9]+(?:-[a-z0-9]+)+", name):
        raise ContentError(f"{name!r} is no parser id", hint="vendor-product, lower case, such as acme-hypervisor")
    folder = (into or content.folder("parsers")) / name
    product, service = name.split("-", 1)
    parser, sample = folder / "parser.yml", folder / "samples" / "login.log"
    _write(
        parser,
        _PARSER.format(
            name=name,
            title=name.replace("-", " ").title(),
            dataset=f"{product}.{service.replace('-', '_')}",
            product=product,
            service=service,
        ),
    )
    _write(sample, _SAMPLE.format(service=service))
    events = events_of(Engine({name: load_parser(parser)}).process_bytes(sample.read_bytes(), WRITTEN, sample.name, name))
    expected = sample.with_name("login.expected.json")
    _write(expected, orjson.dumps(events, option=orjson.OPT_INDENT_2).decode() + "\n")
    return [parser, sample, expected]


def new_rule(name: str, threat: str, into: Path | None = None) -> list[Path]:
    """Make detections/<threat>/<name>.yml and its cases. Raises ContentError when the name is bad or taken, or the threat unknown."""
    if not re.fullmatch(r"[a-z0-9]+(?:_[a-z0-9]+)*", name):
        raise ContentError(f"{name!r} is no rule name", hint="lower-case words joined by underscores, such as esxi_vib_forced")
    base = into or content.folder("detections")
    threats = sorted(get_args(Threat))
    if threat not in threats:
        raise ContentError(f"unknown threat {threat!r}", hint="one of: " + ", ".join(threats))
    rule, cases = base / threat / f"{name}.yml", base / threat / f"{name}.cases.yaml"
    _write(
        rule,
        _RULE.format(
            title=name.replace("_", " ").capitalize(),
            id=uuid.uuid4(),
            author="Hypervigil",
            date=datetime.now(UTC).date(),
            threat=threat,
            name=name,
        ),
    )
    _write(cases, _CASES.format(name=name))
    return [rule, cases]


def _write(path: Path, text: str) -> None:
    if path.exists():
        raise ContentError("exists already", path, hint="choose another name")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
