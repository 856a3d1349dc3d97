"""The measure on real logs: agreement counts what it says, and the real trees keep their promises where they are at hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.kernel.engine import Engine
from pipeline.realcheck import check_tree

ENGINE = Engine()


def test_agreement_is_counted_field_by_field(tmp_path: Path) -> None:
    folder = tmp_path / "esxi"
    folder.mkdir()
    message = "sshd[2102293]: Invalid user operator from 192.0.2.9 port 41100"
    expected = {"user": {"name": "operator"}, "source": {"ip": "192.0.2.99"}, "process": {"name": "sshd"}, "event": {"outcome": "failure"}}
    (folder / "one.json").write_text(json.dumps({"input": {"message": message}, "expected": expected}))
    sources, differences, problems = check_tree(tmp_path, ENGINE)
    assert (sum(sources[0].compared.values()), sum(sources[0].agreed.values()), problems) == (4, 3, [])
    assert [(d.field, d.expected, d.found) for d in differences] == [("source.ip", "192.0.2.99", "192.0.2.9")]


@pytest.mark.parametrize(("expected", "agrees"), [
    ({"code": "NoSuchKey", "action": "StopLogging"}, True),
    ({"action": "stoplogging"}, True),
    ({"code": "NoSuchKey"}, False),
    ({"outcome": "failed"}, True),  # another word for ECS's failure
    ({"outcome": "generated"}, False),
])
def test_code_or_action_agrees_and_outcomes_are_words_of_ecs(tmp_path: Path, expected: dict[str, str], agrees: bool) -> None:
    folder = tmp_path / "aws_cloudtrail"
    folder.mkdir()
    message = {"eventTime": "2026-03-01T10:00:00Z", "eventName": "StopLogging", "eventType": "AwsApiCall", "errorCode": "AccessDenied",
               "eventSource": "cloudtrail.amazonaws.com", "userIdentity": {"type": "Root"}}
    (folder / "one.json").write_text(json.dumps({"input": {"message": json.dumps(message)}, "expected": {"event": expected}}))
    sources, differences, _ = check_tree(tmp_path, ENGINE)
    assert (sum(sources[0].compared.values()), len(differences)) == (1, 0 if agrees else 1)


def test_inventories_are_no_logs(tmp_path: Path) -> None:
    folder = tmp_path / "vcenter_vcsim"
    folder.mkdir()
    for name in ("vm_info.json", "roles.json", "inventory_find.txt", "actions.tsv"):
        (folder / name).write_text("/DC0\n")
    (folder / "events_short.txt").write_text("[Tue Mar  3 10:04:35 2026] [info] Created datacenter DC0 in folder Datacenters\n")
    source = check_tree(tmp_path, ENGINE)[0][0]
    assert (source.files, source.recognised, source.events) == (1, 1, 1)


def test_one_bad_file_does_not_stop_the_others(tmp_path: Path) -> None:
    folder = tmp_path / "auditd"
    folder.mkdir()
    (folder / "bad.log").write_bytes(b"\x00\x01" * 500)
    record = "type=VIRT_CONTROL msg=audit(1772722980.000:3): pid=1 uid=0 msg='virt=kvm op=stop reason=destroyed vm=\"a\" res=success'\n"
    (folder / "good.log").write_text(record)
    source = check_tree(tmp_path, ENGINE)[0][0]
    assert source.conserved
    assert source.events >= 1


@pytest.mark.parametrize("minimum", [0.9])
def test_real_logs_are_recognised_and_conserved(shared: Path, minimum: float) -> None:
    sources, _, problems = check_tree(shared / "real_logs", ENGINE)
    assert problems == []
    for source in sources:
        assert source.conserved, source.source
        assert source.recognised >= minimum * source.events, source.source
    compared = sum(sum(s.compared.values()) for s in sources)
    assert sum(sum(s.agreed.values()) for s in sources) >= 0.95 * compared
