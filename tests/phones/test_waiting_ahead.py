"""How much waits for the phones that may send something, whoever queued it."""

from smsgw import clock
from smsgw.core.accounts import crms
from smsgw.core.messages import ahead, held
from smsgw.core.messages.ahead import Ahead


def find(stage, *device_ids, before=None):
    with stage.world.database.reading() as session:
        return ahead.find(session, device_ids, before)


def test_what_any_crm_has_queued_for_these_phones_counts_and_what_is_for_others_or_held_does_not(
    stage,
):
    stage.world.add_device("phone-2")
    stage.world.add_device("phone-3")
    other, _ = stage.world.add_crm("other", ["phone-2"])
    stage.queue(2)
    stage.queue(content="x" * 200, device_id="phone-1")
    stage.queue(device_id="phone-3")
    stage.queue(3, crm=other)
    assert find(stage, "phone-1") == Ahead(4, True)
    assert find(stage, "phone-2") == Ahead(5, True)
    assert find(stage) == Ahead(0, True)
    stage.pass_time(seconds=1)
    now = clock.now()
    stage.queue()
    assert find(stage, "phone-1", before=now) == Ahead(4, True)
    with stage.world.database.transaction() as session:
        held.hold_all(session, clock.now())
    assert find(stage, "phone-1") == Ahead(0, True)


def test_sticky_messages_count_and_no_more_than_a_page_can_bear(stage, monkeypatch):
    with stage.world.database.transaction() as session:
        crms.get(session, stage.world.crm_id).sticky_sender = True
    stage.send()
    stage.poll()
    stage.queue(3)
    assert find(stage, "phone-1").is_all
    monkeypatch.setattr(ahead, "MOST_COUNTED", 2)
    assert find(stage, "phone-1") == Ahead(3, False)
