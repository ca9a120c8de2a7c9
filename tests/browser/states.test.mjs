// Every state of the screen in every look: a server of the test's own sends the stream, everything else comes from the
// program (with its headers, so the page's policy holds here too).
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { hasState, launchBrowser, narrower, openPage, Server, shoot, stopAll, violationsOf } from "./harness.mjs";

const looks = ["light", "dark"].flatMap((colorScheme) => [1280, 360].map((width) => ({ colorScheme, width })));

const buckets = (names, counts) => Object.fromEntries(names.split(" ").map((name) => [name, String(counts[name] ?? 0)]));
const ledger = (more) => ({
  known: true, balanced: true, unaccounted: "0", in_flight: "12", text: "balanced", aggregation: "titles",
  source: buckets("received ticks duplicate filtered dead journalled", { received: "9223372036854775807", ticks: 4, duplicate: 4, journalled: "9223372036854775807" }),
  task: buckets("dead canary tick unmatched future counted late gap", { canary: 31, tick: 4, counted: "9223372036854775700", late: 60 }), ...more });
const wikis = [["enwiki", "en.wikipedia.org", "en", "ltr", "Rachel Levin (influencer)"], ["hewiki", "he.wikipedia.org", "he", "rtl", "\u05de\u05dc\u05d7\u05de\u05ea \u05d4\u05e2\u05d5\u05dc\u05dd (1914)"],
  ["arwiki", "ar.wikipedia.org", "ar", "rtl", "\u0643\u0623\u0633 \u0627\u0644\u0639\u0627\u0644\u0645 2026"], ["commonswiki", "commons.wikimedia.org", "", "auto", "File:The War of the Rebellion - A Compilation of the Official Records of the Union And Confederate Armies.jpg"],
  ["wikidatawiki", "www.wikidata.org", "", "auto", "Q6716380"], ["specieswiki", "nonsense", "", "auto", "Unlinkable"]];
const pages = Array.from({ length: 20 }, (_, i) => {
  const [wiki, server, lang, dir, title] = wikis[i % wikis.length];
  return { edits: 42 - 2 * i, wiki, title: `${title}${i > 5 ? ` ${i}` : ""}`, server: server === "nonsense" ? "" : server, lang, dir, new: "9223372036854775807", old: i % 2 ? "12" : null };
});
const wave = (i, high) => Math.round(high * (1 + 0.3 * Math.sin(i / 6)));
const gap = (i, n) => (i > 20 && i < 26 ? null : n);
const data = {
  now: { window: "5m", edge: "2026-03-01T12:04:05Z", from: "2026-03-01T11:59:06Z", seconds: 300, whole: true, rate: 41.3, changes: 12069, editors: 1291, wikis: 170, bots: 5484, bot_share: 0.4544, counted: 1000 },
  seconds: { from: "2026-03-01T12:03:05Z", counts: Array.from({ length: 60 }, (_, i) => wave(i * 3, 40)) },
  minutes: { from: "2026-03-01T11:05:00Z", counts: Array.from({ length: 60 }, (_, i) => gap(i, i === 59 ? 300 : wave(i, 2400))), bots: Array.from({ length: 60 }, (_, i) => gap(i, i === 59 ? 120 : wave(i, 1000))), open: true },
  pages, ledger: ledger(),
};
const empty = { now: null, seconds: null, minutes: null, pages: [], ledger: ledger({ known: false, balanced: false, text: "not known yet: nothing is stored yet" }) };
const chip = (state, text, more) => ({ state, text, kind: "live", source: "https://stream.wikimedia.org/v2/stream/recentchange", connected: true, problem: "", ...more });

const fixtures = {
  live: { state: "LIVE", chip: chip("LIVE", "Live \u00b7 0.8 s behind"), data },
  "catching-up": { state: "CATCHING UP", chip: chip("CATCHING UP", "Catching up \u00b7 12 min behind, ~2 min left"), data },
  replay: { state: "REPLAY", chip: chip("REPLAY", "Replay \u00b7 2026-03-01 12:04:05 UTC (event time)", { kind: "replay", source: "day.jsonl.zst" }), data },
  stale: { state: "STALE", chip: chip("STALE", "No event for 43 s - source connected, waiting"), data },
  empty: { state: "STALE", chip: chip("STALE", "No event yet - source not connected: could not resolve host, retrying in 4 s", { connected: false, problem: "could not resolve host" }), data: empty },
  quiet: { state: "LIVE", chip: chip("LIVE", "Live \u00b7 0.8 s behind"), data: { ...data, pages: [], now: { ...data.now, changes: 0, bots: 0, bot_share: null, editors: 0, wikis: 0, rate: 0 } } },
  unbalanced: { state: "LIVE", chip: chip("LIVE", "Live \u00b7 0.8 s behind"), data: { ...data, ledger: ledger({ balanced: false, unaccounted: "3", text: "3 records unaccounted" }) } },
  loading: { state: "CONNECTING" },
  full: { state: "OFFLINE", refuse: true },
};

const event = (name, body) => `event: ${name}\ndata: ${JSON.stringify(body)}\n\n`;

function sendStream(response, fixture) {
  if (fixture.refuse) {
    response.writeHead(503, { "Content-Type": "application/problem+json" });
    response.end(JSON.stringify({ detail: "all live streams are taken; close another one, or ask /api/v1/now" }));
    return;
  }
  response.writeHead(200, { "Content-Type": "text/event-stream" });
  response.write(": hello\n\n");
  if (fixture.data) response.write(event("snapshot", { boot: "b", seq: 1, data: fixture.data }) + event("state", fixture.chip));
}

// host: the program's own name must be in the Host header that it gets.
async function pass(request, response, upstream) {
  const answer = await fetch(upstream + request.url);
  const headers = Object.fromEntries([...answer.headers].filter(([name]) => !["content-encoding", "content-length", "transfer-encoding", "connection"].includes(name)));
  response.writeHead(answer.status, headers);
  response.end(Buffer.from(await answer.arrayBuffer()));
}

async function serveFixture(fixture, upstream) {
  const server = createServer((request, response) => {
    if (request.url.startsWith("/api/v1/stream")) sendStream(response, fixture);
    else void pass(request, response, upstream);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => (server.closeAllConnections(), server.close()) };
}

let browser;
let program;
before(async () => {
  browser = await launchBrowser();
  program = await Server.start("synthetic:1");
});
after(async () => {
  await browser?.close();
  await stopAll();
});

for (const [name, fixture] of Object.entries(fixtures)) {
  describe(name, () => {
    for (const look of looks) {
      test(`${look.colorScheme} ${look.width}`, async () => {
        const served = await serveFixture(fixture, program.url);
        const { page, context, bad } = await openPage(browser, served.url, { colorScheme: look.colorScheme, viewport: { width: look.width, height: 900 } });
        await hasState(page, fixture.state);
        await page.waitForTimeout(300);
        assert.deepEqual(await violationsOf(page), []);
        assert.ok((await page.evaluate(() => document.scrollingElement.scrollWidth)) <= look.width, "scrolls sideways");
        if (fixture.chip) assert.equal(await page.textContent("#chip .words"), fixture.chip.text);
        await shoot(page, `${name}-${look.colorScheme}-${look.width}`);
        if (look.width === 360) await narrower(page, `${name}-${look.colorScheme}`);
        assert.deepEqual(bad.filter((text) => !(fixture.refuse && text.includes("503"))), []);
        await context.close();
        served.close();
      });
    }
  });
}

test("2^63-1 appears exactly", async () => {
  const served = await serveFixture(fixtures.live, program.url);
  const { page, context } = await openPage(browser, served.url);
  await hasState(page, "LIVE");
  assert.match(await page.textContent("#ledger"), /9,223,372,036,854,775,807 received/);
  assert.match(await page.getAttribute("#pages a", "href"), /diff=9223372036854775807/);
  await context.close();
  served.close();
});

test("a gap in the numbers asks for a new snapshot", async () => {
  let asked = 0;
  const server = createServer((request, response) => {
    if (!request.url.startsWith("/api/v1/stream")) return void pass(request, response, program.url);
    asked += 1;
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.write(event("snapshot", { boot: "b", seq: asked * 10, data }) + event("state", fixtures.live.chip));
    if (asked === 1) response.write(event("delta", { seq: 15, data: {} }));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { page, context } = await openPage(browser, `http://127.0.0.1:${server.address().port}`);
  await page.waitForSelector('main[data-seq="20"]', { timeout: 10000 });
  assert.equal(asked, 2);
  await context.close();
  server.closeAllConnections();
  server.close();
});
