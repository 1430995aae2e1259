"""The hub with conversations made for the test, over real sockets: order, limits, pings, last messages."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from unittest.mock import Mock

import pytest
from wsproto.events import Pong

from smsgw.live import connection as connection_module
from smsgw.live import hub as hub_module
from smsgw.live import line as line_module
from smsgw.live import watcher
from smsgw.live.conversation import Close, Drop, Kind
from smsgw.live.hub import Hub

from ..running import until
from .ws import Socket

BIG = 64 * 1024


class Talk:
    """A conversation that does what it is told: `say X`, `bye`, `drop`, `fail`; anything else it repeats."""

    def __init__(self, kind: Kind, key: str = "one") -> None:
        self.key = key
        self.kind = kind
        self.messages: list[str | bytes] = []
        self.to_say: list[str] = []
        self.is_closed = threading.Event()
        self.first_words = threading.Event()
        self.first_words.set()
        self.fails_to_open = False
        self.pongs = 0
        self.works = 0

    def opened(self):
        self.first_words.wait(30)
        if self.fails_to_open:
            raise ValueError("no")
        return ['"welcome"']

    def received(self, message):
        self.messages.append(message)
        text = message if isinstance(message, str) else message.hex()
        if text == "bye":
            return ['"so long"', Close(4001, "enough"), '"never received"']
        if text == "drop":
            return [Drop()]
        if text == "fail":
            raise ValueError("no")
        return [f'"{text}"']

    def work(self):
        self.works += 1
        if self.to_say[:1] == ["fail"]:
            raise ValueError(self.to_say.pop(0))
        said, self.to_say = self.to_say[:2], self.to_say[2:]
        return [f'"{words}"' for words in said]

    def last_messages(self):
        return ['"server_restart"']

    def alive(self):
        self.pongs += 1

    def closed(self):
        self.is_closed.set()


def has_something_to_say(_database, conversations):
    return [talk for talk in conversations if talk.to_say]


@pytest.fixture
def kind() -> Kind:
    return Kind("talk", find_ready=has_something_to_say)


@pytest.fixture
def hub(database) -> Iterator[Hub]:
    made = Hub(database)
    yield made
    made.close()


def join(hub: Hub, talk: Talk, *, is_welcomed: bool = True) -> Socket:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    hub.adopt(theirs, talk)
    client = Socket(ours)
    if is_welcomed:
        assert client.receive() == "welcome"
    return client


def test_messages_are_answered_in_the_order_they_came(hub, kind):
    client = join(hub, Talk(kind))
    words = [f"m{number}" for number in range(300)]
    for word in words:
        client.send(word)
    assert [client.receive() for _ in words] == words


def test_what_was_said_before_the_connection_broke_still_arrives(hub, kind):
    talk = Talk(kind)
    talk.first_words.clear()
    client = join(hub, talk, is_welcomed=False)
    for number in range(20):
        client.send(f"m{number}")
    client.ping()
    assert isinstance(client.receive(), Pong)
    client.raw.close()
    talk.first_words.set()
    assert talk.is_closed.wait(30)
    assert talk.messages == [f"m{number}" for number in range(20)]


def test_a_message_in_several_frames_is_one_message(hub, kind):
    talk = Talk(kind)
    client = join(hub, talk)
    client.send_parts("a", "b", "c")
    assert client.receive() == "abc"
    assert talk.messages == ["abc"]


def test_a_binary_message_is_passed_on_as_its_bytes(hub, kind):
    talk = Talk(kind)
    client = join(hub, talk)
    client.send_bytes(b"\xff\xfe")
    client.send_bytes(b"\xc3", b"", b"\xa9")
    client.send_bytes(b"")
    client.send("")
    client.send("text")
    assert [client.receive() for _ in range(5)][-1] == "text"
    assert talk.messages == [b"\xff\xfe", "é".encode(), b"", "", "text"]


def test_a_message_of_64_KiB_arrives(hub, kind):
    talk = Talk(kind)
    client = join(hub, talk)
    client.send("x" * BIG)
    assert client.receive() == "x" * BIG


@pytest.mark.parametrize("parts", [["x" * (BIG + 1)], ["x" * BIG, "x"], ["é" * (BIG // 2), "é"]])
def test_a_message_above_64_KiB_ends_the_connection(hub, kind, parts):
    talk = Talk(kind)
    client = join(hub, talk)
    client.send_parts(*parts)
    assert client.receive() is None
    assert client.close_code is None
    assert talk.is_closed.wait(30)
    assert talk.messages == []


def test_a_kind_may_say_goodbye_to_a_message_that_is_too_big(hub, monkeypatch):
    monkeypatch.setattr(connection_module, "CLOSE_SECONDS", 0.1)
    client = join(hub, Talk(Kind("talk", find_ready=has_something_to_say, too_big=Close(4009))))
    client.send("x" * (BIG + 1))
    assert client.receive() is None
    assert client.close_code == 4009


@pytest.mark.parametrize("parts", [[b"x" * (BIG + 1)], [b"x" * BIG, b"x"]])
def test_a_binary_message_above_64_KiB_ends_the_connection(hub, kind, parts):
    client = join(hub, Talk(kind))
    client.send_bytes(*parts)
    assert client.receive() is None


def test_nothing_is_said_after_goodbye(hub, kind):
    talk = Talk(kind)
    client = join(hub, talk)
    late = client.frame("too late")
    client.send("bye")
    assert client.receive(answering=False) == "so long"
    client.raw.sendall(late)
    client.close()
    assert client.receive() is None
    assert client.close_code == 4001
    assert talk.is_closed.wait(30)
    assert talk.messages == ["bye"]


def test_one_who_does_not_answer_our_goodbye_is_let_go(hub, kind, monkeypatch):
    monkeypatch.setattr(connection_module, "CLOSE_SECONDS", 0.1)
    client = join(hub, Talk(kind))
    client.send("bye")
    assert client.receive(answering=False) == "so long"
    assert client.receive(answering=False) is None


def test_a_drop_ends_the_connection_without_a_close_frame(hub, kind):
    client = join(hub, Talk(kind))
    client.send("drop")
    assert client.receive() is None
    assert client.close_code is None


def test_a_goodbye_of_the_client_is_answered(hub, kind):
    talk = Talk(kind)
    client = join(hub, talk)
    client.close(1001)
    assert client.receive() is None
    assert client.close_code == 1001
    assert talk.is_closed.wait(30)
    assert hub.count == 0


def test_words_that_came_to_nothing_drop_the_line_so_that_the_client_comes_back(hub, kind, caplog):
    talk = Talk(kind)
    client = join(hub, talk)
    client.raw.sendall(client.frame("fail") + client.frame("next"))
    assert client.receive() is None
    assert client.close_code is None
    assert talk.is_closed.wait(30)
    assert talk.messages == ["fail", "next"], "what was said behind it still arrives"
    assert "a step of talk one failed" in caplog.text


def test_a_conversation_that_cannot_begin_is_dropped_and_never_asked_to_work(hub, kind):
    first, talk = Talk(kind), Talk(kind)
    talk.fails_to_open = True
    talk.to_say = ["1"]
    _first, client = join(hub, first), join(hub, talk, is_welcomed=False)
    assert client.receive() is None
    assert client.close_code is None
    assert talk.is_closed.wait(30)
    assert talk.works == 0
    assert hub.count == 1


def test_work_that_fails_is_asked_for_again(hub, kind, caplog):
    talk = Talk(kind)
    client = join(hub, talk)
    talk.to_say = ["fail", "1"]
    assert client.receive() == "1"
    assert "a step of talk one failed" in caplog.text


def test_a_ping_is_answered(hub, kind):
    client = join(hub, Talk(kind))
    client.ping()
    assert isinstance(client.receive(), Pong)


def test_a_client_that_breaks_the_protocol_is_let_go(hub, kind):
    client = join(hub, Talk(kind))
    client.raw.sendall(b"\x81\x02hi")  # a frame without a mask
    assert client.receive() is None
    assert client.close_code == 1002


def test_what_there_is_to_say_is_said_until_nothing_is_left(hub, kind):
    talk = Talk(kind)
    client = join(hub, talk)
    talk.to_say = ["1", "2", "3", "4", "5"]
    assert [client.receive() for _ in range(5)] == ["1", "2", "3", "4", "5"]


def test_nothing_is_handed_to_a_line_that_does_not_answer_a_ping(hub, monkeypatch):
    monkeypatch.setattr(line_module, "LIVE_SECONDS", 0.0)
    talk = Talk(Kind("talk", find_ready=has_something_to_say, needs_live_line=True))
    client = join(hub, talk)
    talk.to_say = ["1"]
    assert client.raw.recv(100) == b"\x89\x00"  # a ping
    assert talk.works == 0
    client.pong()
    assert client.receive() == "1"


def test_a_line_that_was_just_live_is_handed_its_messages_without_a_ping(hub):
    talk = Talk(Kind("talk", find_ready=has_something_to_say, needs_live_line=True))
    client = join(hub, talk)
    talk.to_say = ["1"]
    assert client.receive() == "1"


def test_nobody_is_asked_who_has_nothing(hub, kind):
    idle, busy = Talk(kind, "idle"), Talk(kind, "busy")
    _idler, client = join(hub, idle), join(hub, busy)
    busy.to_say = ["1"]
    assert client.receive() == "1"
    assert idle.works == 0


def test_others_of_the_same_key_are_asked_when_one_opens(hub, kind):
    first, stranger = Talk(kind), Talk(kind, "two")
    _clients = [join(hub, first), join(hub, stranger), join(hub, Talk(kind))]
    until(lambda: first.works == 1, "the first to be asked")
    assert stranger.works == 0


def test_what_is_not_urgent_is_inspected_now_and_then(hub, monkeypatch):
    monkeypatch.setattr(watcher, "INSPECT_SECONDS", 0.0)
    kind = Kind(
        "talk", find_ready=lambda _db, _all: [], inspect=lambda _db, conversations: conversations
    )
    talk = Talk(kind)
    _client = join(hub, talk)
    until(lambda: talk.works, "an inspection")


def test_a_heartbeat_comes_after_the_first_words_and_again(hub):
    kind = Kind(
        "talk",
        find_ready=has_something_to_say,
        heartbeat=lambda: '"heartbeat"',
        heartbeat_seconds=0.05,
    )
    talk = Talk(kind)
    talk.first_words.clear()
    early = join(hub, Talk(kind))
    assert [early.receive(), early.receive()] == ["heartbeat", "heartbeat"]
    late = join(hub, talk, is_welcomed=False)
    assert [early.receive(), early.receive()] == ["heartbeat", "heartbeat"]
    talk.first_words.set()
    assert [late.receive(), late.receive()] == ["welcome", "heartbeat"]


def test_one_who_answers_pings_stays_and_one_who_does_not_is_let_go(hub, kind, monkeypatch):
    monkeypatch.setattr(hub_module, "PING_SLOT_SECONDS", 0.01)
    monkeypatch.setattr(line_module, "PONG_SECONDS", 2.0)
    lively, dead = Talk(kind, "lively"), Talk(kind, "dead")
    answering, silent = join(hub, lively), join(hub, dead)
    threading.Thread(target=answering.receive, daemon=True).start()
    assert silent.receive(answering=False) is None
    until(lambda: lively.pongs >= 3, "three answers")
    assert dead.pongs == 0
    assert hub.count == 1


def test_a_socket_keeps_nothing_of_the_request_it_came_with(hub, kind, monkeypatch):
    monkeypatch.setattr(hub_module, "PING_SLOT_SECONDS", 0.002)
    request = ContextVar("request", default="none")
    request.set("the request")
    talk, seen = Talk(kind), []
    monkeypatch.setattr(talk, "alive", lambda: seen.append(request.get()))
    client = join(hub, talk)
    threading.Thread(target=client.receive, daemon=True).start()
    until(lambda: seen, "an answer to a ping")
    assert seen[0] == "none"


def test_one_who_does_not_read_is_let_go(hub, kind):
    talk = Talk(kind)
    client = join(hub, talk)
    client.raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    talk.to_say = ["x" * 100_000] * 50
    assert talk.is_closed.wait(60)


def test_one_who_reads_slowly_gets_everything(hub, kind):
    talk = Talk(kind)
    client = join(hub, talk)
    talk.to_say = ["x" * 60_000] * 50
    assert [len(client.receive()) for _ in range(50)] == [60_000] * 50


def test_one_who_sends_faster_than_we_work_is_made_to_wait(hub, kind):
    talk = Talk(kind)
    talk.first_words.clear()
    client = join(hub, talk, is_welcomed=False)
    client.raw.settimeout(0.5)
    with pytest.raises(TimeoutError):
        send_much(client)
    assert talk.messages == []
    talk.first_words.set()


def send_much(client):
    for _ in range(200):
        client.send("x" * 60_000)


def test_all_hear_the_farewell_and_lose_the_connection_without_a_close_frame(hub, kind):
    clients = [join(hub, Talk(kind, str(number))) for number in range(1000)]
    hub.stop()
    for client in clients:
        assert client.receive() == "server_restart"
        assert client.receive() is None
        assert client.close_code is None


def test_what_was_received_before_the_end_is_done(hub, kind):
    talk = Talk(kind)
    talk.first_words.clear()
    client = join(hub, talk, is_welcomed=False)
    client.send("important")
    until(lambda: hub.count, "the socket")
    client.ping()
    assert isinstance(client.receive(), Pong)
    hub.stop()
    talk.first_words.set()
    hub.close()
    assert talk.messages == ["important"]


def test_a_socket_that_comes_after_the_end_is_closed(hub, kind):
    _early = join(hub, Talk(kind))
    hub.close()
    late = join(hub, Talk(kind), is_welcomed=False)
    assert late.receive() is None


def test_a_reset_connection_is_over(hub, kind):
    talk = Talk(kind)
    client = join(hub, talk)
    client.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.raw.close()
    assert talk.is_closed.wait(30)


def test_a_key_has_as_many_sockets_as_its_kind_allows():
    kind = Kind("few", find_ready=lambda _database, _all: [], most=2)
    other = Kind("many", find_ready=lambda _database, _all: [])
    hub = Hub(None)
    for talk in (Talk(kind), Talk(kind, "two"), Talk(kind, "two"), Talk(other), Talk(other)):
        assert not hub.is_full(talk)
        hub.add(Mock(conversation=talk))
    assert hub.is_full(Talk(kind, "two"))
    assert not hub.is_full(Talk(kind))
    assert not hub.is_full(Talk(other))
