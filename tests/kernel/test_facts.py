"""event.fact_id: what several logs tell of one fact counts once; what they tell of others does not meet it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from pipeline import judge
from pipeline.errors import ContentError
from pipeline.kernel.engine import Engine
from pipeline.kernel.facts import load_facts, read_facts
from tests.test_judge import correlation

ENGINE = Engine()
WHEN = datetime(2026, 3, 1, tzinfo=UTC)
COUNT = correlation({"type": "event_count", "rules": ["a"], "condition": {"gte": 1}, "group-by": ["event.kind"]})
AUDIT = ('<166>1 2026-03-01T10:00:0{s}.100Z {host} Hostd 2098999 - -  '
         '[{id}@6876 subject="root" object="{what}" result="{result}" ip="192.0.2.7"]')
EVENT = "<166>2026-03-01T10:00:0{s}.100Z {host} Hostd: info hostd[2099656] [Originator@6876 sub=Vimsvc.ha-eventmgr] Event 12 : {text}"
VOB = "<14>2026-03-01T10:00:0{s}.100Z {host} vobd:  [{by}] 4438748127us: [{id}] {text}"
SSHD = "<38>2026-03-01T10:00:0{s}.100Z {host} sshd[2100123]: {text}"
VPXD = ("<14>1 2026-03-01T10:00:0{s}.263383+00:00 vc01.example.org vpxd 58650 - -  Event [5019] [1-1] [2026-03-01T10:00:0{s}.26309Z] "
        "[vim.event.{id}] [info] [EXAMPLE\\alice] [DC1] [5019] [{text}]")
SSO = ('<14>1 2026-03-01T10:00:0{s}.263383+00:00 vc01.example.org sso - - -  2026-03-01T10:00:0{s}.250Z {{"user":"{user}@example.org",'
       '"client":"198.51.100.7","description":"x","eventSeverity":"INFO","type":"com.vmware.sso.LoginFailure"}}')
OPENED = "SSH session was opened for '{user}@192.0.2.7'."
LOCKED = "Remote access for ESXi local user account '{user}' has been locked for 900 seconds after 6 failed login attempts."

# One fact each, in the words of several logs; `{h}`, `{vm}` and `{user}` are of what it tells.
FACTS = {
    "vm-power-off": [
        AUDIT.format(s=1, host="{h}", id="vm.power.off", what="/vmfs/volumes/ds1/{vm}/{vm}.vmx", result="success"),
        EVENT.format(s=1, host="{h}.example.org", text="{vm} on  {h}.example.org in ha-datacenter is powered off"),
        VPXD.format(s=2, id="VmPoweredOffEvent", text="{vm} on  {h}.example.org in DC1 is powered off"),
    ],
    "ssh-login": [
        SSHD.format(s=1, host="{h}", text="Accepted keyboard-interactive/pam for {user} from 192.0.2.7 port 50116 ssh2"),
        VOB.format(s=2, host="{h}.example.org", by="GenericCorrelator", id="vob.user.ssh.session.opened", text=OPENED),
        VOB.format(s=2, host="{h}.example.org", by="UserLevelCorrelator", id="vob.user.ssh.session.opened", text=OPENED),
        VOB.format(s=3, host="{h}.example.org", by="UserLevelCorrelator", id="esx.audit.ssh.session.opened", text=OPENED),
        EVENT.format(s=3, host="{h}", text=OPENED),
    ],
    "account-locked": [
        AUDIT.format(s=1, host="{h}", id="account.locked", what="{user}", result="success"),
        VOB.format(s=1, host="{h}", by="UserLevelCorrelator", id="esx.audit.account.locked", text=LOCKED),
        EVENT.format(s=2, host="{h}.example.org", text=LOCKED),
    ],
    "ssh-enabled": [
        VOB.format(s=1, host="{h}", by="UserLevelCorrelator", id="esx.audit.ssh.enabled", text="SSH access has been enabled."),
        EVENT.format(s=1, host="{h}.example.org", text="SSH access has been enabled."),
        VPXD.format(s=2, id="RemoteTSMEnabledEvent", text="SSH for the host {h}.example.org has been enabled"),
    ],
    "user-login": [
        VPXD.format(s=1, id="BadUsernameSessionEvent", text="Cannot login EXAMPLE\\{user}@198.51.100.7"),
        SSO.format(s=2, user="{user}"),
    ],
}
OF = {"h": "esx01", "vm": "web01", "user": "anna"}
OTHERS = {"vm-power-off": ("h", "vm"), "ssh-login": ("h", "user"), "account-locked": ("h", "user"), "ssh-enabled": ("h",),
          "user-login": ("user",)}


def events_of(lines: list[str], of: dict[str, str]) -> pl.DataFrame:
    text = "\n".join(line.replace("{h}", of["h"]).replace("{vm}", of["vm"]).replace("{user}", of["user"]) for line in lines)
    parts = [batch.events for batch in ENGINE.process_bytes(text.encode(), WHEN)]
    return pl.concat(parts, how="diagonal")


@pytest.mark.parametrize("name", FACTS)
def test_one_fact_in_several_logs(name: str) -> None:
    ids = events_of(FACTS[name], OF).get_column("event.fact_id").to_list()
    assert len(ids) == len(FACTS[name])
    assert len(set(ids)) == 1 and ids[0].startswith(f"{name}|"), ids
    for key in OTHERS[name]:
        other = events_of(FACTS[name], OF | {key: "another"}).get_column("event.fact_id").to_list()
        assert set(other).isdisjoint(ids) and None not in other, key


@pytest.mark.parametrize("name", FACTS)
def test_a_counting_rule_counts_it_once(name: str) -> None:
    two = [events_of(FACTS[name], of) for of in (OF, {"h": "esx02", "vm": "web02", "user": "ben"})]
    events = pl.concat(two, how="diagonal")
    events = events.with_columns(pl.concat_str("event.id", pl.row_index().cast(pl.String)).alias("event.id"))
    hits = pl.DataFrame({"event_index": range(events.height), "rule_id": ["id-a"] * events.height})
    found = judge.evaluate(judge.members(judge.hits_of(events, hits), [COUNT]), [COUNT], 2**62)
    assert found.get_column("count").to_list() == [2]


def test_what_is_not_known_has_no_id() -> None:
    failed = VPXD.format(s=1, id="EventEx", text="SSH access has been enabled.")  # of which host?
    no_vm = EVENT.format(s=1, host="esx01", text="A text that nobody knows")
    events = events_of([failed, no_vm], OF)
    assert "event.fact_id" not in events.columns or events.get_column("event.fact_id").to_list() == [None, None]


def test_failure_is_another_fact() -> None:
    results = ("success", "failure")
    lines = [AUDIT.format(s=1, host="esx01", id="vm.power.off", what="[ds1] web01/web01.vmx", result=result) for result in results]
    assert events_of(lines, OF).get_column("event.fact_id").to_list() == [f"vm-power-off|esx01|web01|{result}" for result in results]


@pytest.mark.parametrize("rows, problem", [
    ("a,Power Off,host.name", "is no name of a fact"),
    ("a,power-off,host.nam", "unknown fields"),
    ("a,power-off,host.name\na,power-on,host.name", "twice"),
    ("a,power-off,host.name\nb,power-off,host.name;vm.name", "told by 1 fields"),
    ("a,power-off", "2 cells"),
])
def test_problems_of_the_table(rows: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "facts.csv"
    path.write_text(f"event.action,fact,by\n{rows}\n", encoding="utf-8")
    with pytest.raises(ContentError, match=problem):
        read_facts(path)


def test_the_table_of_the_project() -> None:
    assert len(load_facts()) > 200
