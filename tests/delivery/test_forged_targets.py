"""No spelling of an address and no answer of the DNS leads a webhook to a machine that is not public."""

import itertools
import queue
import socket
from contextlib import ExitStack
from ipaddress import IPv4Address, ip_network
from queue import SimpleQueue
from urllib.parse import quote

import pytest

from smsgw.addresses import AddressRefused, Guard, check_url
from smsgw.allowed_addresses import parse_allowed
from smsgw.delivery.amqp_connection import OutgoingEvent
from smsgw.delivery.http_sender import Transport
from smsgw.delivery.rabbitmq import Publisher

CLOSED = Guard()
WIDE_OPEN = Guard((ip_network("0.0.0.0/0"), ip_network("::/0")))
INSIDE = ["127.0.0.1", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1"]
METADATA = ["169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192"]
# Prefixes in which an IPv6 address holds an IPv4 one: mapped, compatible, translated, NAT64, 6to4, Teredo, ISATAP.
WRAPPINGS = [
    "::ffff:{a}",
    "0:0:0:0:0:ffff:{h}",
    "::{a}",
    "::ffff:0:{a}",
    "64:ff9b::{a}",
    "64:ff9b::{h}",
    "64:ff9b:1::{a}",
    "2002:{h}::",
    "2002:{h}::1",
    "2001:0:{h}::1",
    "2001:0:4136:e378:8000:63bf:{inverted}",
    "fe80::5efe:{a}",
    "fe80::5efe:{a}%25lo",
]
INSIDE_V6 = [
    "::",
    "::1",
    "fc00::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fe80::1%25lo",
    "fec0::1",
    "ff02::1",
]
WIDE_DIGITS = str.maketrans("0123456789.", "０１２３４５６７８９。")
# What no webhook goes to, whatever its host is.
OTHER_SCHEMES = [
    "unix:///var/run/docker.sock",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/info",
    "http://unix:/var/run/docker.sock:/info",
    "https://%2Fvar%2Frun%2Fdocker.sock/",
    "file:///etc/passwd",
    "file://127.0.0.1/etc/passwd",
    "gopher://127.0.0.1:25/_x",
    "dict://127.0.0.1:11211/stats",
    "ftp://127.0.0.1/",
    "tftp://127.0.0.1/x",
    "ldap://127.0.0.1/",
    "smtp://127.0.0.1/",
    "telnet://127.0.0.1/",
    "ws://127.0.0.1/",
    "redis://127.0.0.1/",
    "jar:https://127.0.0.1!/",
    "netdoc:///etc/passwd",
    "data:,x",
    "javascript:0",
    "//127.0.0.1/",
    "https:127.0.0.1",
    "https:/127.0.0.1/",
    "https:///127.0.0.1/",
    "https://",
    "https://:80/",
    "https://[127.0.0.1]/",
    "https://[::1/",
    "https://::1/",
    "https://[::1%00]/",
]


def spellings(address: str) -> list[str]:
    """Every way to write an IPv4 address as a host that some program reads."""
    number, parts = int(IPv4Address(address)), [int(part) for part in address.split(".")]
    high, low = number >> 16, number & 0xFFFF
    a, b, _, _ = parts
    hexadecimal = f"{high:x}:{low:x}"
    inverted = f"{high ^ 0xFFFF:x}:{low ^ 0xFFFF:x}"
    wrapped = [one.format(a=address, h=hexadecimal, inverted=inverted) for one in WRAPPINGS]
    mixed = [
        f"{x}.{y}.{z}.{w}"
        for x, y, z, w in itertools.product(*[(f"0{part:o}", f"0x{part:x}") for part in parts])
    ]
    return [
        *(f"[{one}]" for one in wrapped),
        *mixed,
        address,
        f"{address}.",
        f"{address}..",
        str(number),
        f"{number}.",
        hex(number),
        hex(number).upper(),
        f"0{number:o}",
        f"00000{number:o}",
        f"{a}.{number & 0xFFFFFF}",
        f"{a}.{b}.{low}",
        f"0x{a:x}.{b}.0{low:o}",
        address.translate(WIDE_DIGITS),
        address.replace(".", "。"),
        quote(address.replace(".", "%2e"), safe="%"),
        "%" + "%".join(f"{ord(character):02x}" for character in address),
        f"{address}%00.example.org",
        f"{address}\u200b",
    ]


def disguises(address: str) -> list[str]:
    """URLs that name a public host for one reader and this address for another."""
    return [
        f"https://8.8.8.8@{address}/",
        f"https://8.8.8.8:443@{address}/",
        f"https://user:x@8.8.8.8@{address}/",
        f"https://{address}@8.8.8.8/",
        f"https://8.8.8.8\\@{address}/",
        f"https://{address}\\@8.8.8.8/",
        f"https://{address}\t@8.8.8.8/",
        f"https://8.8.8.8 {address}/",
        f"https://8.8.8.8,{address}/",
        f"https://{address},8.8.8.8/",
        f"https://{address}:443:80/",
        f"https://{address}:-1/",
        f"https://{address}:/",
        f"https://{address}#@8.8.8.8/",
        f"https://{address}?@8.8.8.8/",
        f"https://{address};@8.8.8.8/",
        f"https://{address}/@8.8.8.8",
        f"https://{address}&@8.8.8.8#/",
        f"HTTPS://{address}/",
        f"http://{address}:80/",
        f"amqps://{address}/?exchange=x",
        f"amqp://8.8.8.8@{address}/?exchange=x",
    ]


TARGETS = [
    *(f"https://{host}/" for address in INSIDE + METADATA for host in spellings(address)),
    *(url for address in INSIDE + METADATA for url in disguises(address)),
    *(f"https://[{address}]/" for address in INSIDE_V6),
    *OTHER_SCHEMES,
]


def resolve_literals(host, port, *_):
    """What the system reads as an address; the DNS is not asked."""
    try:
        return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except UnicodeError:
        raise socket.gaierror(socket.EAI_NONAME, "no name") from None


def leads_to(*addresses: str):
    def resolve(_host, port, *_):
        families = {True: socket.AF_INET6, False: socket.AF_INET}
        return [(families[":" in one], socket.SOCK_STREAM, 6, "", (one, port)) for one in addresses]

    return resolve


@pytest.fixture
def transport():
    made = Transport(CLOSED)
    yield made
    made.close()


@pytest.fixture
def listener():
    """Counts who connects to this machine, on both families."""
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        server.setblocking(False)
        yield server


def is_refused(url: str, guard: Guard) -> bool:
    try:
        check_url(url, guard, resolve_literals)
    except AddressRefused:
        return True
    return False


def connections(listener: socket.socket) -> int:
    count = 0
    try:
        while True:
            listener.accept()[0].close()
            count += 1
    except BlockingIOError:
        return count


def test_no_url_that_names_an_inside_address_is_taken():
    assert len(TARGETS) > 700
    for url in TARGETS:
        assert is_refused(url, CLOSED), url


def test_no_setting_opens_a_metadata_address_in_any_spelling():
    for host in itertools.chain.from_iterable(map(spellings, METADATA)):
        assert is_refused(f"http://{host}/", WIDE_OPEN), host
        assert is_refused(f"https://{host}/", WIDE_OPEN), host


def test_no_url_that_names_this_machine_makes_a_connection(transport, listener):
    """As if the check had taken them all: the guard is asked at the connection, of the address that is connected to."""
    port = listener.getsockname()[1]
    hosts = [*spellings("127.0.0.1"), *spellings("0.0.0.0"), "[::1]", "[::]", "localhost"]
    numeric = [host for host in hosts if not set(host) & set("%。\u200b") and ".." not in host]
    urls = [f"{scheme}://{host}:{port}/" for host in numeric for scheme in ("http", "https")]
    urls += [url.replace("127.0.0.1", f"127.0.0.1:{port}") for url in disguises("127.0.0.1")[:17]]
    results = SimpleQueue()
    for url in urls:
        # An address for documentation instead of a public one: no test leaves this machine.
        transport.post(url.replace("8.8.8.8", "192.0.2.1"), b"{}", {}, 20.0, results.put)
    outcomes = [results.get(timeout=60) for _ in urls]
    assert {outcome.error for outcome in outcomes} <= {"address_refused", "dns", "invalid_url"}
    assert connections(listener) == 0


def test_no_broker_url_that_names_this_machine_makes_a_connection(listener):
    publisher = Publisher(CLOSED, resolve=resolve_literals)
    event = OutgoingEvent("evt_1", "webhook.ping", b"{}", 0, {})
    port = listener.getsockname()[1]
    for host in [*spellings("127.0.0.1"), "[::1]"]:
        outcome = publisher.publish(f"amqp://u:p@{host}:{port}/?exchange=x", event, 20.0)
        assert outcome.error in ("address_refused", "dns", "invalid_url"), host
    publisher.close()
    assert connections(listener) == 0


@pytest.mark.parametrize("inside", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"])
def test_a_broker_that_the_dns_moves_inside_after_the_check_is_not_connected_to(listener, inside):
    port = listener.getsockname()[1]
    url = f"amqps://u:p@broker.test:{port}/?exchange=x"
    check_url(url, CLOSED, leads_to("8.8.8.8"))
    publisher = Publisher(CLOSED, resolve=leads_to(inside))
    outcome = publisher.publish(url, OutgoingEvent("evt_1", "webhook.ping", b"{}", 0, {}), 20.0)
    publisher.close()
    assert outcome.error == "address_refused"
    assert connections(listener) == 0


def test_the_addresses_that_were_checked_are_the_ones_that_are_connected_to(listener):
    """A resolver that answers otherwise each time is asked once for a connection."""
    answers = queue.SimpleQueue()
    for address in ("127.0.0.1", "10.0.0.1", "10.0.0.2"):
        answers.put(address)
    port = listener.getsockname()[1]
    guard = Guard((parse_allowed(f"127.0.0.1:{port}"),))
    publisher = Publisher(guard, resolve=lambda host, *rest: leads_to(answers.get())(host, *rest))
    event = OutgoingEvent("evt_1", "webhook.ping", b"{}", 0, {})
    outcome = publisher.publish(f"amqp://u:p@broker.test:{port}/?exchange=x", event, 0.5)
    publisher.close()
    assert outcome.error == "timeout"
    assert (connections(listener), answers.qsize()) == (1, 2)


def test_one_open_port_opens_no_other_in_any_spelling(listener):
    with ExitStack() as stack:
        open_port = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
        transport = Transport(Guard((parse_allowed(f"127.0.0.1:{open_port}"),)))
        stack.callback(transport.close)
        port, results = listener.getsockname()[1], SimpleQueue()
        hosts = ["127.0.0.1", "127.1", "2130706433", "localhost", "[::ffff:127.0.0.1]", "[::1]"]
        urls = [f"http://{host}:{port}/" for host in hosts]
        urls += [
            f"http://127.0.0.1:{open_port}@127.0.0.1:{port}/",
            f"http://127.0.0.2:{open_port}/",
        ]
        for url in urls:
            transport.post(url, b"{}", {}, 20.0, results.put)
        assert {results.get(timeout=60).error for _ in urls} == {"address_refused"}
    assert connections(listener) == 0
