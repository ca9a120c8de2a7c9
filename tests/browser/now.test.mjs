// The Now screen in a browser, over the real program.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { hasData, hasState, launchBrowser, narrower, openPage, Server, shoot, stopAll, violationsOf } from "./harness.mjs";

const looks = ["light", "dark"].flatMap((colorScheme) => [1280, 360].map((width) => ({ colorScheme, width })));
const nameOf = (look) => `${look.colorScheme}-${look.width}`;
const optionsOf = (look) => ({ colorScheme: look.colorScheme, viewport: { width: look.width, height: look.width === 360 ? 780 : 900 } });

let browser;
let server;
before(async () => {
  browser = await launchBrowser();
  server = await Server.start("synthetic:50");
});
after(async () => {
  await browser?.close();
  await stopAll();
});

// What is on the screen and what the API says, of one and the same frame.
async function screenAndApi(page) {
  return page.evaluate(async () => {
    const main = document.querySelector("main");
    for (let i = 0; i < 100; i++) {
      const api = await (await fetch(`/api/v1/now?window=${main.dataset.window}`)).json();
      if (String(api.seq) === main.dataset.seq && api.boot === main.dataset.boot) {
        const value = (id) => document.querySelector(`#${id} .value`).dataset.value;
        const rows = [...document.querySelectorAll("#pages tr")].map((row) => ({
          title: row.querySelector("bdi").textContent,
          wiki: row.querySelector(".wiki").textContent,
          edits: row.querySelector(".n").textContent,
        }));
        return { api, screen: { rate: value("rate"), editors: value("editors"), wikis: value("wikis"), bots: value("bots"), rows },
          inFlight: document.querySelector("#in-flight").textContent, verdict: document.querySelector(".verdict").textContent };
      }
      await new Promise((resolve) => setTimeout(resolve, 60));
    }
    throw new Error("the screen and the API never had the same frame");
  });
}

test("the numbers change, and are the API's", async () => {
  const { page, context, bad } = await openPage(browser, server.url);
  await hasData(page);
  const seen = new Set();
  for (let i = 0; i < 3; i++) {
    const { api, screen, inFlight, verdict } = await screenAndApi(page);
    const now = api.data.now;
    assert.deepEqual([screen.rate, screen.editors, screen.wikis, screen.bots],
      [String(now.rate ?? ""), String(now.editors), String(now.wikis), String(now.bot_share ?? "")]);
    assert.deepEqual(screen.rows, api.data.pages.map((p) => ({ title: p.title, wiki: p.wiki, edits: String(p.edits) })));
    assert.equal(inFlight.replaceAll(",", ""), api.data.ledger.in_flight);
    assert.equal(verdict, api.data.ledger.text);
    seen.add(now.changes);
    await page.waitForTimeout(1500);
  }
  assert.equal(seen.size, 3, "the number of changes stood still");
  assert.deepEqual(bad, []);
  await context.close();
});

test("the ledger balances", async () => {
  const { page, context } = await openPage(browser, server.url);
  await page.waitForSelector('#ledger[data-verdict="good"]', { timeout: 15000 });
  await context.close();
});

describe("every look", () => {
  for (const look of looks) {
    test(`${nameOf(look)}: no axe violation, nothing scrolls sideways, nothing shifts`, async () => {
      const { page, context, bad } = await openPage(browser, server.url, optionsOf(look));
      await hasData(page);
      await page.waitForTimeout(2500);
      assert.deepEqual(await violationsOf(page), []);
      assert.ok((await page.evaluate(() => document.scrollingElement.scrollWidth)) <= look.width);
      const shifts = await page.evaluate(() => globalThis.shifts);
      assert.ok(shifts.reduce((sum, text) => sum + Number.parseFloat(text), 0) < 0.005, `the layout shifts: ${shifts.join("; ")}`);
      assert.deepEqual(await page.evaluate(() => globalThis.violations), []);
      await shoot(page, `synthetic-${nameOf(look)}`);
      if (look.width === 360) await narrower(page, `synthetic-${look.colorScheme}`);
      await page.keyboard.press(" ");
      await hasState(page, "PAUSED");
      await page.waitForTimeout(1500);
      assert.deepEqual(await violationsOf(page), []);
      await shoot(page, `paused-${nameOf(look)}`);
      await page.keyboard.press("?");
      await page.waitForSelector("dialog[open]");
      assert.deepEqual(await violationsOf(page), []);
      await shoot(page, `help-${nameOf(look)}`);
      assert.deepEqual(bad, []);
      await context.close();
    });
  }
});

test("test data is marked at the edge", async () => {
  const { page, context } = await openPage(browser, server.url);
  await hasState(page, "SYNTHETIC");
  assert.equal(await page.textContent(".edge"), "Test data");
  assert.equal(await page.textContent("#chip .words"), "Test data");
  await context.close();
});

test("keys: help, theme, pause", async () => {
  const { page, context, bad } = await openPage(browser, server.url, { colorScheme: "light" });
  await hasData(page);
  await page.keyboard.press("?");
  await page.waitForSelector("dialog[open]");
  await page.keyboard.press("Escape");
  await page.waitForSelector("dialog:not([open])", { state: "attached" });
  const theme = () => page.evaluate(() => document.documentElement.dataset.theme ?? "system");
  await page.keyboard.press("t");
  assert.equal(await theme(), "light");
  await page.keyboard.press("t");
  assert.equal(await theme(), "dark");
  await page.reload();
  await hasData(page);
  assert.equal(await theme(), "dark", "the theme was not remembered");
  await page.keyboard.press(" ");
  await hasState(page, "PAUSED");
  const shown = await page.getAttribute("main", "data-seq");
  await page.waitForFunction(() => /new$/.test(document.querySelector("#chip .words").textContent), null, { timeout: 8000 });
  assert.equal(await page.getAttribute("main", "data-seq"), shown, "numbers moved while paused");
  await page.keyboard.press(" ");
  await page.waitForFunction((seq) => document.querySelector("main").dataset.seq !== seq, shown);
  assert.deepEqual(bad, []);
  await context.close();
});

test("single keys can be switched off", async () => {
  const { page, context } = await openPage(browser, server.url);
  await page.click("#help");
  await page.click(".check input");
  await page.keyboard.press("Escape");
  await page.keyboard.press("t");
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), undefined);
  await context.close();
});

test("the window stands in the URL", async () => {
  const { page, context, bad } = await openPage(browser, server.url);
  await hasData(page);
  await page.click("text=15 min");
  await page.waitForSelector('main[data-window="15m"]');
  const copied = page.url();
  const other = await openPage(browser, copied);
  await other.page.waitForSelector('main[data-window="15m"]');
  assert.deepEqual([...bad, ...other.bad], []);
  await other.context.close();
  await context.close();
});

test("rows do not move under the pointer", async () => {
  const { page, context } = await openPage(browser, server.url);
  await hasData(page);
  await page.hover("#pages tr:nth-child(3)");
  await page.waitForFunction(() => document.querySelector("#order-note").textContent.includes("held"));
  const titles = () => page.$$eval("#pages bdi", (all) => all.map((e) => e.textContent));
  const first = await titles();
  const seq = await page.getAttribute("main", "data-seq");
  await page.waitForFunction((n) => Number(document.querySelector("main").dataset.seq) > n + 3, Number(seq));
  const kept = await titles();
  assert.deepEqual(kept, first.filter((title) => kept.includes(title)), "the order changed");
  await context.close();
});

test("the chart reads out minutes by arrow keys", async () => {
  const { page, context } = await openPage(browser, server.url);
  await hasData(page);
  await page.focus("figure");
  await page.keyboard.press("End");
  await page.waitForFunction(() => /^\d\d:\d\d UTC: [\d,]+ changes/.test(document.querySelector(".readout").textContent));
  await page.keyboard.press("ArrowLeft");
  await page.waitForFunction(() => /UTC: (no data|[\d,]+ changes)/.test(document.querySelector(".timeline [role=status]").textContent));
  await page.click("summary");
  assert.equal(await page.locator(".minutes tbody tr").count(), 60);
  await context.close();
});

test("killed, it says so; restarted, it goes on without a reload", async () => {
  const own = await Server.start("synthetic:50");
  for (const look of looks.slice(0, 1)) {
    const { page, context, bad } = await openPage(browser, own.url, optionsOf(look));
    await hasData(page);
    await page.evaluate(() => (globalThis.notReloaded = true));
    const before = await page.getAttribute("main", "data-boot");
    await own.kill();
    await hasState(page, "OFFLINE");
    assert.match(await page.textContent("#chip .words"), /^Server not reachable \u00b7 last data \d\d:\d\d:\d\d \u00b7 retry in \d+ s \(\d+(st|nd|rd|th)\) \u00b7 test data$/);
    assert.ok((await page.locator("#pages tr").count()) > 0, "the values went away");
    assert.deepEqual(await violationsOf(page), []);
    await shoot(page, `offline-${nameOf(look)}`);
    await own.relaunch();
    await hasState(page, "SYNTHETIC");
    await page.waitForFunction((boot) => document.querySelector("main").dataset.boot !== boot, before);
    assert.equal(await page.evaluate(() => globalThis.notReloaded), true);
    assert.deepEqual(bad, []);
    await context.close();
  }
  await own.stop();
});

test("/plain needs no script", async () => {
  const { page, context, bad } = await openPage(browser, `${server.url}/plain?window=15m`, { javaScriptEnabled: false });
  assert.equal(await page.locator("tbody tr").count(), 20);
  await context.close();
  const scripted = await openPage(browser, `${server.url}/plain?refresh=off`);
  assert.deepEqual(await violationsOf(scripted.page), []);
  await shoot(scripted.page, "plain");
  assert.deepEqual([...bad, ...scripted.bad], []);
  const answer = await fetch(`${server.url}/plain`);
  assert.equal(answer.headers.get("refresh"), "2");
  assert.doesNotMatch(await answer.text(), /<script/);
  await scripted.context.close();
});

test("the first view fits into 80 KB", async () => {
  const { page, context } = await openPage(browser, server.url);
  await hasData(page);
  const sizes = await page.evaluate(() =>
    [...performance.getEntriesByType("resource"), ...performance.getEntriesByType("navigation")].filter((e) => !e.name.includes("/stream")).map((e) => e.transferSize));
  const sum = sizes.reduce((a, b) => a + b, 0);
  assert.ok(sum > 10000 && sum < 80 * 1024, `${sum} bytes`);
  await context.close();
});
