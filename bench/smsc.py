"""Serves as an SMS centre that takes everything and reports it as delivered: `python -m bench.smsc <descriptor>`.

Speaks as much of SMPP 3.4 as Kannel needs as a transceiver: bind, submit, delivery receipts, enquire_link and unbind.
"""

import asyncio
import itertools
import re
import socket
import struct
import sys

HEADER = struct.Struct(">IIII")
SUBMIT, DELIVER, UNBIND, BIND_TRANSCEIVER, ENQUIRE_LINK = 0x04, 0x05, 0x06, 0x09, 0x15
RESPONSE = GENERIC_NACK = 0x80000000
INVALID_COMMAND = 0x03
SYSTEM_ID = b"bench\0"
# After the service type: sender and recipient, each with type and plan of the number.
ADDRESSES = re.compile(rb"[^\0]*\0(..[^\0]*\0)(..[^\0]*\0)", re.DOTALL)
IS_A_RECEIPT = 0x04
RECEIPT = "id:{id} sub:001 dlvrd:001 submit date:2601010000 done date:2601010000 stat:DELIVRD err:000 text:"


class Centre(asyncio.Protocol):
    """One connection of a gateway."""

    message_ids = itertools.count(1)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._socket: socket.socket = transport.get_extra_info("socket")
        self._buffer = b""
        self._sequence = itertools.count(1)

    def data_received(self, data: bytes) -> None:
        # Kannel sends nothing before the last response is acknowledged, which Linux would put off for 40 ms.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        self._buffer += data
        answers = b""
        while len(self._buffer) >= HEADER.size:
            length, command, _, sequence = HEADER.unpack_from(self._buffer)
            if len(self._buffer) < length:
                break
            answers += self._answer(command, sequence, self._buffer[HEADER.size : length])
            self._buffer = self._buffer[length:]
        self._transport.write(answers)  # type: ignore[attr-defined]

    def _answer(self, command: int, sequence: int, body: bytes) -> bytes:
        if command & RESPONSE:
            return b""
        if command == SUBMIT:
            id_ = str(next(self.message_ids))
            response = pdu(SUBMIT | RESPONSE, sequence, id_.encode() + b"\0")
            return response + pdu(DELIVER, next(self._sequence), receipt(body, id_))
        if command == BIND_TRANSCEIVER:
            return pdu(command | RESPONSE, sequence, SYSTEM_ID)
        if command in (ENQUIRE_LINK, UNBIND):
            return pdu(command | RESPONSE, sequence)
        return pdu(GENERIC_NACK, sequence, status=INVALID_COMMAND)


def pdu(command: int, sequence: int, body: bytes = b"", status: int = 0) -> bytes:
    """One protocol data unit."""
    return HEADER.pack(HEADER.size + len(body), command, status, sequence) + body


def receipt(submitted: bytes, message_id: str) -> bytes:
    """The body that tells the sender of a submitted message that it was delivered."""
    addresses = ADDRESSES.match(submitted)
    assert addresses, submitted
    sender, recipient = addresses.groups()
    text = RECEIPT.format(id=message_id).encode()
    # Eight fields are empty, from the protocol to the stored text.
    return b"\0" + recipient + sender + bytes((IS_A_RECEIPT, *[0] * 8, len(text))) + text


async def main(descriptor: int) -> None:
    """Serves until SIGTERM."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Centre, sock=socket.socket(fileno=descriptor))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
