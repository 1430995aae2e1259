"""The pages about people."""

from smsgw.core.accounts import operators

from .conftest import Office, text_of


def test_a_person_is_added_with_a_key_that_is_shown_once_and_signs_in(office: Office):
    browser = office.browser("operator")
    browser.get("/admin/people")
    page = browser.send(
        "/admin/people/add", name="Zoë <b>", role="clerk", which="some", crms="clinic"
    )
    key = page.text.partition('<pre tabindex="0">')[2].partition("<")[0]
    assert key not in browser.get("/admin/people").text
    assert "Zoë &lt;b&gt;" in browser.page.text
    with office.world.database.reading() as session:
        assert [*operators.access_of(session, "Zoë <b>").crms.values()] == ["clinic"]
    assert office.browser().sign_in(key).status_code == 200


def test_a_name_that_is_taken_is_said_beside_the_field_with_what_was_typed(office: Office):
    browser = office.browser("operator")
    browser.get("/admin/people")
    page = browser.send("/admin/people/add", name="clerk", role="viewer")
    assert page.status_code == 409
    assert "There is &#39;clerk&#39; already." in page.text
    form = browser.form("/admin/people/add")
    assert (form.fields["name"], form.fields["role"]) == ("clerk", "viewer")


def test_a_role_is_changed_and_holds_at_once(office: Office):
    viewer, browser = office.browser("viewer"), office.browser("operator")
    assert viewer.get("/admin/people").status_code == 403
    browser.get("/admin/person?name=viewer")
    browser.send("/admin/person/change", role="operator")
    assert viewer.get("/admin/people").status_code == 200


def test_the_only_operator_can_be_neither_removed_nor_demoted(office: Office):
    browser = office.browser("operator")
    for action, fields in (("remove", {}), ("change", {"role": "viewer"})):
        browser.get("/admin/person?name=operator")
        page = browser.send(f"/admin/person/{action}", **fields)
        assert page.status_code == 409
        assert "Operator is the only operator; add another one first" in text_of(page)


def test_a_session_of_somebody_else_is_ended(office: Office):
    clerk, browser = office.browser("clerk"), office.browser("operator")
    browser.get("/admin/person?name=clerk")
    browser.send("/admin/person/sign-out")
    assert clerk.get("/admin/overview").status_code == 303


def test_a_reset_gives_a_new_key_and_the_old_one_is_void(office: Office):
    browser = office.browser("operator")
    browser.get("/admin/person?name=clerk")
    page = browser.send("/admin/person/reset")
    assert "The new key of clerk" in text_of(page)
    assert office.browser().sign_in(office.keys["clerk"]).status_code == 401


def test_the_log_says_in_words_which_crms_a_clerk_has(office: Office):
    browser = office.browser("operator")
    for which in ("some", "all"):
        browser.get("/admin/person?name=clerk")
        browser.send("/admin/person/change", role="clerk", which=which, crms="clinic")
    log = text_of(browser.get("/admin/log"))
    for words in (
        "all CRMs: yes → no",
        "CRMs: none → clinic",
        "all CRMs: no → yes",
        "CRMs: clinic → none",
    ):
        assert words in log
    assert "uses_all" not in log
