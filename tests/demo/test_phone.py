"""The simulated phone against a scripted server on a real socket: the stock app's facts, one by one."""

import base64
import gzip

import pytest

from demo.handset import EMPTY_CONTENT
from demo.phone import Mode, PhoneInHand
from demo.rows import Report

from ..running import free_port
from .gateway_script import CLOSE, answer, hand_out, running_script

OTHER_KINDS_OF_SUCCESS = [
    answer({}),
    answer({"medic-gateway": True}),
    answer({"error": True}),
    answer({"messages": None}),
    answer({"messages": []}, status=201),
    answer({}, Content_Type="text/html"),
    answer(b"\xef\xbb\xbf{}"),
    answer(b'{"messages":[]} and some garbage'),
    answer(gzip.compress(b"{}"), Content_Encoding="gzip"),
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\n{}",
]
NO_SUCCESS = [
    answer(b""),
    (204, {}, b""),
    answer([]),
    answer(None),
    answer(b"OK"),
    answer(b"<html>"),
    answer({"messages": []}, status=307, Location="/elsewhere"),
    answer({"messages": []}, status=308, Location="/elsewhere"),
    answer({"messages": []}, status=300),
    answer({}, status=400),
    answer({}, status=401),
    answer({}, status=429, Retry_After="1"),
    answer({}, status=500),
    answer({}, status=503),
    b'HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"messages":[]}',
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n{}",
    b"garbage\r\n\r\n",
    CLOSE,
]


class Clock:
    def __init__(self):
        self.seconds = 1_800_000_000.0

    def __call__(self):
        return self.seconds

    def pass_by(self, seconds):
        self.seconds += seconds


@pytest.fixture
def server():
    with running_script() as running:
        yield running


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def phone(server, clock):
    with PhoneInHand(server.url, clock=clock) as one:
        yield one


def arrive(phone, clock, count):
    """SMS in the tables without a poll, oldest first."""
    return [
        phone.handset.receive(f"text {n}", "+491511234567", int(clock() * 1000) + n)
        for n in range(count)
    ]


def silent_network(message):
    return []


# --- requests ---


def test_a_poll_always_carries_both_lists(server, phone):
    phone.wake()
    assert server.requests[0].raw == b'{"messages":[],"updates":[]}'


def test_a_post_has_the_headers_of_the_app_in_its_order(server, clock):
    with PhoneInHand(server.url_for("demo:secret"), clock=clock) as phone:
        phone.wake()
    (post,) = server.requests
    agent = "Dalvik/2.1.0 (Linux; U; Android 9; Pretend Build/DEMO)"
    assert post.headers == [
        ("User-Agent", f"{agent} medic.gateway.alert.generic/v1.8.1"),
        ("Authorization", f"Basic {base64.b64encode(b'demo:secret').decode()}"),
        ("Accept", "application/json"),
        ("Accept-Charset", "utf-8"),
        ("Cache-Control", "no-cache"),
        ("Content-Type", "application/json"),
        ("Host", f"127.0.0.1:{server.server_port}"),
        ("Connection", "Keep-Alive"),
        ("Accept-Encoding", "gzip"),
        ("Content-Length", "28"),
    ]


def test_the_check_is_a_get_without_accept_and_without_a_body(server, phone):
    server.script.append(answer({"medic-gateway": True}))
    assert phone.check() == ""
    (get,) = server.requests
    names = [name for name, _ in get.headers]
    assert (get.method, get.raw) == ("GET", b"")
    assert names == ["User-Agent", "Content-Type", "Host", "Connection", "Accept-Encoding"]


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("u:p", b"u:p"),
        ("u:p@ss", b"u:p%40ss"),
        ("u:pa%20ss", b"u:pa%2520ss"),
        ("u:a:b/c", b"u:a%3Ab%2Fc"),
        ("u:\xe9", b"u:%C3%A9"),
        ("u:a-_.!~'()*", b"u:a-_.!~'()*"),
        ("us%20er:p", b"us%20er:p"),
        ("\xe9:p", b"\xe9:p"),
        ("\u0416:p", b"?:p"),
        ("token", b"token"),
        (":p", b":p"),
        ("u:", b"u:"),
    ],
)
def test_the_password_travels_percent_encoded_and_the_user_as_typed(server, typed, sent):
    with PhoneInHand(server.url_for(typed)) as phone:
        phone.poll_once()
    assert base64.b64decode(server.requests[0].header("Authorization").split()[1]) == sent


def test_the_path_and_query_are_used_as_they_are(server):
    with PhoneInHand(server.url_for("u:p", "/a/b/?x=1&y=%20")) as phone:
        phone.poll_once()
    assert server.requests[0].path == "/a/b/?x=1&y=%20"


@pytest.mark.parametrize("url", ["HTTPS://host/", " http://host/", "host/api/sms", "ftp://host"])
def test_urls_the_app_refuses_are_refused(url):
    with pytest.raises(ValueError, match="must be a valid URL"):
        PhoneInHand(url)


def test_connections_are_kept_and_a_dead_one_is_replaced_by_a_silent_repeat(server, phone):
    server.script += [answer({}), answer({}), CLOSE, answer({})]
    assert all(phone.poll_once().ok for _ in range(3))
    peers = [request.peer for request in server.requests]
    assert peers[0] == peers[1] == peers[2] != peers[3]
    assert server.requests[2].raw == server.requests[3].raw


def test_a_message_is_written_as_android_writes_it(server, phone, clock):
    content = 'a/b \u2028 \x00 \n \U0001f600 \ud83d "q"'
    phone.handset.receive(content, "MPESA", 1_800_000_000_123)
    phone.wake()
    raw = server.requests[0].raw.decode()
    sms = server.requests[0].json["messages"][0]
    assert list(sms) == ["sms_received", "sms_sent", "content", "from", "id"]
    assert '"a\\/b \\u2028 \\u0000 \\n \U0001f600 ? \\"q\\""' in raw
    assert (sms["from"], sms["sms_received"], sms["sms_sent"]) == (
        "MPESA",
        1_800_000_000_123,
        1_800_000_000_000,
    )
    assert len(sms["id"]) == 36
    assert sms["id"] == sms["id"].lower()


def test_a_multipart_sms_has_no_sending_time(server, phone):
    phone.handset.receive("x" * 161, "144", 1_800_000_000_000)
    phone.wake()
    assert server.requests[0].json["messages"][0]["sms_sent"] == 0


# --- what counts as success ---


@pytest.mark.parametrize("says", OTHER_KINDS_OF_SUCCESS)
def test_a_2xx_with_a_json_object_makes_the_phone_forget_the_batch(server, phone, clock, says):
    arrive(phone, clock, 1)
    server.script.append(says)
    assert phone.poll_once().ok
    phone.poll_once()
    assert len(server.requests[0].ids()) == 1
    assert server.requests[1].ids() == []


@pytest.mark.parametrize("says", NO_SUCCESS)
def test_anything_else_makes_it_send_the_same_batch_again(server, phone, clock, says):
    arrive(phone, clock, 12)
    server.script.append(says)
    poll = phone.wake()
    assert [p.ok for p in poll] == [False]
    phone.wake()
    first, second = server.requests[:2]
    assert first.raw == second.raw
    assert len(first.ids()) == 10


def test_an_unreachable_server_is_an_error_and_nothing_is_lost(clock):
    with PhoneInHand(f"http://127.0.0.1:{free_port()}/", clock=clock) as phone:
        arrive(phone, clock, 1)
        (poll,) = phone.wake()
        assert poll.status is None
        assert len(phone.handset.batch().messages) == 1


@pytest.mark.parametrize("messages", [{}, "", 5, True])
def test_messages_that_are_no_list_fail_the_poll_after_the_batch_is_forgotten(
    server, phone, clock, messages
):
    arrive(phone, clock, 10)
    server.script.append(answer({"messages": messages}))
    assert [poll.ok for poll in phone.wake()] == [False]
    phone.wake()
    assert server.requests[1].ids() == []


@pytest.mark.parametrize("status", [300, 301, 302, 303])
def test_a_redirected_post_becomes_a_get_and_loses_what_it_carried(server, phone, clock, status):
    arrive(phone, clock, 1)
    server.script += [
        answer(b"", status=status, Location="/api/sms/"),
        answer({"medic-gateway": True}),
    ]
    assert phone.poll_once().ok
    post, get = server.requests
    assert (post.method, get.method, get.path, get.raw) == ("POST", "GET", "/api/sms/", b"")
    assert get.header("Content-Type") is None
    assert get.header("Accept") == "application/json"
    assert phone.handset.batch().messages == []


def test_a_redirect_to_another_scheme_is_not_followed(server, phone):
    server.script.append(answer({}, status=302, Location=f"https://127.0.0.1:{free_port()}/"))
    assert phone.poll_once().error == "HTTP 302"


def test_endless_redirects_are_an_error(server, phone):
    server.otherwise = answer(b"", status=302, Location="/api/sms")
    assert not phone.poll_once().ok
    assert len(server.requests) == 21


@pytest.mark.parametrize(
    ("says", "text"),
    [
        (answer({"medic-gateway": True}), ""),
        (answer({"medic-gateway": "TRUE"}), ""),
        (answer({"medic-gateway": 1}), "URL not responding in expected way"),
        (answer({}), "URL not responding in expected way"),
        (answer({"medic-gateway": True}, status=401), "authorisation failed"),
        (answer({"medic-gateway": True}, status=403), "URL not responding in expected way"),
        (answer({"medic-gateway": True}, status=404), "URL not responding in expected way"),
        (answer(b"OK"), "URL not responding in expected way"),
        (CLOSE, "unable to contact server"),
    ],
)
def test_the_check_says_what_the_app_says(server, phone, says, text):
    server.script.append(says)
    assert phone.check() == text


def test_the_check_happily_follows_a_redirect(server, phone):
    server.script += [
        answer(b"", status=307, Location="/there"),
        answer({"medic-gateway": True}),
    ]
    assert phone.check() == ""
    assert server.requests[1].path == "/there"


# --- the loop ---


@pytest.mark.parametrize(
    ("waiting", "sizes"), [(25, [10, 10, 5]), (10, [10, 0]), (9, [9]), (0, [0])]
)
def test_it_polls_on_while_batches_go_out_full(server, phone, clock, waiting, sizes):
    ids = arrive(phone, clock, waiting)
    phone.wake()
    assert [len(request.ids()) for request in server.requests] == sizes
    assert [id_ for request in server.requests for id_ in request.ids()] == ids


def test_an_error_ends_the_loop(server, phone, clock):
    arrive(phone, clock, 25)
    server.script += [answer({}), answer({}, status=500)]
    phone.wake()
    assert len(server.requests) == 2


def test_twenty_updates_go_out_per_request_and_keep_the_loop_going(server, clock):
    with PhoneInHand(server.url, clock=clock, network=silent_network) as phone:
        server.script.append(hand_out(*(f"m{n}" for n in range(25))))
        phone.wake()
        phone.wake()
    sizes = [len(request.json["updates"]) for request in server.requests]
    assert sizes == [0, 20, 15]  # 25 UNSENT and 10 PENDING, in the order they came to be
    assert server.requests[1].statuses() == ["UNSENT"] * 20
    assert server.requests[2].statuses() == ["UNSENT"] * 5 + ["PENDING"] * 10


def test_an_incoming_sms_makes_one_poll_with_the_ten_oldest(server, phone, clock):
    ids = arrive(phone, clock, 15)
    clock.pass_by(1)
    server.script.append(hand_out("m1"))
    phone.receive("new", "+491511234567")
    assert len(server.requests) == 1
    assert server.requests[0].ids() == ids[:10]
    assert phone.ledger.messages["m1"].sent == 1


def test_an_incoming_sms_sends_nothing_when_its_poll_fails_but_an_alarm_does(server, phone):
    server.script += [hand_out("m1"), answer({}, status=500), answer({}, status=500)]
    phone.poll_once()
    phone.receive("new", "+491511234567")
    assert phone.ledger.messages["m1"].sent == 0
    phone.wake()
    assert phone.ledger.messages["m1"].sent == 1


# --- sending ---


def test_a_message_goes_unsent_pending_sent_delivered_and_each_is_told_once(server, phone, clock):
    server.script.append(hand_out("m1"))
    phone.wake()
    clock.pass_by(1)
    phone.wake()
    clock.pass_by(5)
    phone.wake()
    phone.wake()
    reported = [request.statuses("m1") for request in server.requests]
    assert reported == [[], ["UNSENT", "PENDING", "SENT"], ["DELIVERED"], []]
    assert phone.ledger.messages["m1"].sent == 1
    assert phone.ledger.messages["m1"].last_status == "DELIVERED"


def test_an_update_has_a_reason_only_when_it_failed(server, phone):
    server.script.append(hand_out("m1", to="MPESA"))
    phone.wake()
    phone.wake()
    assert server.requests[1].json["updates"] == [
        {"status": "UNSENT", "id": "m1"},
        {"status": "PENDING", "id": "m1"},
        {"status": "FAILED", "id": "m1", "reason": "destination.invalid"},
    ]


@pytest.mark.parametrize("to", ["MPESA", "*144#", "(020)123", "++1", "", "+44\u00a01"])
def test_numbers_android_refuses_fail(server, phone, to):
    server.script.append(hand_out("m1", to=to))
    phone.wake()
    assert phone.handset.outgoing["m1"].status == "FAILED"
    assert phone.ledger.messages["m1"].sent == 0


@pytest.mark.parametrize(
    ("to", "dialled"),
    [("144", "144"), ("0044123", "0044123"), ("+1.234", "+1.234"), ("+1-2 3\t4", "+1234")],
)
def test_other_numbers_are_sent_without_blanks_and_hyphens(server, phone, to, dialled):
    server.script.append(hand_out("m1", to=to))
    phone.wake()
    assert phone.handset.outgoing["m1"].to == dialled
    assert phone.ledger.messages["m1"].sent == 1


def test_an_empty_content_fails_with_androids_exception(server, phone):
    server.script.append(hand_out("m1", content=""))
    phone.wake()
    phone.wake()
    assert server.requests[1].json["updates"][-1]["reason"] == EMPTY_CONTENT


def test_a_bad_item_is_skipped_without_a_word_and_never_hurts_its_neighbours(server, phone):
    good = {"id": "good", "to": "1", "content": "x"}
    bad = [None, 5, "x", [], {}, {"id": "a", "to": "1"}, {"to": "1", "content": "x"}]
    server.script.append(
        answer({"messages": [*bad, good, {"id": "two", "to": 5, "content": None}]})
    )
    assert phone.wake()[0].handed_out == 2
    assert list(phone.ledger.messages) == ["good", "two"]
    assert phone.handset.outgoing["two"].content == "null"
    assert phone.handset.outgoing["two"].to == "5"


def test_a_known_id_never_sends_again_and_only_its_last_status_is_told(server, phone, clock):
    server.script += [
        hand_out("m1"),
        hand_out("m1", content="other", to="+1"),
        answer({}),
    ]
    phone.wake()
    clock.pass_by(10)
    phone.wake()
    phone.wake()
    assert server.requests[2].statuses("m1") == ["DELIVERED"]
    assert phone.ledger.messages["m1"].sent == 1
    assert phone.handset.outgoing["m1"].content == "hi"


def test_even_a_failed_message_is_not_sent_again_under_its_id(server, phone):
    server.script += [hand_out("m1", to="bad"), hand_out("m1"), answer({})]
    for _ in range(3):
        phone.wake()
    assert server.requests[2].statuses() == ["FAILED"]
    assert phone.ledger.messages["m1"].sent == 0


def test_two_items_with_one_id_are_one_message(server, phone):
    server.script.append(hand_out("m1", "m1"))
    phone.wake()
    assert phone.ledger.messages["m1"].sent == 1


def test_twenty_known_messages_handed_out_again_keep_it_polling_and_nothing_is_sent(server, phone):
    ids = [f"m{n}" for n in range(25)]
    phone_sent_early = []

    def again(request):
        phone_sent_early.append(sum(f.sent for f in phone.ledger.messages.values()))
        return hand_out(*ids)

    server.script += [hand_out(*ids), *[again] * 30]
    phone.poll_once()
    phone.wake()  # ends only because the script does
    assert len(server.requests) > 31
    assert phone_sent_early == [0] * 30


def test_a_hand_out_restarts_the_retry_wait(server, clock):
    with PhoneInHand(server.url, Mode.RADIO_OFF, clock=clock) as phone:
        server.script.append(hand_out("m1"))
        phone.wake()
        clock.pass_by(58)
        server.script.append(hand_out("m1"))
        phone.wake()
        clock.pass_by(58)
        phone.wake()
        assert phone.handset.outgoing["m1"].retries == 1
        clock.pass_by(3)
        phone.wake()
        assert phone.handset.outgoing["m1"].retries == 2


def test_ten_messages_in_their_retry_wait_block_all_newer_ones(server, clock):
    tried = []

    def off(message):
        tried.append(message.id)
        return [Report(0, "retry", "no-service")]

    with PhoneInHand(server.url, clock=clock, network=off) as phone:
        server.script.append(hand_out(*(f"m{n}" for n in range(10))))
        phone.wake()
        clock.pass_by(1)
        server.script.append(hand_out("new"))
        for _ in range(4):
            phone.wake()
            clock.pass_by(10)
        assert "new" not in tried
        assert phone.handset.outgoing["new"].status == "UNSENT"


def test_a_radio_that_stays_off_gives_43_updates_over_almost_13_hours(server, clock):
    with PhoneInHand(server.url, Mode.RADIO_OFF, clock=clock) as phone:
        server.script.append(hand_out("m1"))
        phone.wake()
        began, waits = clock(), []
        while phone.handset.outgoing["m1"].status == "UNSENT":
            row = phone.handset.outgoing["m1"]
            waits.append(round((phone.handset.retry_at(row) - row.last_action) / 60_000, 2))
            clock.seconds = phone.handset.retry_at(row) / 1000 + 0.001
            phone.wake()
        phone.wake()
        reported = [status for request in server.requests for status in request.statuses()]
    assert reported == ["UNSENT", "PENDING"] * 21 + ["FAILED"]
    assert server.requests[-1].json["updates"][-1]["reason"] == "radio-off"
    assert waits[:3] == [1.0, 2.83, 5.2]
    assert 12.6 < (clock() - began) / 3600 < 12.8
    assert phone.ledger.messages["m1"].sent == 0


def test_speed_shortens_the_retry_wait(server, clock):
    with PhoneInHand(server.url, Mode.RADIO_OFF, clock=clock, speed=60) as phone:
        server.script.append(hand_out("m1"))
        phone.wake()
        clock.pass_by(1.1)
        phone.wake()
        assert phone.handset.outgoing["m1"].retries == 2


@pytest.mark.parametrize(
    ("reports", "reported"),
    [
        ([Report(0, "sent"), Report(1, "undelivered", "Congestion")], ["SENT"]),
        ([Report(0, "undelivered", "Congestion"), Report(1, "sent")], ["FAILED"]),
        ([Report(0, "delivered"), Report(1, "sent")], ["DELIVERED"]),
        ([Report(0, "failed", "generic; errorCode=7")], ["FAILED"]),
        ([], []),
    ],
)
def test_reports_change_the_status_as_in_the_app(server, clock, reports, reported):
    with PhoneInHand(server.url, clock=clock, network=lambda message: reports) as phone:
        server.script.append(hand_out("m1"))
        phone.wake()
        clock.pass_by(1)
        phone.wake()
    assert server.requests[1].statuses() == ["UNSENT", "PENDING", *reported]


def test_the_retry_button_sends_a_pending_message_a_second_time(server, clock):
    with PhoneInHand(server.url, clock=clock, network=silent_network) as phone:
        server.script.append(hand_out("m1"))
        phone.wake()
        phone.handset.press_retry("m1", phone.phone.now())
        phone.wake()
        phone.wake()
        assert server.requests[2].statuses() == ["PENDING"]
        assert server.requests[1].statuses() == ["UNSENT", "PENDING", "UNSENT"]
        assert phone.ledger.sent_twice() == ["m1"]


def test_an_sms_composed_on_the_phone_gives_updates_of_an_unknown_id(server, phone):
    id_ = phone.handset.compose("+44 7700 900123", "hello", phone.phone.now())
    phone.wake()
    phone.wake()
    assert server.requests[0].statuses(id_) == ["UNSENT"]
    assert server.requests[1].statuses(id_) == ["PENDING"]


# --- old data ---


def test_after_a_reinstall_old_sms_come_again_under_their_old_ids(server, phone, clock):
    ids = arrive(phone, clock, 3)
    phone.wake()
    phone.handset.restart_app()
    phone.wake()
    phone.handset.reinstall()
    phone.handset.restart_app()
    phone.wake()
    first, second, third = server.requests
    assert (first.ids(), second.ids(), third.ids()) == (ids, [], ids)
    assert first.json["messages"] == third.json["messages"]


def test_after_a_reinstall_an_id_handed_out_again_is_sent_again(server, phone):
    server.script += [hand_out("m1"), hand_out("m1")]
    phone.wake()
    phone.handset.reinstall()
    phone.wake()
    assert phone.ledger.sent_twice() == ["m1"]


def test_clearing_old_data_drops_waiting_and_unsent_sms_but_not_their_updates(server, phone, clock):
    arrive(phone, clock, 1)
    server.script += [answer({}, status=500), hand_out("m1"), answer({}, status=500)]
    phone.poll_once()
    phone.handset.store([{"id": "m1", "to": "1", "content": "x"}], phone.phone.now())
    clock.pass_by(7 * 24 * 3600 + 60)
    phone.handset.clear_old_data(phone.phone.now())
    server.script.clear()
    phone.wake()
    assert server.requests[-1].ids() == []
    assert server.requests[-1].statuses("m1") == ["UNSENT"]
    assert phone.ledger.messages["m1"].sent == 0
