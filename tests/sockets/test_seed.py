"""Each payload of the document works as it is printed there."""

from .conftest import (
    INCOMING,
    OUTGOING,
    RECEIPT,
    REGISTER_CRM,
    REGISTER_DEVICE,
    Stage,
    frames_of,
    say,
)


def test_the_whole_story_as_printed(stage: Stage):
    crm = stage.call("POST", "/registerCRM", REGISTER_CRM, stage.operator_key)
    assert crm.status_code == 201
    assert crm.json["callbackUrl"] == REGISTER_CRM["callbackUrl"]
    assert crm.json["webhookSecret"].startswith("whsec_")
    stage.crm_id, stage.crm_key = crm.json["crmId"], crm.json["apiKey"]
    body = {**REGISTER_DEVICE, "deviceId": "67890"}
    assert stage.call("POST", "/registerDevice", body, stage.crm_key).status_code == 201
    again = stage.call("POST", "/registerDevice", REGISTER_DEVICE, stage.operator_key)
    assert (again.status_code, again.json["phoneNumber"]) == (200, "+1234567890")
    stage.call("PUT", f"/devices/12345/crms/{stage.crm_id}", key=stage.operator_key)

    program, phone = stage.crm(), stage.device(again.json["token"])
    program.opened(), phone.opened()
    (ack,) = say(phone, INCOMING)
    assert ack == {"event": "ack", "data": {"messageId": "msg123", "event": "messageReceived"}}
    assert frames_of(program.work()) == [("messageReceived", INCOMING)]

    (queued,) = say(program, {**OUTGOING, "apiKey": stage.crm_key})
    assert (queued["event"], queued["data"]["status"]) == ("messageStatus", "QUEUED")
    ((event, order),) = frames_of(phone.work())
    assert event == "sendMessage"
    assert (order["receiver"], order["content"]) == (OUTGOING["receiver"], OUTGOING["content"])
    assert "apiKey" not in order

    (ack,) = say(phone, {**RECEIPT, "messageId": order["messageId"]})
    assert ack["data"] == {"messageId": order["messageId"], "event": "messageStatus"}
    ((event, status),) = frames_of(program.work())
    assert (event, status["status"]) == ("messageStatus", "DELIVERED")
    assert status["messageId"] == queued["data"]["messageId"]


def test_a_receipt_as_printed_is_acknowledged_although_its_id_is_not_ours(stage: Stage):
    phone = stage.device()
    phone.opened()
    (ack,) = say(phone, RECEIPT)
    assert ack["data"] == {"messageId": "msg123", "event": "messageStatus"}


def test_an_order_as_printed_is_taken_over_rest(stage: Stage):
    answer = stage.call("POST", "/sendMessage", {**OUTGOING, "apiKey": stage.crm_key})
    assert answer.status_code == 202
    assert answer.json == {
        "messageId": answer.json["messageId"],
        "deviceId": "12345",
        "status": "QUEUED",
    }
    phone = stage.device()
    ((event, order),) = frames_of(phone.opened())
    assert (event, order["content"]) == ("sendMessage", "Reply to Hello!")
