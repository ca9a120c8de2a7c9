// Titles, users and comments are hostile input (reliability.md D5): replayed from a file, they must stay text.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { hasState, launchBrowser, openPage, Server, shoot, stopAll, temporary, violationsOf } from "./harness.mjs";

const strings = JSON.parse(readFileSync(new URL("hostile.json", import.meta.url), "utf8"));
const perScreen = 20;

let browser;
before(async () => {
  browser = await launchBrowser();
});
after(async () => {
  await browser?.close();
  await stopAll();
});

// At its recorded pace the last event, ten minutes later, keeps the replay open.
const later = JSON.stringify({ meta: { id: "later", dt: "2026-03-01T12:20:00Z" }, timestamp: 1772367600, type: "edit", title: "later", wiki: "enwiki", server_name: "en.wikipedia.org" });

// Each string as title, user, comment, parsedcomment; the wiki's names are hostile in turn.
function event(text, i) {
  const second = 1772366640;
  const wikis = [["enwiki", "en.wikipedia.org"], ["hewiki", "he.wikipedia.org"], ["\"><b>wiki", "en.wikipedia.org\" onclick=\"x"],
    ["enwiki", "javascript:alert(1)//"], ["enwiki", "evil.example/..%2f"]];
  const [wiki, server_name] = wikis[i % wikis.length];
  return JSON.stringify({
    meta: { id: `h-${i}`, domain: server_name, stream: "mediawiki.recentchange", dt: new Date(second * 1000).toISOString(), uri: "javascript:alert(1)" },
    id: 1000 + i, type: "edit", namespace: 0, title: text, title_url: "javascript:alert(1)", user: text, comment: text, parsedcomment: text,
    timestamp: second, bot: false, wiki, server_name, server_url: "javascript:alert(1)", server_script_path: "/w", notify_url: "javascript:alert(1)",
    revision: { new: 9007199254740993 + i, old: 5 }, length: { new: 2, old: 1 },
  });
}

for (let part = 0; part * perScreen < strings.length; part++) {
  const texts = strings.slice(part * perScreen, (part + 1) * perScreen);
  test(`hostile strings ${part * perScreen + 1} to ${part * perScreen + texts.length}`, async () => {
    const file = join(temporary(), "hostile.ndjson");
    writeFileSync(file, texts.map((text, i) => event(text, i) + "\n").join("") + later + "\n");
    const server = await Server.start(`replay:${file}`, { extra: ["--speed", "1"] });
    const { page, context, bad } = await openPage(browser, server.url);
    await hasState(page, "REPLAY");
    await page.waitForFunction((n) => document.querySelectorAll("#pages tr").length === n, texts.length, { timeout: 15000 });
    const shown = await page.$$eval("#pages bdi", (all) => all.map((e) => e.textContent));
    assert.deepEqual([...shown].sort(), [...texts].sort());
    const links = await page.$$eval("a", (all) => all.map((a) => a.href));
    for (const link of links) assert.match(link, /^https?:\/\//);
    for (const link of links.filter((l) => !l.startsWith(server.url))) assert.match(link, /^https:\/\/(en|he)\.wikipedia\.org\/w\/index\.php\?/);
    await page.hover("#pages tr:first-child .title");
    assert.deepEqual(await page.evaluate(() => [globalThis.violations, globalThis.xss]), [[], undefined]);
    assert.deepEqual(await violationsOf(page), []);
    await shoot(page, `hostile-${part}`);
    await page.goto(`${server.url}/plain?refresh=off`);
    const plain = await page.$$eval("tbody bdi", (all) => all.map((e) => e.textContent));
    const readable = (text) => text.replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, "\ufffd");
    assert.deepEqual([...plain].sort(), texts.map(readable).sort());
    assert.deepEqual(await page.evaluate(() => [globalThis.violations, globalThis.xss]), [[], undefined]);
    assert.deepEqual(bad, []);
    await context.close();
    await server.stop();
  });
}
