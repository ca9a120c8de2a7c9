// Starts the real binary (env WIKITALLY) and Debian's Chromium (env CHROMIUM, default /usr/bin/chromium); screenshots go to
// the directory in env SHOTS, if there is one.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const binary = process.env.WIKITALLY;
if (!binary) throw new Error("WIKITALLY must name the program to be tested");
const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];
const axePath = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

export const temporary = () => mkdtempSync(join(tmpdir(), "wikitally-browser-"));
export const remove = (directory) => rmSync(directory, { recursive: true, force: true });

const running = new Set();
// After each file: a test that failed may have left its server behind.
export const stopAll = () => Promise.all([...running].map((server) => server.stop()));

export class Server {
  static async start(source, options = {}) {
    const server = new Server();
    server.directory = options.directory ?? temporary();
    server.source = source;
    server.extra = options.extra ?? [];
    running.add(server);
    await server.launch(options.listen ?? "127.0.0.1:0");
    return server;
  }

  async launch(listen) {
    this.process = spawn(binary, ["run", "--source", this.source, "--data-dir", this.directory, "--listen", listen, ...this.extra],
      { stdio: ["ignore", "ignore", "pipe"] });
    this.log = "";
    this.ended = new Promise((resolve) => this.process.once("exit", resolve));
    this.url = await new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`the program does not listen: ${this.log}`)), 20000);
      this.process.stderr.on("data", (chunk) => {
        this.log += chunk;
        const found = /listening on (http:\/\/\S+)/.exec(this.log);
        if (found) {
          clearTimeout(late);
          resolve(found[1]);
        }
      });
      this.process.once("exit", (code) => reject(new Error(`the program ended with ${code}: ${this.log}`)));
    });
  }

  async kill() {
    this.process.kill("SIGKILL");
    await this.ended;
  }

  async relaunch() {
    await this.launch(new URL(this.url).host);
  }

  async stop() {
    running.delete(this);
    this.process.kill("SIGTERM");
    await this.ended;
    remove(this.directory);
  }
}

export const launchBrowser = () => chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: flags });

// A page that remembers everything that must not happen.
export async function openPage(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options, bypassCSP: false });
  const page = await context.newPage();
  const bad = [];
  page.on("console", (m) => {
    // a server that was killed on purpose makes the browser say so
    if (["error", "warning"].includes(m.type()) && !/net::ERR_(CONNECTION|EMPTY|INCOMPLETE)/.test(m.text())) bad.push(`console: ${m.text()}`);
  });
  page.on("pageerror", (e) => bad.push(`page error: ${e.message}`));
  page.on("dialog", (d) => {
    bad.push(`dialog: ${d.message()}`);
    void d.dismiss();
  });
  const origin = new URL(url).origin;
  page.on("request", (r) => {
    if (new URL(r.url()).origin !== origin) bad.push(`left the origin: ${r.url()}`);
  });
  await context.addInitScript(() => {
    globalThis.violations = [];
    globalThis.shifts = [];
    document.addEventListener("securitypolicyviolation", (e) => globalThis.violations.push(`${e.violatedDirective} ${e.blockedURI}`));
    new PerformanceObserver((list) => list.getEntries().forEach((e) =>
      globalThis.shifts.push(`${e.value.toFixed(4)} ${e.sources.map((s) => s.node?.className ?? s.node?.nodeName).join(", ")}`))).observe({ type: "layout-shift", buffered: true });
  });
  await page.goto(url);
  return { page, context, bad };
}

export const hasData = (page) => page.waitForSelector("#pages tr", { timeout: 15000 });
export const hasState = (page, state) => page.waitForSelector(`main[data-state="${state}"]`, { timeout: 40000 });

// axe comes in through the debugger (evaluate), so the page's policy stays as it is.
export async function violationsOf(page) {
  const { readFileSync } = await import("node:fs");
  await page.evaluate(readFileSync(axePath, "utf8"));
  const result = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  return result.violations.map((v) => `${v.id}: ${v.help} (${v.nodes.map((n) => n.html.slice(0, 120)).join(" | ")})`);
}

// Narrower than a telephone: 360 px less the scroll bar of a desktop's window, and the narrowest that is still sold. Nothing
// scrolls sideways, and no word of the window buttons is cut off.
export async function narrower(page, name) {
  for (const width of [345, 320]) {
    await page.setViewportSize({ width, height: 780 });
    await page.waitForTimeout(200);
    const { wide, cut } = await page.evaluate(() => ({
      wide: document.scrollingElement.scrollWidth,
      cut: [...document.querySelectorAll(".segments label")].filter((e) => e.scrollWidth > e.clientWidth).map((e) => e.textContent),
    }));
    assert.ok(wide <= width, `scrolls sideways at ${width}: ${wide}`);
    assert.deepEqual(cut, [], `cut off at ${width}`);
    await shoot(page, `${name}-${width}`);
  }
}

export async function shoot(page, name) {
  if (!process.env.SHOTS) return;
  mkdirSync(process.env.SHOTS, { recursive: true });
  await page.screenshot({ path: join(process.env.SHOTS, `${name}.png`), fullPage: true });
}
