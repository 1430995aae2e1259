"""RabbitMQ as an endpoint, against a real broker: what it takes is safe there, and what it does not take is kept."""

import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from smsgw import brokers
from smsgw.addresses import Guard
from smsgw.brokers import BrokerRefused
from smsgw.core.webhooks import endpoints, retries, settling, urls
from smsgw.core.webhooks.retries import AttemptResult
from smsgw.core.webhooks.settling import Finished
from smsgw.delivery import amqp_connection
from smsgw.delivery.amqp_connection import OutgoingEvent
from smsgw.delivery.attempts import Carriers, begin
from smsgw.delivery.in_flight import InFlight
from smsgw.delivery.rabbitmq import MOST_IDLE, Publisher
from smsgw.errors import Invalid
from tests.conftest import NOW
from tests.delivery import broker as brokering
from tests.delivery.broker import Broker, Gate
from tests.delivery.conftest import LEASE, LOOPBACK, DeliveryWorld
from tests.delivery.misbehaving import Misbehaving, answers, says_nothing
from tests.running import free_port, until

LETTER = OutgoingEvent(
    "evt_1", "message.received", b'{"id":"evt_1"}', 1772366400, {"webhook-id": "evt_1"}
)
# Far above what a broker on this machine needs, far below what a test may take.
PATIENT_SECONDS = 20.0


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for broker.test and nothing else: the file with it and its key."""
    path = tmp_path_factory.mktemp("broker-tls") / "broker.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=broker.test"
    names = ["-addext", "subjectAltName=DNS:broker.test", "-keyout", path, "-out", f"{path}.crt"]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory, certificate: Path) -> Iterator[Broker]:
    if not brokering.is_installed():
        text = "RabbitMQ is not installed: apt-get install rabbitmq-server"
        pytest.fail(text) if os.environ.get("CI") else pytest.skip(text)
    with brokering.running(tmp_path_factory.mktemp("broker"), certificate) as started:
        yield started


@pytest.fixture
def gate(broker: Broker) -> Iterator[Gate]:
    made = Gate(broker.port)
    yield made
    made.shut()


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    made = Publisher(Guard(LOOPBACK))
    yield made
    made.close()


def test_an_event_is_published_with_its_exact_bytes_persistent_and_signed(
    delivery_world: DeliveryWorld, broker: Broker
):
    broker.bind("all")
    endpoint_id = delivery_world.add_endpoint(broker.url())
    (event_id,) = delivery_world.record(event_type="message.delivered")
    delivery_world.round()
    ((method, properties, body),) = broker.messages("all")
    assert body == delivery_world.body(event_id)
    assert (method.exchange, method.routing_key) == ("smsgw", "message.delivered")
    assert (properties.message_id, properties.type) == (event_id, "message.delivered")
    assert (properties.delivery_mode, properties.content_type) == (2, "application/json")
    assert properties.timestamp == int(NOW.timestamp())
    assert properties.headers["webhook-id"] == event_id
    assert properties.headers["webhook-signature"].startswith("v1,")
    delivery = delivery_world.delivery(endpoint_id)
    assert delivery.status == "delivered"
    assert [attempt["status_code"] for attempt in delivery_world.attempts(delivery)] == [200]


def test_a_closed_port_is_a_failure_like_a_receivers(delivery_world: DeliveryWorld):
    endpoint_id = delivery_world.add_endpoint(f"amqp://127.0.0.1:{free_port()}/?exchange=smsgw")
    delivery_world.record()
    delivery_world.round()
    (attempt,) = delivery_world.attempts(delivery_world.delivery(endpoint_id))
    assert attempt["error"] == "connection_refused"


def test_a_broker_that_is_away_loses_nothing(
    delivery_world: DeliveryWorld, broker: Broker, gate: Gate
):
    broker.bind("all")
    endpoint_id = delivery_world.add_endpoint(broker.url(gate.port))
    gate.shut()
    recorded = delivery_world.record(3)
    delivery_world.round()
    assert {row.status for row in delivery_world.deliveries(endpoint_id)} == {"pending"}
    (attempt,) = delivery_world.attempts(delivery_world.deliveries(endpoint_id)[0])
    assert attempt["error"] == "connection_refused"
    gate.open()
    delivery_world.round(NOW + timedelta(minutes=1))
    assert {row.status for row in delivery_world.deliveries(endpoint_id)} == {"delivered"}
    assert {entry[1].message_id for entry in broker.messages("all")} == set(recorded)


def test_a_bug_in_publishing_is_logged_and_leaves_the_delivery_to_its_lease(
    delivery_world: DeliveryWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def publish(*_: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Publisher, "publish", publish)
    endpoint_id = delivery_world.add_endpoint("amqp://127.0.0.1:9/?exchange=smsgw")
    delivery_world.record()
    (claimed,) = delivery_world.take()
    in_flight = InFlight(
        lambda claimed, tell: begin(claimed, delivery_world.carriers, 5, NOW, tell), 16
    )
    in_flight.begin(claimed)
    until(lambda: not in_flight, "the attempt has ended")
    assert in_flight.ended(0) == []
    assert "a bug" in caplog.text
    assert delivery_world.delivery(endpoint_id).claim == claimed.claim


def test_what_no_queue_wants_is_a_failure_and_comes_when_one_does(
    delivery_world: DeliveryWorld, broker: Broker
):
    broker.bind("failed", "message.failed")
    broker.unbind("all")
    endpoint_id = delivery_world.add_endpoint(broker.url())
    (event_id,) = delivery_world.record()
    delivery_world.round()
    (attempt,) = delivery_world.attempts(delivery_world.delivery(endpoint_id))
    assert attempt["error"] == "unroutable"
    assert "message.received" in attempt["detail"]
    broker.bind("all")
    delivery_world.round(NOW + timedelta(minutes=1))
    assert [entry[1].message_id for entry in broker.messages("all")] == [event_id]


def test_what_the_broker_refuses_to_keep_is_a_failure(publisher: Publisher, broker: Broker):
    broker.unbind("all")
    broker.bind("full", **{"x-max-length": 0, "x-overflow": "reject-publish"})
    outcome = publisher.publish(broker.url(), LETTER, PATIENT_SECONDS)
    broker.unbind("full")
    assert (outcome.error, outcome.status_code) == ("broker_refused", None)


@pytest.mark.parametrize(
    ("changed", "error", "said"),
    [
        ({"login": "sms%40gw:wrong"}, "login_refused", "user and password"),
        ({"exchange": "elsewhere"}, "broker_refused", "no exchange 'elsewhere'"),
    ],
)
def test_a_refusal_says_why_and_shows_no_credentials(
    publisher: Publisher, broker: Broker, caplog: pytest.LogCaptureFixture, changed, error, said
):
    caplog.set_level("DEBUG")
    outcome = publisher.publish(broker.url(**changed), LETTER, PATIENT_SECONDS)
    assert outcome.error == error
    assert said in str(outcome.detail)
    for secret in ("wrong", brokering.PASSWORD, brokering.USER, brokering.LOGIN):
        assert secret not in str(outcome)
        assert secret not in caplog.text


def test_an_unknown_virtual_host_is_named(publisher: Publisher, broker: Broker):
    outcome = publisher.publish(broker.url().replace("a%2Fb", "nix"), LETTER, PATIENT_SECONDS)
    assert outcome.error == "login_refused"
    assert "'nix'" in str(outcome.detail)


def test_a_connection_is_used_again_and_one_that_broke_meanwhile_is_replaced_at_once(
    publisher: Publisher, broker: Broker, gate: Gate
):
    broker.bind("all")
    url = broker.url(gate.port)
    assert publisher.publish(url, LETTER, PATIENT_SECONDS).is_success
    assert publisher.publish(url, LETTER, PATIENT_SECONDS).is_success
    assert gate.connection_count == 1
    gate.cut()
    assert publisher.publish(url, LETTER, PATIENT_SECONDS).is_success
    assert gate.connection_count == 2
    assert len(broker.messages("all")) == 3


def test_one_attempt_publishes_once_where_the_broker_dies_before_it_confirms(
    publisher: Publisher, broker: Broker, gate: Gate
):
    broker.bind("all")
    url = broker.url(gate.port)
    assert publisher.publish(url, LETTER, PATIENT_SECONDS).is_success
    gate.is_frozen = True
    threading.Timer(0.3, gate.cut).start()
    outcome = publisher.publish(url, LETTER, PATIENT_SECONDS)
    assert outcome.error == "connection_lost"
    assert gate.connection_count == 1


def _bodies(broker: Broker) -> list[str]:
    return [properties.message_id for _, properties, _ in broker.messages("all")]


def _work(delivery_world: DeliveryWorld, now: datetime) -> int:
    """One round as the worker does it: all that was taken is in flight at the same time."""
    taken = delivery_world.take(now)
    in_flight = InFlight(
        lambda claimed, tell: begin(claimed, delivery_world.carriers, 5, now, tell), 16
    )
    for claimed in taken:
        in_flight.begin(claimed)
    finished: list[Finished] = []
    while len(finished) < len(taken):
        finished += in_flight.ended(PATIENT_SECONDS)
    with delivery_world.database.transaction() as session:
        assert settling.settle(session, finished, delivery_world.rule, now) == []
    return len(taken)


def test_the_order_stays_while_the_broker_is_away(
    delivery_world: DeliveryWorld, broker: Broker, gate: Gate
):
    broker.bind("all")
    endpoint_id = delivery_world.add_endpoint(broker.url(gate.port))
    recorded: list[str] = []
    now = NOW
    for second in range(30):
        now = NOW + timedelta(seconds=second)
        recorded += delivery_world.record(7, now=now)
        if second == 5:
            gate.shut()
        if second == 25:
            gate.open()
        _work(delivery_world, now)
    while any(row.status == "pending" for row in delivery_world.deliveries(endpoint_id)):
        now += timedelta(seconds=1)
        assert now < NOW + timedelta(minutes=20)
        _work(delivery_world, now)
    assert _bodies(broker) == recorded


def test_one_event_that_no_queue_wants_holds_up_no_other(
    delivery_world: DeliveryWorld, broker: Broker
):
    broker.bind("all", "message.received")
    endpoint_id = delivery_world.add_endpoint(broker.url())
    first = delivery_world.record(3)
    delivery_world.record(1, event_type="message.stuck")
    last = delivery_world.record(3)
    _work(delivery_world, NOW)
    assert _bodies(broker) == first + last
    assert [row.status for row in delivery_world.deliveries(endpoint_id)].count("pending") == 1


def test_the_order_stays_while_a_queue_is_full(delivery_world: DeliveryWorld, broker: Broker):
    broker.bind("all", **{"x-max-length": 2, "x-overflow": "reject-publish"})
    delivery_world.add_endpoint(broker.url())
    recorded, taken = delivery_world.record(6), []
    for minute in range(4):
        _work(delivery_world, NOW + timedelta(minutes=minute))
        taken += _bodies(broker)
    assert taken == recorded


def test_an_event_that_the_broker_refuses_holds_up_no_other_for_ever():
    refused = AttemptResult(started_at=NOW, duration_seconds=0.1, error="broker_refused")
    away = AttemptResult(started_at=NOW, duration_seconds=0.1, error="connection_refused")
    assert [retries.holds_up(refused, count) for count in (1, 4, 5, 6)] == [
        True,
        True,
        False,
        False,
    ]
    assert retries.holds_up(away, 1000)


def test_what_a_dead_worker_had_claimed_goes_out_first(
    delivery_world: DeliveryWorld, broker: Broker
):
    broker.bind("all")
    delivery_world.add_endpoint(broker.url())
    recorded = delivery_world.record(3)
    assert len(delivery_world.take()) == 3
    recorded += delivery_world.record(3, now=NOW + timedelta(seconds=1))
    assert delivery_world.take(NOW + timedelta(seconds=2)) == [], (
        "nothing overtakes what is in flight"
    )
    _work(delivery_world, NOW + LEASE + timedelta(seconds=1))
    assert _bodies(broker) == recorded


def test_an_event_is_given_up_after_the_time_of_the_whole_schedule(delivery_world: DeliveryWorld):
    endpoint_id = delivery_world.add_endpoint(f"amqp://127.0.0.1:{free_port()}/?exchange=smsgw")
    delivery_world.record(2)
    length = timedelta(seconds=sum(delivery_world.rule.schedule))
    now = NOW
    while delivery_world.deliveries(endpoint_id)[0].status == "pending":
        _work(delivery_world, now)
        endpoint = delivery_world.endpoint(endpoint_id)
        assert endpoint.paused_until is not None
        assert endpoint.paused_until - now <= timedelta(minutes=10)
        assert now <= NOW + length + timedelta(minutes=10)
        now = max(endpoint.paused_until, now + length / 8)
    assert [row.status for row in delivery_world.deliveries(endpoint_id)] == [
        "discarded",
        "pending",
    ]


def test_idle_connections_are_bounded(publisher: Publisher, broker: Broker):
    broker.bind("all")
    urls = [f"{broker.url(login=brokering.LOGIN)}{'&' * count}" for count in range(MOST_IDLE + 3)]
    assert all(publisher.publish(url, LETTER, PATIENT_SECONDS).is_success for url in urls)
    assert len(publisher._idle) == MOST_IDLE


def test_a_frozen_broker_is_a_timeout_by_the_wall_clock(
    publisher: Publisher, broker: Broker, gate: Gate
):
    broker.bind("all")
    url = broker.url(gate.port)
    assert publisher.publish(url, LETTER, PATIENT_SECONDS).is_success
    gate.is_frozen = True
    for _ in ("a kept connection", "a new one"):
        outcome = publisher.publish(url, LETTER, 0.5)
        assert outcome.error == "timeout"
        assert outcome.duration_seconds < 5


@pytest.mark.parametrize("behaviour", [says_nothing, answers(b"HTTP/1.1 400 Bad Request\r\n\r\n")])
def test_what_is_no_broker_ends_by_the_deadline(publisher: Publisher, behaviour):
    with Misbehaving(behaviour) as other:
        port = other.url.rpartition(":")[2].partition("/")[0]
        outcome = publisher.publish(f"amqp://127.0.0.1:{port}/?exchange=x", LETTER, 1.0)
    assert outcome.error in ("timeout", "protocol", "connection_lost")
    assert outcome.duration_seconds < 5


def test_a_certificate_is_checked_by_name(broker: Broker, certificate: Path):
    trusting = ssl.create_default_context(cafile=str(certificate))
    broker.bind("all")

    def resolve(_host: str, port: int, *_: Any) -> list[Any]:
        return [(2, 1, 6, "", ("127.0.0.1", port))]

    def publish(host: str, tls: ssl.SSLContext | None) -> Any:
        made = Publisher(Guard(LOOPBACK), resolve=resolve, tls=tls)
        url = f"amqps://{brokering.LOGIN}@{host}:{broker.tls_port}/a%2Fb?exchange=smsgw"
        outcome = made.publish(url, LETTER, PATIENT_SECONDS)
        made.close()
        return outcome

    taken = publish("broker.test", trusting)
    assert taken.is_success, taken
    assert publish("other.test", trusting).error == "tls"
    assert publish("broker.test", None).error == "tls"


def test_the_address_really_connected_to_is_guarded(
    delivery_world: DeliveryWorld, broker: Broker, gate: Gate
):
    endpoint_id = delivery_world.add_endpoint(broker.url(gate.port))
    delivery_world.record()
    delivery_world.carriers.close()
    delivery_world.carriers = Carriers(Guard())
    delivery_world.round()
    assert gate.connection_count == 0
    (attempt,) = delivery_world.attempts(delivery_world.delivery(endpoint_id))
    assert attempt["error"] == "address_refused"


def test_the_worker_of_a_server_without_pika_says_what_to_install(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(amqp_connection, "find_spec", lambda _name: None)
    outcome = publisher.publish("amqp://127.0.0.1/?exchange=x", LETTER, 1.0)
    assert outcome.error == "not_installed"
    assert "requirements-rabbitmq.txt" in str(outcome.detail)


def test_an_endpoint_needs_pika_installed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(brokers, "find_spec", lambda _name: None)
    with pytest.raises(Invalid, match=r"requirements-rabbitmq\.txt"):
        urls.checked("amqp://127.0.0.1/?exchange=smsgw", LOOPBACK)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("amqp://127.0.0.1/", "name one exchange"),
        ("amqp://127.0.0.1/?exchange=", "name one exchange"),
        ("amqp://127.0.0.1/?exchange=a&exchange=b", "name one exchange"),
        ("amqp://127.0.0.1/?exchange=a&excange=b", "no option 'excange'"),
        ("amqp://127.0.0.1/a/b?exchange=a", "%2F"),
        ("amqp://127.0.0.1:x/?exchange=a", "cannot be read"),
        ("amqp:///?exchange=a", "names no host"),
        ("amqp://127.0.0.1/?exchange=a b", "blanks"),
        ("amqp://8.8.8.8/?exchange=a", "use amqps"),
        ("amqps://10.0.0.1/?exchange=a", "SMSGW_WEBHOOK_ALLOWED_NETWORKS"),
        ("amqps://169.254.169.254/?exchange=a", "not even"),
    ],
)
def test_a_url_that_cannot_work_is_refused_with_the_reason(url: str, said: str):
    with pytest.raises(Invalid) as refusal:
        urls.checked(url, LOOPBACK)
    assert said in refusal.value.message


def test_a_url_is_read_by_rabbitmqs_rules():
    plain = brokers.read("amqp://h/?exchange=x")
    assert (plain.user, plain.password, plain.virtual_host) == ("guest", "guest", "/")
    assert (plain.port, brokers.read("amqps://h/?exchange=x").port) == (5672, 5671)
    whole = brokers.read("amqps://a%40b:c%2Fd@h:1/v%2Fw?exchange=x%20y")
    assert (whole.user, whole.password, whole.port) == ("a@b", "c/d", 1)
    assert (whole.virtual_host, whole.exchange) == ("v/w", "x y")
    assert "c/d" not in repr(whole)
    with pytest.raises(BrokerRefused):
        brokers.read("amqp://h/?exchange=" + "x" * 256)


def test_the_password_is_masked_where_the_endpoint_is_shown(delivery_world: DeliveryWorld):
    endpoint_id = delivery_world.add_endpoint("amqp://me:secret@127.0.0.1/?exchange=smsgw")
    with delivery_world.database.reading() as session:
        shape = endpoints.shape(session, endpoints.get(session, delivery_world.crm_id, endpoint_id))
    assert shape["url"] == "amqp://***@127.0.0.1/?exchange=smsgw"
