"""Writes lines that send an SMS, for copying: with this server's address, and with a key or a placeholder."""

import json
from typing import NamedTuple

from . import addresses

PLACEHOLDER = "crm_live_..."
# A number that the North American Numbering Plan reserves for fiction.
_BODY = json.dumps({"to": "+12025550123", "content": "Hello from smsgw"})


class ProgramLines(NamedTuple):
    """The same request as a command and as a program."""

    curl: str
    python: str


def sending(key: str = PLACEHOLDER) -> ProgramLines:
    """Return lines that queue an SMS with this key."""
    url = f"{addresses.for_programs()}/api/v1/messages"
    curl = f"curl {url} -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' -d '{_BODY}'"
    python = "\n".join(
        (
            "import json, urllib.request",
            "",
            f"body = json.dumps({_BODY}).encode()",
            f'headers = {{"Authorization": "Bearer {key}", "Content-Type": "application/json"}}',
            f'request = urllib.request.Request("{url}", body, headers)',
            "print(urllib.request.urlopen(request).read().decode())",
        )
    )
    return ProgramLines(curl, python)
