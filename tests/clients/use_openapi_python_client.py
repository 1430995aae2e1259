"""Uses the client that openapi-python-client made; run by `test_python`."""

import os

from sms_client import AuthenticatedClient
from sms_client.api.events import list_events
from sms_client.api.messages import get_message, list_messages, send_message, send_messages
from sms_client.api.webhooks import create_webhook, test_webhook
from sms_client.models import Batch, Draft, Message, NewWebhook
from sms_client.models.error import Error

NUMBER = "+12025550123"
client = AuthenticatedClient(base_url=os.environ["SERVER"], token=os.environ["KEY"])

sent = send_message.sync(client=client, body=Draft(to=NUMBER, content="hello"))
assert isinstance(sent, Message)
assert (sent.status, sent.to) == ("queued", NUMBER)
drafts = [Draft(to=NUMBER, content=text) for text in ("one", "two")]
assert len(send_messages.sync(client=client, body=Batch(messages=drafts)).data) == 2
read = get_message.sync(sent.id, client=client)
assert (read.history[0].status, read.waiting_for is not None) == ("queued", True)
seen, cursor = [], {}
while cursor is not None:
    page = list_messages.sync(client=client, limit=2, **cursor)
    seen += [message.id for message in page.data]
    cursor = {"cursor": page.next_cursor} if page.next_cursor else None
assert len(set(seen)) == len(seen) >= 3
webhook = create_webhook.sync(client=client, body=NewWebhook(url=os.environ["HOOK"]))
assert webhook.secret.startswith("whsec_")
assert test_webhook.sync(webhook.id, client=client).event_type == "webhook.ping"
feed = list_events.sync(client=client, limit=1000)
assert "message.seen" in [event.type_ for event in feed.data]
later = Message.from_dict({**sent.to_dict(), "status": "seen", "read_at": "2027-01-01T00:00:00Z"})
assert (later.status, later["read_at"]) == ("seen", "2027-01-01T00:00:00Z")
wrong = send_message.sync(client=client, body=Draft(to="nobody", content="x"))
assert isinstance(wrong, Error)
assert wrong.code == "invalid"
