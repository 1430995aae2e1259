"""Where a webhook may go."""

import socket
from ipaddress import ip_network
from urllib.parse import urlsplit

import pytest

from smsgw.addresses import AddressRefused, Guard, check_url
from smsgw.allowed_addresses import parse_allowed

CLOSED = Guard()
PRIVATE = Guard((ip_network("10.0.0.0/8"), ip_network("127.0.0.0/8"), ip_network("fc00::/7")))
WIDE_OPEN = Guard((ip_network("0.0.0.0/0"), ip_network("::/0")))
# One host, fourteen ways to write an address that a careless check lets through.
SPELLINGS = [
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0177.0.0.1/",
    "http://127.1/",
    "http://127.0.0.1./",
    "http://0/",
    "http://0.0.0.0/",
    "http://[::]/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[fd00:ec2::254]/",
]


def leads_to(*addresses):
    def resolve(host, port, *_):
        return [
            (socket.AF_INET6 if ":" in a else socket.AF_INET, 1, 6, "", (a, port))
            for a in addresses
        ]

    return resolve


def knows_nothing(*_):
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "1.1.1.1",
        "172.32.0.1",
        "100.128.0.1",
        "2606:4700::1111",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "192.0.1.1",
        "223.255.255.255",
    ],
)
def test_a_public_address_is_permitted(address):
    assert CLOSED.permits(address)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.100.0.0",
        "127.0.0.1",
        "127.255.255.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.88.99.3",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.1.2.3",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:10.0.0.1",
        "100::1",
        "64:ff9b::a00:1",
        "64:ff9b:1::1",
        "2001::1",
        "2001:db8::1",
        "2002:a00:1::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd12::1",
        "fec0::1",
        "ff02::1",
        "fe80::1%eth0",
        "nonsense",
        "",
    ],
)
def test_an_address_that_is_not_public_is_refused(address):
    assert not CLOSED.permits(address)


def test_an_allowed_network_is_permitted_and_nothing_beside_it():
    assert PRIVATE.permits("10.1.2.3")
    assert PRIVATE.permits("::ffff:10.1.2.3")
    assert PRIVATE.permits("fd12::1")
    assert not PRIVATE.permits("192.168.1.1")


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "100.100.100.200",
        "168.63.129.16",
    ],
)
def test_no_setting_opens_link_local_and_metadata(address):
    assert not WIDE_OPEN.permits(address)
    assert not WIDE_OPEN.permits_over("http", address)


def test_plain_http_stays_inside_the_allowed_networks():
    assert PRIVATE.permits_over("http", "10.1.2.3")
    assert PRIVATE.permits_over("https", "8.8.8.8")
    assert not PRIVATE.permits_over("http", "8.8.8.8")
    assert not PRIVATE.permits_over("gopher", "10.1.2.3")


def test_a_public_https_url_is_fine():
    check_url("https://crm.example/hook?x=1", CLOSED, leads_to("8.8.8.8"))


def test_one_usable_address_is_enough():
    check_url("https://crm.example/", CLOSED, leads_to("10.0.0.1", "8.8.8.8"))


def test_a_private_url_is_fine_inside_the_allowed_networks():
    check_url("http://crm.internal:8080/hook", PRIVATE, leads_to("10.0.0.1"))
    check_url("http://127.0.0.1:8080/hook", PRIVATE)


@pytest.mark.parametrize("url", SPELLINGS + [url.replace("http:", "https:") for url in SPELLINGS])
def test_a_disguised_address_is_refused(url):
    with pytest.raises(AddressRefused):
        check_url(url, CLOSED)


@pytest.mark.parametrize(
    ("url", "resolve"),
    [
        ("https://crm.internal/", leads_to("10.0.0.1")),
        ("https://[::1]/", leads_to("::1")),
        ("http://crm.example/", leads_to("8.8.8.8")),
        ("https://metadata.internal/", leads_to("169.254.169.254")),
        ("ftp://crm.example/", leads_to("8.8.8.8")),
    ],
)
def test_a_refusal_names_the_setting(url, resolve):
    with pytest.raises(AddressRefused, match="SMSGW_WEBHOOK_ALLOWED_NETWORKS"):
        check_url(url, CLOSED, resolve)


@pytest.mark.parametrize(
    ("url", "leads", "entry"),
    [
        ("https://crm.internal/", "10.0.0.1", "crm.internal:443"),
        ("http://127.0.0.1:9000/x", "127.0.0.1", "127.0.0.1:9000"),
        ("http://[::1]:9000/x", "::1", "[::1]:9000"),
        ("amqps://broker.internal/", "10.0.0.1", "broker.internal:5671"),
    ],
)
def test_a_refusal_has_the_line_that_allows_the_address_and_nothing_else(url, leads, entry):
    with pytest.raises(AddressRefused) as caught:
        check_url(url, CLOSED, leads_to(leads))
    assert f"start the server with SMSGW_WEBHOOK_ALLOWED_NETWORKS={entry} " in str(caught.value)
    check_url(url, Guard((parse_allowed(entry),)), leads_to(leads))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://user:secret@crm.example/", "user name or a password"),
        ("https://@crm.example/", "user name or a password"),
        ("https:///hook", "no host"),
        ("crm.example/hook", "must begin with https://"),
        ("file:///etc/passwd", "must begin with https://"),
        ("https://crm.example:99999/", "cannot be read"),
        ("https://[::1/", "cannot be read"),
        ("https://crm.example\\@evil.example/", "backslashes"),
        ("https://crm.example/a b", "blanks"),
        ("https://crm.example/\n", "blanks"),
        ("", "must begin with https://"),
    ],
)
def test_a_broken_url_is_refused_with_its_reason(url, reason):
    with pytest.raises(AddressRefused, match=reason):
        check_url(url, PRIVATE, leads_to("8.8.8.8"))


def test_a_host_nobody_knows_is_refused():
    with pytest.raises(AddressRefused, match=r"nowhere\.example cannot be found"):
        check_url("https://nowhere.example/", CLOSED, knows_nothing)


def test_a_host_name_no_dns_can_carry_is_refused():
    with pytest.raises(AddressRefused, match="cannot be found"):
        check_url(f"https://{'a' * 70}.example/", CLOSED)


def test_a_refusal_tells_nobody_what_an_inside_name_leads_to():
    with pytest.raises(AddressRefused) as refused:
        check_url("https://crm.internal/", CLOSED, leads_to("10.9.8.7"))
    assert "10.9.8.7" not in str(refused.value)


def guard(*texts):
    return Guard(tuple(parse_allowed(text) for text in texts))


@pytest.mark.parametrize(
    ("allowed", "url", "addresses"),
    [
        ("127.0.0.1:9000", "http://127.0.0.1:9000/", ["127.0.0.1"]),
        ("127.0.0.1:9000", "http://localhost:9000/", ["127.0.0.1"]),
        ("127.0.0.0/8:9000", "http://127.1.2.3:9000/", ["127.1.2.3"]),
        ("10.0.0.5", "http://10.0.0.5:1234/", ["10.0.0.5"]),
        ("10.0.0.5:443", "https://crm.internal/", ["10.0.0.5"]),
        ("10.0.0.5:80", "http://crm.internal/", ["10.0.0.5"]),
        ("10.0.0.5:5672", "amqp://crm.internal/?exchange=x", ["10.0.0.5"]),
        ("[::1]:9000", "http://[::1]:9000/", ["::1"]),
        ("[fd00::/8]:9000", "http://[fd12::1]:9000/", ["fd12::1"]),
        ("::1", "http://[::1]:9000/", ["::1"]),
        ("[::1]", "http://[::1]:9000/", ["::1"]),
        ("10.0.0.5:8080", "http://[::ffff:10.0.0.5]:8080/", ["::ffff:10.0.0.5"]),
        ("CRM.internal.:8080", "http://crm.INTERNAL:8080/", ["10.0.0.5"]),
        ("crm.internal", "http://crm.internal.:8080/", ["10.0.0.5"]),
    ],
)
def test_a_narrow_entry_opens_one_port_and_nothing_beside_it(allowed, url, addresses):
    check_url(url, guard(allowed), leads_to(*addresses))
    if allowed.rpartition("]")[2].count(":") == 1:
        parts = urlsplit(url)
        host = parts.netloc.removesuffix(f":{parts.port}")
        with pytest.raises(AddressRefused):
            check_url(
                parts._replace(netloc=f"{host}:22").geturl(), guard(allowed), leads_to(*addresses)
            )


def test_a_name_opens_only_the_urls_that_have_it():
    allowed = guard("crm.internal:8080")
    with pytest.raises(AddressRefused):
        check_url("http://other.internal:8080/", allowed, leads_to("10.0.0.5"))
    with pytest.raises(AddressRefused):
        check_url("http://10.0.0.5:8080/", allowed)
    with pytest.raises(AddressRefused):
        check_url("http://crm.internal:8080/", allowed, leads_to("169.254.169.254"))


def test_a_port_that_is_not_known_matches_no_entry_with_a_port():
    assert not guard("127.0.0.1:9000").permits("127.0.0.1")
    assert guard("127.0.0.1:9000").permits("127.0.0.1", 9000)


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.1/8",
        "10.0.0",
        "127.0.0.1:",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:x",
        "127.0.0.1:80:90",
        "http://127.0.0.1",
        "[::1",
        "[::1]9000",
        "[localhost/8]",
        "*",
        "*.internal:80",
        "a b:80",
        "-:80",
        ":80",
    ],
)
def test_what_is_no_network_and_no_host_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        parse_allowed(text)
