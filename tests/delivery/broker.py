"""A real RabbitMQ for the tests, started without systemd, and a gate in front of it that can be shut."""

import contextlib
import os
import random
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pika

from tests.running import free_port, until

# Debian's own script, and not the one in the PATH, which changes to another user and folder.
SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
# With everything in it that has a meaning in a URL.
USER, PASSWORD = "sms@gw", "pa:ss/w@rd?"
LOGIN = "sms%40gw:pa%3Ass%2Fw%40rd%3F"
VIRTUAL_HOST = "a/b"
EXCHANGE = "smsgw"


@dataclass
class Broker:
    """A running broker: its ports, and what the tests do there."""

    port: int
    tls_port: int

    def url(self, port: int | None = None, exchange: str = EXCHANGE, login: str = LOGIN) -> str:
        """The endpoint's URL, by way of another port if one is given."""
        return f"amqp://{login}@127.0.0.1:{port or self.port}/a%2Fb?exchange={exchange}"

    @contextmanager
    def channel(self) -> Iterator[Any]:
        """A channel of the consumer's side."""
        connection = pika.BlockingConnection(
            pika.ConnectionParameters(
                "127.0.0.1",
                self.port,
                VIRTUAL_HOST,
                pika.PlainCredentials(USER, PASSWORD),
            )
        )
        yield connection.channel()
        connection.close()

    def bind(self, queue: str, key: str = "#", **arguments: Any) -> None:
        """Makes the exchange and an empty queue that gets what has this routing key."""
        with self.channel() as channel:
            channel.exchange_declare(EXCHANGE, "topic", durable=True)
            channel.queue_delete(queue)
            channel.queue_declare(queue, durable=True, arguments=arguments)
            channel.queue_bind(queue, EXCHANGE, key)

    def unbind(self, queue: str) -> None:
        with self.channel() as channel:
            channel.queue_delete(queue)

    def messages(self, queue: str) -> list[tuple[Any, Any, bytes]]:
        """Takes everything out of the queue: method, properties and body of each."""
        found = []
        with self.channel() as channel:
            while (got := channel.basic_get(queue, auto_ack=True))[0] is not None:
                found.append(got)
        return found


def is_installed() -> bool:
    return SERVER.exists() and shutil.which("epmd") is not None


@contextmanager
def running(folder: Path, certificate: Path) -> Iterator[Broker]:
    """A broker on free ports of the loopback, with a port mapper of its own; both are ended by their process ids."""
    ports = _quiet_ports(4)
    broker, distribution, mapper = Broker(ports[0], ports[1]), ports[2], ports[3]
    (folder / "rabbitmq.conf").write_text(
        f"listeners.tcp.default = 127.0.0.1:{broker.port}\n"
        f"listeners.ssl.default = 127.0.0.1:{broker.tls_port}\n"
        f"ssl_options.certfile = {certificate}\nssl_options.keyfile = {certificate}\n"
        "loopback_users = none\n"
        f"default_user = {USER}\ndefault_pass = {PASSWORD}\ndefault_vhost = {VIRTUAL_HOST}\n"
    )
    (folder / "plugins").write_text("[].")
    environment = {
        **os.environ,
        "HOME": str(folder),
        "ERL_EPMD_PORT": str(mapper),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": f"smsgw{broker.port}@localhost",
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
    }
    with (folder / "out").open("wb") as out:
        epmd = subprocess.Popen(["epmd"], env=environment, stdout=out, stderr=out)
        server = subprocess.Popen([SERVER], env=environment, cwd=folder, stdout=out, stderr=out)
    try:
        until(lambda: _is_up(broker, server, folder), "RabbitMQ to start")
        yield broker
    finally:
        for process in (server, epmd):
            process.terminate()
            process.wait(60)


def _quiet_ports(count: int) -> list[int]:
    """Free ports below those that outgoing connections take: it is seconds until the broker listens there."""
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", random.randrange(12000, 32000)))
            found.append(probe.getsockname()[1])
    return found


def _is_up(broker: Broker, server: "subprocess.Popen[bytes]", folder: Path) -> bool:
    if server.poll() is not None:
        raise AssertionError(f"RabbitMQ ended: {(folder / 'out').read_text()}")
    try:
        with broker.channel():
            return True
    except (pika.exceptions.AMQPError, OSError):
        return False


class Gate:
    """A port that leads to the broker while it is open. A frozen one takes connections and passes nothing on."""

    def __init__(self, port: int) -> None:
        self._behind = port
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._listener: socket.socket | None = None
        self.is_frozen = False
        self.connection_count = 0
        self.port = free_port()
        self.open()

    def open(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def shut(self) -> None:
        """Nobody listens any more, and all connections break."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.cut()

    def cut(self) -> None:
        """All connections break."""
        for pair in self._pairs:
            for end in pair:
                _hang_up(end)
        self._pairs.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            self.connection_count += 1
            far = socket.create_connection(("127.0.0.1", self._behind))
            self._pairs.append((near, far))
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                if not self.is_frozen:
                    target.sendall(data)
        except OSError:
            pass
        _hang_up(target)


def _hang_up(end: socket.socket) -> None:
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
