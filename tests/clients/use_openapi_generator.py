"""Uses the client that OpenAPI Generator made; run by `test_python`."""

import os

import openapi_client as made
import pytest
from openapi_client.exceptions import UnprocessableEntityException

NUMBER = "+12025550123"
configuration = made.Configuration(host=os.environ["SERVER"], access_token=os.environ["KEY"])
client = made.ApiClient(configuration)
messages, webhooks = made.MessagesApi(client), made.WebhooksApi(client)

sent = messages.send_message(made.Draft(to=NUMBER, content="hello"))
assert (sent.status, sent.to) == ("queued", NUMBER)
drafts = [made.Draft(to=NUMBER, content=text) for text in ("one", "two")]
assert len(messages.send_messages(made.Batch(messages=drafts)).data) == 2
read = messages.get_message(sent.id)
assert (read.history[0].status, read.waiting_for is not None) == ("queued", True)
seen, cursor = [], None
while True:
    page = messages.list_messages(limit=2, cursor=cursor)
    seen += [message.id for message in page.data]
    cursor = page.next_cursor
    if cursor is None:
        break
assert len(set(seen)) == len(seen) >= 3
webhook = webhooks.create_webhook(made.NewWebhook(url=os.environ["HOOK"]))
assert webhook.secret.startswith("whsec_")
assert webhooks.test_webhook(webhook.id).event_type == "webhook.ping"
feed = made.EventsApi(client).list_events(limit=1000)
assert "message.seen" in [event.type for event in feed.data]
later = made.Message.from_dict(
    {**sent.to_dict(), "status": "seen", "read_at": "2027-01-01T00:00:00Z"}
)
assert later.status == "seen"
wrong = messages.send_message_without_preload_content(made.Draft(to="nobody", content="x"))
assert wrong.status == 422
assert made.Error.from_json(wrong.data.decode()).code == "invalid"
with pytest.raises(UnprocessableEntityException):
    messages.send_message(made.Draft(to="nobody", content="x"))
