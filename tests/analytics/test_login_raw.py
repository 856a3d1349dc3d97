"""The login baseline from raw lines of vCenter, ESXi, KVM hosts and CloudTrail, with its document: what must be told, and silence."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from pipeline.analytics.documents import check_jobs
from pipeline.context.columns import PLACEMENT
from pipeline.context.policies import Policies
from tests.analytics.raw import catalogue, found

VC, ESX, KVM, AWS = "vmware-vcenter", "vmware-esxi", "libvirt-qemu", "aws-cloudtrail"
MONDAY = datetime(2026, 11, 23, tzinfo=UTC)
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
HOME, AWAY = "192.0.2.10", "198.51.100.10"
DAYS = [MONDAY - timedelta(days=day) for day in range(28, 0, -1) if (MONDAY - timedelta(days=day)).weekday() < 5]
POLICY = Policies(vcenter_addresses=("192.0.2.20",), mfa={"required": ["*"]}, bastions=("10.9.0.0/24",))


def sso(when: datetime, user: str, address: str) -> str:
    text = {"user": user, "client": address, "timestamp": f"{when:%m/%d/%Y %H:%M:%S} UTC", "eventSeverity": "INFO",
            "description": f"User {user}@{address} logged in with response code 200", "type": "com.vmware.sso.LoginSuccess"}
    return f"{when:%Y-%m-%dT%H:%M:%S}.424Z {json.dumps(text)}\n"


def session(when: datetime, user: str, address: str, agent: str = FIREFOX) -> str:
    return (f"<14>1 {when:%Y-%m-%dT%H:%M:%S}.263383+00:00 vc01.example.org vpxd 58650 - -  Event [5757] [1-1] "
            f"[{when:%Y-%m-%dT%H:%M:%S}.26309Z] [vim.event.UserLoginSessionEvent] [info] [{user}] [] [5757] "
            f"[User {user}@{address} logged in as {agent}]\n")


def sign_in(when: datetime, address: str, agent: str = FIREFOX) -> str:
    return sso(when, "anna@example.org", address) + session(when + timedelta(seconds=1), "example.org\\anna", address, agent)


def ssh(when: datetime, method: str, address: str) -> str:
    return f"<38>1 {when:%Y-%m-%dT%H:%M:%S}.431463+00:00 kvm01 sshd 10166 - -  Accepted {method} for alice from {address} port 59687 ssh2\n"


def token(when: datetime, host: str, address: str) -> str:
    return (f'<110>{when:%Y-%m-%dT%H:%M:%S}.123Z {host}.example.org Hostd[2099712]: [vim.connect@6876 subject="root" object="hostd" '
            f'result="success" ip="{address}" uniqueID="52aa-77" opID="esxui-5"]\n')


def console(when: datetime, mfa: str, address: str = HOME, kind: str = "IAMUser") -> str:
    who = {"type": kind, "principalId": "AIDAEXAMPLE", "arn": "arn:aws:iam::123456789012:user/carol", "accountId": "123456789012",
           "userName": "carol"}
    return json.dumps({
        "eventVersion": "1.10", "userIdentity": who, "eventTime": f"{when:%Y-%m-%dT%H:%M:%SZ}", "eventSource": "signin.amazonaws.com",
        "eventName": "ConsoleLogin", "awsRegion": "eu-central-1", "sourceIPAddress": address, "userAgent": FIREFOX,
        "responseElements": {"ConsoleLogin": "Success"}, "eventType": "AwsConsoleSignIn", "recipientAccountId": "123456789012",
        "additionalEventData": {"MFAUsed": mfa}, "eventCategory": "Management", "eventID": f"{when:%d%H%M}"}) + "\n"


def told(*logs: tuple[str, str], **context: Any) -> list[tuple[str, str, set[str]]]:
    """Key, severity and signals of all findings."""
    return [(row["key"], row["severity"], {each["name"] for each in json.loads(row["detail"])["signals"]})
            for row in found("login_baseline", *logs, **context)]


WEEKS = "".join(sign_in(day + timedelta(hours=hour, minutes=day.day), HOME) for day in DAYS for hour in (8, 13))


def test_the_document_names_rules_and_roles_that_there_are() -> None:
    (job,) = (each for each in catalogue().jobs if each.type == "login_baseline")
    assert check_jobs([job]) == []


def test_another_client_from_another_network_at_night() -> None:
    attack = sign_in(MONDAY + timedelta(hours=3), AWAY, "govc/0.52.0")
    assert told((VC, WEEKS + attack)) == [
        ("example.org\\anna|esxi", "medium", {"first_seen_prefix", "first_seen_client", "off_hours"})]
    assert told((VC, WEEKS + sign_in(MONDAY + timedelta(hours=8), HOME))) == []


def test_a_sign_in_that_two_logs_tell_is_one() -> None:
    (finding,) = found("login_baseline", (VC, WEEKS + sign_in(MONDAY + timedelta(hours=3), AWAY, "govc/0.52.0")))
    detail = json.loads(finding["detail"])
    assert finding["count"] == 1 and detail["profile"]["login_count"] == 2 * len(DAYS)
    assert detail["signals"][1]["why"] == "the client govc is new"


def test_a_session_whose_token_nobody_issued() -> None:
    forged = session(MONDAY + timedelta(hours=8), "example.org\\anna", HOME)
    assert told((VC, WEEKS + forged)) == [("example.org\\anna|esxi", "high", {"saml_orphan"})]
    alone = "".join(session(day + timedelta(hours=9), "example.org\\anna", HOME) for day in DAYS)
    assert told((VC, alone + forged)) == []  # the log of single sign-on is not collected


def test_root_past_vcenter_out_of_a_guest() -> None:
    line = ("<166>2026-11-23T09:00:00.123Z esx01.example.org Hostd: info hostd[2099656] [Originator@6876 sub=Vimsvc.ha-eventmgr "
            "opID=esxui-8c02 user=root] Event 4711 : User root@{address} logged in as pyvmomi Python/3.11\n")
    web = {"kind": "ip", "key": "10.1.1.1", "valid_from": 0, "valid_to": None, "vm": "web01"}
    place = pl.DataFrame([web], schema={**PLACEMENT}, orient="row")
    assert told((ESX, line.format(address="10.1.1.1")), policies=POLICY, placement=place) == [
        ("root|esxi", "high", {"direct_to_host", "from_guest"})]
    for address in ("10.9.0.7", "192.0.2.20"):
        assert told((ESX, line.format(address=address)), policies=POLICY) == []


def test_a_session_of_a_host_from_two_addresses() -> None:
    first, second = token(MONDAY, "esx01", HOME), token(MONDAY + timedelta(hours=1), "esx02", AWAY)
    assert told((ESX, first + second)) == [("root|esxi", "high", {"token_reuse"})]
    assert told((ESX, first + token(MONDAY + timedelta(hours=1), "esx02", "192.0.2.99"))) == []


@pytest.mark.parametrize(("parser", "line", "key"), [
    (AWS, console(MONDAY, "No"), "carol|123456789012"),
    (KVM, ssh(MONDAY, "password", HOME), "alice|kvm"),
    (VC, sso(MONDAY, "Administrator@vsphere.local", HOME), "vsphere.local\\administrator|esxi"),
])
def test_one_factor_where_two_are_demanded(parser: str, line: str, key: str) -> None:
    assert told((parser, line), policies=POLICY) == [(key, "medium", {"mfa_missing"})]
    assert told((parser, line)) == []


@pytest.mark.parametrize(("parser", "line"), [
    (AWS, console(MONDAY, "Yes")), (AWS, console(MONDAY, "No", kind="AssumedRole")), (KVM, ssh(MONDAY, "keyboard-interactive/pam", HOME)),
    (VC, sign_in(MONDAY, HOME))])
def test_two_factors_and_what_the_provider_asked_for(parser: str, line: str) -> None:
    assert told((parser, line), policies=POLICY) == []
