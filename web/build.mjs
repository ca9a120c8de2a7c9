// Builds the page: bundles src/, gives each file a name with a hash of its content, compresses it, and writes what the C
// build compiles in: OUT/web_assets.bin (all bytes), web_assets.S (.incbin of it) and web_assets_table.c (assets.h).
//
//   node build.mjs OUT          for the C build
//   node build.mjs --dir DIR    plain files, for --web-dir
//
// Installs the packages of the lock file first when they are not there (npm ci, without their scripts).
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const web = dirname(fileURLToPath(import.meta.url));
const types = { html: "text/html; charset=utf-8", js: "text/javascript; charset=utf-8", css: "text/css; charset=utf-8", svg: "image/svg+xml" };
const budget = 80 * 1024;

function install() {
  const mark = join(web, "node_modules/.package-lock.json");
  if (existsSync(mark) && statSync(mark).mtimeMs >= statSync(join(web, "package-lock.json")).mtimeMs) return;
  const npm = spawnSync("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], { cwd: web, stdio: "inherit" });
  if (npm.status !== 0) {
    console.error("web: npm ci failed; without a network build with meson -Dweb=false, or bring web/node_modules along");
    process.exit(1);
  }
}

const hash = (bytes) => createHash("sha256").update(bytes).digest("hex").slice(0, 12);

async function bundle() {
  const { build } = await import("esbuild");
  const result = await build({
    absWorkingDir: web,
    entryPoints: ["src/main.tsx", "src/boot.ts", "src/style.css"],
    bundle: true,
    minify: true,
    write: false,
    outdir: "out",
    format: "iife",
    target: ["chrome105", "firefox110", "safari16"],
    jsx: "automatic",
    jsxImportSource: "preact",
    legalComments: "none",
    logLevel: "warning",
  });
  const files = {};
  for (const file of result.outputFiles) files[file.path.split("/").pop()] = Buffer.from(file.contents);
  files["icon.svg"] = readFileSync(join(web, "icon.svg"));
  return files;
}

// index.html names the others as {{main.js}}; it alone keeps its name.
function link(files) {
  let html = readFileSync(join(web, "index.html"), "utf8");
  const named = [];
  for (const [name, bytes] of Object.entries(files).sort()) {
    const dot = name.lastIndexOf(".");
    const hashed = `${name.slice(0, dot)}.${hash(bytes)}${name.slice(dot)}`;
    if (!html.includes(`{{${name}}}`)) continue;
    html = html.replaceAll(`{{${name}}}`, `/assets/${hashed}`);
    named.push({ name: hashed, bytes });
  }
  if (html.includes("{{")) throw new Error("index.html names a file that is not built");
  return [{ name: "index.html", bytes: Buffer.from(html) }, ...named];
}

function compress(file) {
  const smaller = (bytes) => (bytes.length < file.bytes.length ? bytes : null);
  const gzip = gzipSync(file.bytes, { level: 9 });
  gzip[9] = 255; // no operating system in the header: the same bytes everywhere
  const br = brotliCompressSync(file.bytes, {
    params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: file.bytes.length },
  });
  return { ...file, gzip: smaller(gzip), br: smaller(br) };
}

function writeTable(files, out) {
  const parts = [];
  let size = 0;
  const place = (bytes) => {
    if (!bytes) return "{0, 0}";
    const at = size;
    parts.push(bytes);
    size += bytes.length;
    return `{web_assets_blob + ${at}, ${bytes.length}}`;
  };
  const rows = files.map((f) => {
    const type = types[f.name.split(".").pop()];
    return `    {"${f.name}", "${type}", "\\"${hash(f.bytes)}\\"", ${place(f.bytes)}, ${place(f.gzip)}, ${place(f.br)}},`;
  });
  const blob = relative(process.cwd(), join(out, "web_assets.bin"));
  writeFileSync(join(out, "web_assets.bin"), Buffer.concat(parts));
  writeFileSync(join(out, "web_assets.S"),
    `    .section .rodata\n    .global web_assets_blob\nweb_assets_blob:\n    .incbin "${blob}"\n    .byte 0\n` +
    `    .section .note.GNU-stack,"",%progbits\n`);
  writeFileSync(join(out, "web_assets_table.c"),
    `/* Written by web/build.mjs. */\n#include "serve/assets.h"\n\nextern const char web_assets_blob[];\n\n` +
    `static const struct asset files[] = {\n${rows.join("\n")}\n};\n\n` +
    `const struct asset *assets_compiled(size_t *ret_count)\n{\n    *ret_count = sizeof(files) / sizeof(*files);\n    return files;\n}\n`);
}

install();
const files = link(await bundle()).map(compress);
const transfer = files.reduce((sum, f) => sum + (f.br ?? f.bytes).length, 0);
if (transfer > budget) throw new Error(`the page is ${transfer} bytes compressed; the budget is ${budget}`);
if (process.argv[2] === "--dir") {
  mkdirSync(process.argv[3], { recursive: true });
  for (const f of files) writeFileSync(join(process.argv[3], f.name), f.bytes);
} else {
  writeTable(files, process.argv[2]);
}
if (process.env.VERBOSE) for (const f of files) console.log(f.name, f.bytes.length, f.gzip?.length, f.br?.length);
