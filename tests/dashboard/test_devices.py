"""The pages about devices: adding, replacing, changing and removing a phone."""

import re
from datetime import timedelta
from typing import Any

import pytest

from smsgw import clock
from smsgw.core.accounts import crms, operators
from smsgw.core.devices import registry
from smsgw.dashboard import device_pages

from ..conftest import NOW
from ..noting import noted
from .cheap import check_cheap
from .conftest import Office, text_of


def login_of(page: Any) -> str:
    """The URL that a page shows once."""
    return page.text.partition('<pre tabindex="0">')[2].partition("<")[0]


def poll(office: Office, url: str) -> int:
    """Polls with the name and the password of this URL."""
    device_id, _, password = url.partition("//")[2].partition("@")[0].partition(":")
    headers = office.world.as_device(device_id, password)
    return office.world.client.post("/api/sms", json={}, headers=headers).status_code


def change(office: Office, **fields: Any) -> None:
    with office.world.database.transaction() as session:
        for name, value in fields.items():
            setattr(registry.get(session, "phone-1"), name, value)


def test_a_phone_is_added_with_a_url_that_is_shown_once_and_works(office: Office):
    browser = office.browser("operator")
    browser.get("/admin/devices")
    url = login_of(browser.send("/admin/devices/add", device_id="phone-2", phone=""))
    assert poll(office, url) == 200
    assert 'src="data:image/svg+xml' in browser.page.text
    password = url.partition("phone-2:")[2].partition("@")[0]
    assert password
    assert password not in browser.get("/admin/devices").text


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"device_id": "phone 2"}, 422, "Must have 1 to 64 letters"),
        ({"device_id": ""}, 422, "Must have 1 to 64 letters"),
        ({"device_id": "phone-1"}, 409, "is there already"),
        ({"device_id": "phone-2", "phone": "call me"}, 422, "call me"),
    ],
)
def test_a_phone_that_cannot_be_added_is_refused_beside_what_was_typed(
    office: Office, fields: dict[str, str], status: int, words: str
):
    browser = office.browser("operator")
    browser.get("/admin/devices")
    page = browser.send("/admin/devices/add", **fields)
    assert page.status_code == status
    assert words in page.text
    assert browser.form("/admin/devices/add").fields["device_id"] == fields["device_id"]


def test_without_a_phone_the_list_says_how_to_add_one(office: Office):
    browser = office.browser("operator")
    browser.get("/admin/devices/phone-1")
    page = browser.send("/admin/devices/phone-1/remove")
    assert "phone-1 was removed." in text_of(page)
    assert "There is no phone yet." in text_of(page)


def test_a_replaced_phone_gets_a_new_url_and_the_old_one_is_void(office: Office):
    browser = office.browser("operator")
    browser.get("/admin/devices/phone-1")
    url = login_of(browser.send("/admin/devices/phone-1/rotate"))
    assert poll(office, url) == 200
    assert poll(office, f"http://phone-1:{office.world.password}@host/") == 401


def test_a_phone_that_has_forgotten_everything_starts_afresh(office: Office):
    body = {"to": "+4915112345670", "content": "Hello"}
    office.world.client.post("/api/v1/messages", json=body, headers=office.world.as_crm())
    assert poll(office, f"http://phone-1:{office.world.password}@host/") == 200
    browser = office.browser("operator")
    browser.get("/admin/devices/phone-1")
    page = text_of(browser.send("/admin/devices/phone-1/reset"))
    assert "phone-1 starts afresh. 1 message it had in hand may have been sent or not" in page


def test_settings_are_saved_and_what_was_not_touched_stays(office: Office):
    change(office, segments_per_day=500)
    browser = office.browser("operator")
    browser.get("/admin/devices/phone-1")
    browser.send("/admin/devices/phone-1/change", segments_per_minute="7", crm="clinic")
    with office.world.database.reading() as session:
        found = registry.get(session, "phone-1")
        assert (found.segments_per_minute, found.segments_per_day) == (7, 500)
        assert found.owner_crm_id == office.world.crm_id
        assert found.phone == "+4915112345678"
    browser.send("/admin/devices/phone-1/change", segments_per_minute="", phone="")
    with office.world.database.reading() as session:
        found = registry.get(session, "phone-1")
        assert (found.segments_per_minute, found.phone) == (None, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("segments_per_minute", "0"),
        ("segments_per_minute", "many"),
        ("recipients_per_month", "9999999999999999999999"),
        ("segments_per_day", "0000000001" + "9" * 20),
        ("phone", "call me"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_beside_its_field(office: Office, name, value):
    browser = office.browser("operator")
    browser.get("/admin/devices/phone-1")
    page = browser.send("/admin/devices/phone-1/change", **{name: value})
    assert page.status_code == 422
    assert 'class="fault"' in page.text
    assert browser.form("/admin/devices/phone-1/change").fields[name] == value


def test_of_two_people_who_change_the_same_setting_the_second_is_asked_again(office: Office):
    first, second = office.browser("operator"), office.browser("operator")
    for browser in (first, second):
        browser.get("/admin/devices/phone-1")
    first.send("/admin/devices/phone-1/change", segments_per_hour="100")
    page = second.send(
        "/admin/devices/phone-1/change", segments_per_hour="200", phone="+4915112345600"
    )
    assert page.status_code == 409
    assert "Somebody changed this to &#39;100&#39; meanwhile." in page.text
    assert second.form("/admin/devices/phone-1/change").fields["segments_per_hour"] == "200"
    with office.world.database.reading() as session:
        found = registry.get(session, "phone-1")
        assert (found.segments_per_hour, found.phone) == (100, "+4915112345678")


def test_of_two_people_who_change_different_settings_both_are_heeded(office: Office):
    first, second = office.browser("operator"), office.browser("operator")
    for browser in (first, second):
        browser.get("/admin/devices/phone-1")
    first.send("/admin/devices/phone-1/change", segments_per_hour="100")
    second.send("/admin/devices/phone-1/change", segments_per_day="900")
    with office.world.database.reading() as session:
        found = registry.get(session, "phone-1")
        assert (found.segments_per_hour, found.segments_per_day) == (100, 900)


def test_a_disabled_phone_is_refused_until_it_is_enabled(office: Office):
    url = f"http://phone-1:{office.world.password}@host/"
    browser = office.browser("operator")
    browser.get("/admin/devices/phone-1")
    browser.send("/admin/devices/phone-1/disable")
    assert poll(office, url) == 403
    browser.send("/admin/devices/phone-1/enable")
    assert poll(office, url) == 200


def test_a_test_is_sent_by_this_phone_and_its_way_is_shown(office: Office):
    office.world.add_device("phone-2")
    browser = office.browser("operator")
    assert (
        browser.get("/admin/gateways/phone-1/test")
        .headers["Location"]
        .endswith("/admin/devices/phone-1#test")
    )
    browser.get("/admin/devices/phone-1")
    page = browser.send("/admin/devices/phone-1/test", to="+4915112345670")
    assert "The test is queued." in text_of(page)
    assert "phone-1" in text_of(page)


def test_registration_is_opened_for_some_minutes_and_closed(office: Office):
    browser = office.browser("operator")
    browser.get("/admin/devices")
    assert "Open until" in text_of(browser.send("/admin/devices/pair", minutes="5"))
    token = browser.form("/admin/devices/pair").fields
    browser.post("/admin/devices/pair", {**token, "minutes": "0"})
    assert "Open until" not in text_of(browser.get("/admin/devices"))
    for wrong in ("", "-1", "1e3", "99999", "²", "0000010" + "0" * 30, "9" * 5000):
        browser.get("/admin/devices")
        assert browser.send("/admin/devices/pair", minutes=wrong).status_code == 422


def test_a_phone_that_registered_itself_waits_for_approval_on_top(office: Office):
    change(office, approved=False)
    office.world.add_device("a-phone")
    browser = office.browser("operator")
    page = text_of(browser.get("/admin/devices"))
    assert page.index("waits for approval") < page.index("a-phone")
    browser.get("/admin/devices/phone-1")
    assert "phone-1 is approved." in text_of(browser.send("/admin/devices/phone-1/approve"))


def test_a_viewer_sees_the_phones_without_numbers_and_without_buttons(office: Office):
    browser = office.browser("viewer")
    for path in ("/admin/devices", "/admin/devices/phone-1"):
        page = browser.get(path)
        assert "4915112345" not in page.text
        assert '/change"' not in page.text
        assert "/pair" not in page.text


def test_news_of_a_phone_come_when_it_polls(office: Office):
    browser = office.browser("viewer")
    page = browser.get("/admin/devices/phone-1")
    news = page.text.partition('hx-get="')[2].partition('"')[0].replace("&amp;", "&")
    assert browser.get(news).status_code == 204
    with office.world.database.transaction() as session:
        found = registry.get(session, "phone-1")
        found.last_seen_at = found.created_at
    assert browser.get(news).status_code == 200


def test_a_phone_that_is_not_there_is_said_to_be_missing(office: Office):
    assert office.browser("viewer").get("/admin/devices/nobody").status_code == 404


@pytest.mark.parametrize("path", ["/admin/devices", "/admin/devices/phone-1"])
def test_a_page_about_devices_costs_little(office: Office, path: str):
    poll(office, f"http://phone-1:{office.world.password}@host/")
    check_cheap(office, path)


def test_a_clerk_of_some_crms_sees_only_the_phones_that_these_may_use(office: Office):
    office.world.add_device("phone-2")
    with office.world.database.transaction() as session:
        crms.add(session, "other", ["phone-1"], NOW)
        operators.assign(session, operators.get(session, "clerk"), ["other"])
    clerk = office.browser("clerk")
    for path in ("/admin/overview", "/admin/devices", "/admin/limits"):
        page = clerk.get(path).text
        assert ("phone-1" in page, "phone-2" in page) == (True, False), path
        assert "phone-2" in office.browser("operator").get(path).text
    assert clerk.get("/admin/devices/phone-1").status_code == 200
    assert clerk.get("/admin/devices/phone-2").status_code == 404
    assert clerk.get("/admin/devices/phone-2/news?seen=x").status_code == 404


@pytest.mark.parametrize("path", ["/admin/overview", "/admin/devices", "/admin/limits"])
def test_phones_cost_a_clerk_of_many_crms_no_more_statements_than_one_of_two(
    office: Office, path: str
):
    with office.world.database.transaction() as session:
        names = [f"crm {number}" for number in range(12)]
        for name in names:
            crms.add(session, name, ["phone-1"], NOW)
    counts = []
    clerk = office.browser("clerk")
    for some in (names[:2], names):
        with office.world.database.transaction() as session:
            operators.assign(session, operators.get(session, "clerk"), some)
        clerk.get(path)
        with noted(office.world.database) as seen:
            assert "phone-1" in clerk.get(path).text
        counts.append(len(seen))
    assert counts[0] == counts[1]


def names_of(page: Any) -> list[str]:
    """The phones of a list, in its order."""
    return re.findall(r'<th scope="row"[^>]*><a href="/admin/devices/([^"]+)"', page.text)


def next_of(page: Any) -> str:
    """Where "Next" leads, empty on the last page."""
    found = re.search(r'rel="next" href="([^"]+)"', page.text)
    return "" if found is None else found[1].replace("&amp;", "&")


def add_online(office: Office, *names: str) -> None:
    """Adds phones that have no problem."""
    for name in names:
        office.world.add_device(name)
    with office.world.database.transaction() as session:
        for name in names:
            registry.get(session, name).last_seen_at = clock.now()


@pytest.fixture
def three_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_pages, "PAGE_SIZE", 3)


def upset(office: Office) -> None:
    """Has one phone wait for approval, one paused and one disabled, after those that `add_online` has added."""
    add_online(office, "limited", "waiting", "zz-off")
    with office.world.database.transaction() as session:
        registry.get(session, "waiting").approved = False
        registry.get(session, "zz-off").enabled = False
        registry.get(session, "limited").paused_until = clock.now() + timedelta(minutes=5)


def test_phones_on_one_page_come_with_those_first_that_need_attention(office: Office):
    add_online(office, "a", "b")
    upset(office)
    page = office.browser("viewer").get("/admin/devices")
    assert names_of(page) == ["waiting", "limited", "phone-1", "a", "b", "zz-off"]
    assert "What needs attention" not in text_of(page)


@pytest.mark.usefixtures("three_a_page")
def test_phones_on_several_pages_come_by_name_below_those_that_need_attention(office: Office):
    add_online(office, "a", "b", "c.d-e")
    upset(office)
    browser = office.browser("viewer")
    found, path = [], "/admin/devices"
    while path:
        page = browser.get(path)
        # The state is that of all phones, also where those of the page have no problem.
        assert "favicon-warning" in page.text
        found.append(names_of(page))
        path = next_of(page)
    assert found[0] == ["waiting", "limited", "phone-1", "a", "b", "c.d-e"]
    assert found[1:] == [["limited", "phone-1", "waiting"], ["zz-off"]]


@pytest.mark.usefixtures("three_a_page")
def test_of_very_many_phones_that_need_attention_a_page_of_them_is_shown_and_the_rest_counted(
    office: Office,
):
    for name in "abcd":
        office.world.add_device(name)
    page = office.browser("viewer").get("/admin/devices")
    assert names_of(page) == ["a", "b", "c"] * 2
    assert "And 2 more, which are among all phones below." in text_of(page)


@pytest.mark.usefixtures("three_a_page")
def test_each_phone_comes_once_although_phones_change_their_state_between_two_pages(
    office: Office,
):
    names = [f"phone-{number}" for number in range(2, 10)]
    add_online(office, *names)
    browser = office.browser("viewer")
    found, path = [], "/admin/devices"
    while path:
        page = browser.get(path)
        found += names_of(page)[-3:]
        path = next_of(page)
        with office.world.database.transaction() as session:
            for row in registry.everyone(session):
                row.last_seen_at = None if row.last_seen_at else clock.now()
    assert sorted(found) == ["phone-1", *names]


@pytest.mark.usefixtures("three_a_page")
def test_the_limits_are_divided_into_pages_by_name(office: Office):
    add_online(office, "a", "b", "z")
    browser = office.browser("viewer")
    first = browser.get("/admin/limits")
    assert names_of(first) == ["a", "b", "phone-1"]
    second = browser.get(next_of(first))
    assert (names_of(second), next_of(second)) == (["z"], "")


@pytest.mark.usefixtures("three_a_page")
@pytest.mark.parametrize("path", ["/admin/devices", "/admin/limits"])
def test_phones_are_found_by_a_part_of_their_name_across_pages(office: Office, path: str):
    add_online(office, "van-1", "van-2", "van-3", "old-VAN", "bus")
    browser = office.browser("viewer")
    first = browser.get(f"{path}?q=Van")
    second = browser.get(next_of(first))
    assert names_of(first) + names_of(second) == ["old-VAN", "van-1", "van-2", "van-3"]
    for nothing in ("tram", "%", "<b>"):
        page = browser.get(path, query_string={"q": nothing})
        assert "No phone was found." in text_of(page)
        assert "<b>" not in page.text


@pytest.mark.usefixtures("three_a_page")
@pytest.mark.parametrize("path", ["/admin/devices", "/admin/limits"])
def test_a_clerk_finds_no_phones_of_others_on_any_page(office: Office, path: str):
    add_online(office, "a", "b", "c", "d", "e")
    with office.world.database.transaction() as session:
        crms.add(session, "other", ["a", "b", "d", "e"], NOW)
        operators.assign(session, operators.get(session, "clerk"), ["other"])
    clerk = office.browser("clerk")
    first = clerk.get(path)
    second = clerk.get(next_of(first))
    assert (names_of(first), names_of(second), next_of(second)) == (["a", "b", "d"], ["e"], "")
    assert names_of(clerk.get(f"{path}?q=c")) == []


@pytest.mark.usefixtures("three_a_page")
@pytest.mark.parametrize("path", ["/admin/devices", "/admin/limits"])
def test_a_later_page_and_a_search_cost_little(office: Office, path: str):
    add_online(office, "a", "b", "c", "d")
    check_cheap(office, next_of(office.browser("operator").get(path)))
    check_cheap(office, f"{path}?q=a")
