// Uses the clients made by openapi-typescript (with openapi-fetch) and by @hey-api/openapi-ts (with zod).
import createClient from "openapi-fetch";
import type { paths } from "./api";
import { createClient as createSdkClient } from "./hey/client";
import * as sdk from "./hey/sdk.gen";
import * as zod from "./hey/zod.gen";

declare const process: { env: Record<string, string>; exit(code: number): never };

function check(fact: unknown, name: string): asserts fact {
  if (!fact) throw new Error(name);
}

const baseUrl = process.env.SERVER;
const headers = { Authorization: `Bearer ${process.env.KEY}` };
const to = "+12025550123";

async function withFetch(): Promise<void> {
  const client = createClient<paths>({ baseUrl, headers });
  const sent = await client.POST("/api/v1/messages", { body: { to, content: "hello", ttl: 600 } });
  check(sent.data?.status === "queued" && sent.response.status === 202, "send");
  const batch = await client.POST("/api/v1/messages/batch", {
    body: { messages: [{ to, content: "one" }, { to, content: "two", priority: 7 }] },
  });
  check(batch.data?.data.length === 2, "batch");
  const read = await client.GET("/api/v1/messages/{message_id}", {
    params: { path: { message_id: sent.data.id } },
  });
  check(read.data?.history[0]?.status === "queued" && read.data.waiting_for?.hop, "read");
  const seen: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await client.GET("/api/v1/messages", { params: { query: { limit: 2, cursor } } });
    check(page.data, "page");
    seen.push(...page.data.data.map((message) => message.id));
    cursor = page.data.next_cursor ?? undefined;
  } while (cursor);
  check(new Set(seen).size === seen.length && seen.includes(sent.data.id), "paging");
  const made = await client.POST("/api/v1/webhooks", { body: { url: process.env.HOOK, events: ["message.received"] } });
  check(made.data && made.data.secret.startsWith("whsec_"), "webhook");
  const tested = await client.POST("/api/v1/webhooks/{webhook_id}/test", { params: { path: { webhook_id: made.data.id } } });
  check(tested.data?.event_type === "webhook.ping", "test");
  const feed = await client.GET("/api/v1/events", { params: { query: { limit: 1000 } } });
  check(feed.data?.data.some((event) => event.type === "message.seen"), "unknown type of event");
  const wrong = await client.POST("/api/v1/messages", { body: { to: "nobody", content: "x" } });
  check(wrong.response.status === 422 && wrong.error?.code === "invalid", "error");
}

async function withZod(): Promise<void> {
  const client = createSdkClient({ baseUrl, headers });
  const sent = await sdk.sendMessage({ client, body: zod.zDraft.parse({ to, content: "hello" }) });
  const message = zod.zMessage.parse(sent.data);
  check(message.status === "queued", "send");
  const batch = await sdk.sendMessages({ client, body: { messages: [{ to, content: "one" }] } });
  check(zod.zMessages.parse(batch.data).data.length === 1, "batch");
  const read = await sdk.getMessage({ client, path: { message_id: message.id } });
  check(zod.zWholeMessage.parse(read.data).history.length === 1, "read");
  const page = await sdk.listMessages({ client, query: { limit: 2 } });
  check(zod.zMessagePage.parse(page.data).next_cursor, "page");
  const made = await sdk.createWebhook({ client, body: { url: process.env.HOOK } });
  const webhook = zod.zWebhookWithSecret.parse(made.data);
  const tested = await sdk.testWebhook({ client, path: { webhook_id: webhook.id } });
  check(zod.zDeliveryWithAttempts.parse(tested.data).attempts, "test");
  const feed = zod.zFeed.parse((await sdk.listEvents({ client, query: { limit: 1000 } })).data);
  check(feed.data.some((event) => event.type === "message.seen"), "unknown type of event");
  const later = { ...message, status: "seen", read_at: "2027-01-01T00:00:00.000Z" };
  check(zod.zMessage.parse(later).status === "seen", "unknown field and word");
  const wrong = await sdk.sendMessage({ client, body: { to: "nobody", content: "x" } });
  check(zod.zError.parse(wrong.error).code === "invalid", "error");
}

withFetch().then(withZod).catch((error) => {
  console.error(error);
  process.exit(1);
});
