// Times in the viewer's zone, and news: "tick" every 2 s for a minute after the page was opened or used, then every
// 30 s, and none while nobody sees the page.
"use strict";

const SHAPES = {
  moment: { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" },
  clock: { hour: "2-digit", minute: "2-digit" },
  day: { year: "numeric", month: "short", day: "numeric" },
};

function localise() {
  const thisYear = new Date().getFullYear();
  for (const element of document.querySelectorAll("time[data-shape]")) {
    const date = new Date(element.dateTime), parts = { ...SHAPES[element.dataset.shape] };
    if (date.getFullYear() === thisYear) delete parts.year;
    const text = new Intl.DateTimeFormat(undefined, parts).format(date);
    if (element.textContent !== text) element.textContent = text;
  }
}

// Times that are typed are the viewer's.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
for (const field of document.querySelectorAll("input[data-zone]")) field.value = zone;
for (const name of document.querySelectorAll("[data-zone-name]")) name.textContent = zone;

const FAST_MS = 2000, SLOW_MS = 30000, FAST_FOR_MS = 60000;
let fastUntil = Date.now() + FAST_FOR_MS, tickedAt = Date.now();

function tick() {
  const wait = Date.now() < fastUntil ? FAST_MS : SLOW_MS;
  if (document.hidden || Date.now() - tickedAt < wait) return;
  tickedAt = Date.now();
  document.body.dispatchEvent(new Event("tick"));
}

for (const kind of ["input", "click", "keydown"]) {
  addEventListener(kind, () => { fastUntil = Date.now() + FAST_FOR_MS; });
}
addEventListener("htmx:after:swap", localise);

// What a page shows may no longer be true once its news do not come any more.
const notice = document.getElementById("notice"), title = document.title;
let newsAt = new Date();

function noteNews(comes) {
  if (comes) newsAt = new Date();
  const clock = new Intl.DateTimeFormat(undefined, SHAPES.clock).format(newsAt);
  notice.className = comes ? "" : "note wrong";
  notice.textContent = comes ? "" : `The server does not answer. What this page shows is from ${clock}.`;
  document.title = comes ? title : `✕ No answer · ${title.replace(/^[✕!✓] /, "")}`;
}

addEventListener("htmx:after:request", (event) => noteNews(event.detail.ctx.response.status < 500));
addEventListener("htmx:error", (event) => { if (!event.detail.ctx?.response) noteNews(false); });
setInterval(tick, 500);
localise();
