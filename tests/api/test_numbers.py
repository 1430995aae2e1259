"""Every way in reads numbers alike: what is no number for a person is refused, and nobody gets an SMS."""

import pytest

from .conftest import DRAFT, Api

SPREADSHEET = ["+49302312500.0", "4.93023125E+11", "+49302312500,00", "-49302312500"]


@pytest.mark.parametrize("number", SPREADSHEET)
def test_a_number_from_a_spreadsheet_is_refused_by_every_request(api: Api, number: str):
    wrong = {**DRAFT, "to": number}
    for path, body, field in (
        ("/messages", wrong, "to"),
        ("/messages/preview", wrong, "to"),
        ("/messages/batch", {"messages": [DRAFT, wrong]}, "messages"),
    ):
        answer = api.post(path, body)
        assert (answer.status_code, list(answer.json["details"])) == (422, [field])
        assert "looks like a number from a spreadsheet" in answer.json["message"].lower()
    answer = api.post("/sms/send", {"to": number, "message": "x"})
    assert (answer.status_code, answer.json["error"]) == (422, "Invalid phone number format")
    answer = api.call("PATCH", "/devices/phone-1", api.operator, json={"phone": number})
    assert (answer.status_code, list(answer.json["details"])) == (422, ["phone"])
    assert api.get("/messages").json["data"] == []


@pytest.mark.parametrize("number", [4915112345678, 4915112345678.0, 4.93e11, None, ["+1"]])
def test_a_number_that_is_no_text_is_refused_with_the_way_to_write_it(api: Api, number):
    answer = api.post("/messages", {**DRAFT, "to": number})
    assert (answer.status_code, list(answer.json["details"])) == (422, ["to"])
    if isinstance(number, int | float):
        assert "Must be a string" in answer.json["message"]


@pytest.mark.parametrize("direction", ["to", "from"])
def test_a_filter_does_not_find_what_belongs_to_another_number(api: Api, direction: str):
    api.send(to="+493023125000")
    api.receive("in-1", sender="+493023125000")
    assert len(api.get("/messages", **{direction: "+49 30 23125000"}).json["data"]) == 1
    answer = api.get("/messages", **{direction: "+49302312500.0"})
    assert (answer.status_code, list(answer.json["details"])) == (422, [direction])


def test_a_sender_that_is_no_number_for_a_person_is_kept_to_the_letter(api: Api):
    api.receive("in-1", sender="+49302312500.0")
    (message,) = api.get("/messages", direction="inbound").json["data"]
    assert message["from"] == "+49302312500.0"
