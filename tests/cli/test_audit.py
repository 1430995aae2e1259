"""`audit`, and that each command that changes something leaves an entry, without a secret in it."""

import getpass
import json
import re

import pytest

from smsgw.store.db import Database
from smsgw.store.models import Message
from tests.commands import every_command

from .conftest import Ask, Run

HOOK = "https://8.8.8.8/hook?token=planted-token"
NUMBER = "+12025550112"
SECRETS = re.compile(r"gw_live_|crm_live_|op_live_|whsec_|planted-|[0-9a-f]{64}")
# The arguments of each command that changes something, and the action of its entry. They run one after the other.
# ON and OFF are the ids of webhooks, the other words in capitals those of a delivery and of messages.
COMMANDS = {
    "device add": ("new --key", "device.add"),
    "device rotate": ("p", "device.rotate"),
    "device reset": ("p", "device.reset"),
    "device resume": ("p", "device.resume"),
    "device limit": ("p --per-hour 9", "device.limit"),
    "device disable": ("p", "device.disable"),
    "device enable": ("p", "device.enable"),
    "device pair": ("", "registration.open"),
    "device approve": ("p", None),
    "device assign": ("p --crm clinic", "device.assign"),
    "crm add": ("new", "crm.add"),
    "crm rotate": ("clinic", "crm.rotate"),
    "crm disable": ("clinic", "crm.disable"),
    "crm enable": ("clinic", "crm.enable"),
    "crm route": ("clinic --device new", "crm.route"),
    "crm limit": ("clinic --queue 5", "crm.limit"),
    "crm sticky": ("clinic on", "crm.change"),
    "crm pair": ("--minutes 0", "registration.close"),
    "crm approve": ("clinic", None),
    "operator add": ("new", "operator.add"),
    "operator reset": ("olga", "operator.rotate"),
    "operator remove": ("olga", "operator.remove"),
    "opt-out add": (f"{NUMBER} --crm clinic", "opt_out.add"),
    "opt-out remove": (f"{NUMBER} --crm clinic", "opt_out.remove"),
    "webhook add": (f"--crm clinic {HOOK}", "webhook.add"),
    "webhook test": ("ON", "webhook.test"),
    "webhook recover": ("ON --since 1d", "webhook.recover"),
    "webhook replay": ("DELIVERY", "webhook.replay"),
    "webhook change": ("ON --event message.sent", "webhook.change"),
    "webhook disable": ("ON", "webhook.disable"),
    "webhook enable": ("OFF", "webhook.enable"),
    "webhook rotate-secret": ("OFF", "webhook.rotate"),
    "webhook remove": ("OFF", "webhook.remove"),
    "cancel": ("QUEUED", "message.cancel"),
    "resend": ("FAILED", "message.resend"),
    "quarantine clear": ("", "quarantine.clear"),
    "release": ("", None),
    "device remove": ("p", "device.remove"),
    "crm remove": ("idle", "crm.remove"),
}
# They read, queue messages, whose history says it, or run the server; `init` is tested below.
OTHERS = {
    *(
        "init",
        "serve",
        "worker",
        "doctor",
        "audit",
        "send",
        "messages",
        "message",
    ),
    *("db upgrade", "db check", "device list", "crm list", "operator list", "opt-out list"),
    *("quarantine list", "quarantine show", "export messages", "import messages"),
    *("backup", "restore", "copy", "db reopen"),
    *("webhook list", "webhook deliveries", "webhook delivery"),
}


def test_every_command_that_changes_something_is_among_these():
    assert set(every_command()) == COMMANDS.keys() | OTHERS
    assert not COMMANDS.keys() & OTHERS


@pytest.fixture
def hooks(ask: Ask, run: Run, database: Database) -> dict[str, str]:
    """A database with one of each, and the ids of two webhooks, a delivery and two messages."""
    ask("operator", "add", "olga")
    for name in ("clinic", "idle"):
        ask("crm", "add", name)
    ask("device", "add", "p", "--key")
    on, off = (ask("webhook", "add", "--crm", "clinic", HOOK)["id"] for _ in range(2))
    ask("webhook", "disable", off)
    # The exit code is 1 where nothing is delivered, as here, without a worker.
    delivery = json.loads(run("webhook", "test", on, "--json").stdout)["id"]
    failed, queued = (
        ask("send", "--crm", "clinic", "--to", to, "--content", "x")["id"]
        for to in ("+12025550117", "+12025550118")
    )
    with database.transaction() as session:
        session.get_one(Message, failed).status = "failed"
    return {"ON": on, "OFF": off, "DELIVERY": delivery, "QUEUED": queued, "FAILED": failed}


def test_each_command_that_changes_something_leaves_an_entry_without_a_secret(
    ask: Ask, run: Run, hooks: dict[str, str]
):
    count = len(ask("audit")["data"])
    for name, (written, action) in COMMANDS.items():
        result = run(*name.split(), *(hooks.get(word, word) for word in written.split()))
        assert result.exit_code == (name == "webhook test"), (name, result.output)
        found = ask("audit")["data"]
        new = [entry["action"] for entry in found[: len(found) - count]]
        assert new == ([] if action is None else [action]), name
        count = len(found)
    assert {entry["actor_kind"] for entry in found} == {"cli"}
    assert {entry["actor_name"] for entry in found} == {getpass.getuser()}
    for text in (run("audit").stdout, str(found)):
        assert not SECRETS.search(text), SECRETS.search(text)


def test_init_leaves_an_entry_for_each_of_the_three_that_it_makes(ask: Ask):
    ask("init")
    made = {entry["action"] for entry in ask("audit")["data"]}
    assert made == {"operator.add", "device.add", "crm.add"}


def test_changes_are_listed_by_phone_crm_action_and_time_a_page_at_a_time(
    ask: Ask, run: Run, hooks: dict[str, str]
):
    assert [one["action"] for one in ask("audit", "--device", "p")["data"]] == ["device.add"]
    assert [one["action"] for one in ask("audit", "--crm", "idle")["data"]] == ["crm.add"]
    assert len(ask("audit", "--action", "webhook")["data"]) == 4
    assert ask("audit", "--until", "1d")["data"] == []
    everyone = ask("audit", "--since", "1d", "--actor", getpass.getuser())["data"]
    first = ask("audit", "--limit", "3")
    rest = ask("audit", "--cursor", first["next_cursor"])
    assert first["data"] + rest["data"] == everyone
    assert "--cursor aud_" in run("audit", "--limit", "3").output
    assert run("audit", "--device", "p", "--crm", "idle").exit_code == 2
    assert run("audit", "--device", "nothing").stderr == "No change was found.\n"
