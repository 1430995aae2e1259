"""The pages about CRMs: adding, routing, replacing the key and removing one."""

from typing import Any

import pytest

from smsgw.core.accounts import crms, operators
from smsgw.core.accounts.roles import CLERK
from smsgw.http.context import EXTENSION

from ..conftest import NOW
from .cheap import check_cheap
from .conftest import Office, text_of

HOSTILE = "<script>alert(1)</script>{{ 7*7 }}"


def key_of(page: Any) -> str:
    """The key that a page shows once."""
    return page.text.partition('<pre tabindex="0">')[2].partition("<")[0]


def send(office: Office, key: str, **fields: Any) -> int:
    body = {"to": "+4915112345670", "content": "Hello", **fields}
    headers = office.world.as_crm(key)
    return office.world.client.post("/api/v1/messages", json=body, headers=headers).status_code


def shape(office: Office, crm_id: str) -> dict[str, Any]:
    with office.world.database.reading() as session:
        return crms.shapes(session, [crms.get(session, crm_id)])[0]


def test_a_crm_is_added_with_a_key_that_is_shown_once_and_works(office: Office):
    browser = office.browser("operator")
    browser.get("/admin/crms")
    page = browser.send("/admin/crms/add", name="shop")
    key = key_of(page)
    assert send(office, key) == 202
    assert f"curl http://localhost/api/v1/messages -H &#39;Authorization: Bearer {key}" in page.text
    assert f"Bearer {key}&#34;" in page.text
    assert key not in browser.get("/admin/crms").text


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("", 422, "1 to 100 printable characters"),
        ("x" * 101, 422, "1 to 100 printable characters"),
        ("a\x07b", 422, "1 to 100 printable characters"),
        ("clinic", 409, "already"),
    ],
)
def test_a_crm_that_cannot_be_added_is_refused(office: Office, name, status, words):
    browser = office.browser("operator")
    browser.get("/admin/crms")
    page = browser.send("/admin/crms/add", name=name)
    assert page.status_code == status
    assert words in text_of(page)


def test_without_a_crm_the_list_says_how_to_add_one(office: Office):
    browser = office.browser("operator")
    browser.get(f"/admin/crms/{office.world.crm_id}")
    page = text_of(browser.send(f"/admin/crms/{office.world.crm_id}/remove"))
    assert "The CRM was removed." in page
    assert "There is no CRM yet. Give your program a name below" in page


def test_a_hostile_name_is_shown_as_it_is(office: Office):
    crm_id, _ = office.world.add_crm(HOSTILE)
    for path in ("/admin/crms", f"/admin/crms/{crm_id}"):
        page = office.browser("operator").get(path)
        assert "<script>alert" not in page.text
        assert "{{ 7*7 }}" in page.text


def test_a_new_key_replaces_the_old_one(office: Office):
    path = f"/admin/crms/{office.world.crm_id}"
    browser = office.browser("operator")
    assert "Bearer crm_live_..." in browser.get(path).text
    key = key_of(browser.send(f"{path}/rotate"))
    assert send(office, key) == 202
    assert send(office, office.world.crm_key) == 401


def test_a_disabled_crm_is_refused_until_it_is_enabled(office: Office):
    path, key = f"/admin/crms/{office.world.crm_id}", office.world.crm_key
    browser = office.browser("operator")
    browser.get(path)
    assert "what it has queued waits" in text_of(browser.send(f"{path}/disable"))
    assert send(office, key) == 403
    browser.send(f"{path}/enable")
    assert send(office, key) == 202
    assert "Queued 1" in text_of(browser.get(path))


def test_routes_are_set_to_ticked_devices_and_to_all(office: Office):
    office.world.add_device("phone-2")
    crm_id = office.world.crm_id
    browser, path = office.browser("operator"), f"/admin/crms/{office.world.crm_id}"
    browser.get(path)
    browser.send(f"{path}/routes", which="some", device_ids="phone-2")
    assert shape(office, crm_id)["device_ids"] == ["phone-2"]
    browser.send(f"{path}/routes", which="all")
    assert shape(office, crm_id)["device_ids"] is None
    for wrong in ({"which": "x"}, {"which": "some", "device_ids": "nope"}):
        browser.get(path)
        assert browser.send(f"{path}/routes", **wrong).status_code == 422
    assert shape(office, crm_id)["device_ids"] is None


def test_of_two_people_who_change_the_routes_the_second_is_asked_again(office: Office):
    crm_id, path = office.world.crm_id, f"/admin/crms/{office.world.crm_id}"
    first, second = office.browser("operator"), office.browser("operator")
    for browser in (first, second):
        browser.get(path)
    first.send(f"{path}/routes", which="some", device_ids="phone-1")
    page = second.send(f"{path}/routes", which="some")
    assert page.status_code == 409
    assert "Somebody changed these meanwhile." in text_of(page)
    assert shape(office, crm_id)["device_ids"] == ["phone-1"]


def test_a_crm_that_registered_itself_waits_for_approval_on_top(office: Office):
    with office.world.database.transaction() as session:
        crm_id = crms.add_unapproved(session, "zebra", NOW)[0].id
    browser = office.browser("operator")
    page = text_of(browser.get("/admin/crms"))
    assert page.index("zebra") < page.index("clinic")
    browser.get(f"/admin/crms/{crm_id}")
    page = text_of(browser.send(f"/admin/crms/{crm_id}/approve"))
    assert "The CRM is approved." in page
    assert "It may use no device, so it cannot send." in page


def test_registration_of_crms_is_opened_for_some_minutes_and_closed(office: Office):
    browser = office.browser("operator")
    browser.get("/admin/crms")
    assert "Open until" in text_of(browser.send("/admin/crms/pair", minutes="5"))
    token = browser.form("/admin/crms/pair").fields
    browser.post("/admin/crms/pair", {**token, "minutes": "0"})
    assert "Open until" not in text_of(browser.get("/admin/crms"))
    for wrong in ("", "-1", "1e3", "99999", "²"):
        browser.get("/admin/crms")
        assert browser.send("/admin/crms/pair", minutes=wrong).status_code == 422


def test_who_is_no_operator_sees_no_buttons_and_a_clerk_the_clerks_crms_alone(office: Office):
    crm_id, _ = office.world.add_crm("other")
    with office.world.database.transaction() as session:
        office.keys["theirs"] = operators.add(session, "theirs", NOW, CLERK, ["other"])
    browser = office.browser("theirs")
    page = browser.get("/admin/crms").text
    assert "clinic" not in page
    assert "/pair" not in page
    page = browser.get(f"/admin/crms/{crm_id}")
    assert page.status_code == 200
    assert "/remove" not in page.text
    assert browser.get(f"/admin/crms/{office.world.crm_id}").status_code == 404


@pytest.mark.parametrize("name", ["", "/clinic"])
def test_a_page_about_crms_costs_little(office: Office, name: str):
    office.world.add_crm("other", ["phone-1"])
    send(office, office.world.crm_key)
    check_cheap(office, f"/admin/crms{name}")


def test_when_a_key_was_used_last_is_shown_and_a_new_key_was_never_used(office: Office):
    world = office.world
    browser = office.browser("operator")
    assert "Key last used never" in text_of(browser.get(f"/admin/crms/{world.crm_id}"))
    for _ in range(2):
        world.client.get("/api/v1/messages", headers=world.as_crm())
    writer = world.app.extensions[EXTENSION].last_seen_writer
    assert writer.key_uses
    writer.write()
    world.client.get("/api/v1/messages", headers=world.as_crm())
    assert not writer.key_uses
    assert "Key last used never" not in text_of(browser.get(f"/admin/crms/{world.crm_id}"))
    headers = {"Authorization": f"Bearer {office.keys['operator']}"}
    (shape,) = world.client.get("/api/v1/crms", headers=headers).json["data"]
    assert shape["key_used_at"]
    with world.database.transaction() as session:
        crms.rotate(crms.get(session, world.crm_id))
    assert "Key last used never" in text_of(browser.get(f"/admin/crms/{world.crm_id}"))
