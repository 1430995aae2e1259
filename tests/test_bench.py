"""Checks what the quick run of the bench does not: the SMS centre for Kannel, and the table of the page."""

import asyncio

import pytest

from bench import readme, smsc
from bench.table import Aim, Figure, Run, compared, shown

SENDER, RECIPIENT = b"\x05\x0012345\0", b"\x01\x01447700900123\0"
SUBMITTED = b"\0" + SENDER + RECIPIENT + b"\3\0\0\0\0\x11\0\0\0\2hi"
REQUESTS = b"".join(
    [
        smsc.pdu(smsc.BIND_TRANSCEIVER, 1, b"bench\0bench\0\0\x34\0\0\0"),
        smsc.pdu(smsc.SUBMIT, 2, SUBMITTED),
        smsc.pdu(smsc.DELIVER | smsc.RESPONSE, 1, b"\0"),
        smsc.pdu(smsc.ENQUIRE_LINK, 3),
        smsc.pdu(0x03, 4),
        smsc.pdu(smsc.UNBIND, 5),
    ]
)
MACHINE = {
    "date": "2026-11-28",
    "commit": "abc",
    "processor": "EPYC",
    "cores": 2,
    "memory_gib": 23.5,
    "python": "3.11.7",
    "load_before": 0.1,
}


@pytest.mark.parametrize("step", [7, len(REQUESTS)])
def test_the_sms_centre_answers_each_command_and_sends_a_receipt_for_each_sms(step: int):
    parts = [REQUESTS[start : start + step] for start in range(0, len(REQUESTS), step)]
    answers = asyncio.run(_answers(parts, 6))
    assert [answer[:3] for answer in answers] == [
        (smsc.BIND_TRANSCEIVER | smsc.RESPONSE, 0, 1),
        (smsc.SUBMIT | smsc.RESPONSE, 0, 2),
        (smsc.DELIVER, 0, 1),
        (smsc.ENQUIRE_LINK | smsc.RESPONSE, 0, 3),
        (smsc.GENERIC_NACK, smsc.INVALID_COMMAND, 4),
        (smsc.UNBIND | smsc.RESPONSE, 0, 5),
    ]
    message_id, receipt = answers[1][3].rstrip(b"\0"), answers[2][3]
    assert receipt.startswith(b"\0" + RECIPIENT + SENDER + b"\4" + b"\0" * 8)
    assert b"id:%s sub:001 dlvrd:001" % message_id in receipt
    assert b"stat:DELIVRD" in receipt


async def _answers(parts: list[bytes], count: int) -> list[tuple[int, int, int, bytes]]:
    """Send the parts, and return command, status, sequence and body of so many answers."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(smsc.Centre, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    for part in parts:
        writer.write(part)
        await writer.drain()
    answers = []
    for _ in range(count):
        length, *head = smsc.HEADER.unpack(await reader.readexactly(smsc.HEADER.size))
        answers.append((*head, await reader.readexactly(length - smsc.HEADER.size)))
    writer.close()
    server.close()
    return answers


def test_the_page_shows_a_figure_of_both_databases_in_one_row_and_says_what_is_missed():
    figures = [
        compared("idle poll, sqlite", "polls/s", [(3000, 5000)], Aim(0.75)),
        compared("idle poll, postgresql", "polls/s", [(3000, 5000)], Aim(0.55)),
        shown("memory, idle, process 1", "MiB", 40),
        shown("processor, idle", "% of a core", 0.24, Aim(0.3, is_upper=True, unit="%")),
        Figure("no figure of the page", 1, "s"),
    ]
    rows = [line for line in readme.markdown([Run(MACHINE, figures)]).splitlines() if "|" in line]
    assert rows[2:] == [
        "| idle poll | ≥ 0.75, ≥ 0.55 | 3,000 : 5,000 polls/s, **0.60**, missed | 3,000 : 5,000 polls/s, **0.60** |",
        "| processor, idle | ≤ 0.3 % | 0.24 % of a core |  |",
    ]
