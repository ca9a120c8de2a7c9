// What the page's source must never hold, and its types (tsc --noEmit). Run by the C build's tests.
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const web = dirname(fileURLToPath(import.meta.url));
const never = /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|dangerouslySet|https?:\/\/(?!\$\{)/;
let failed = 0;

for (const name of readdirSync(join(web, "src"))) {
  readFileSync(join(web, "src", name), "utf8").split("\n").forEach((line, i) => {
    if (!never.test(line)) return;
    console.error(`web/src/${name}:${i + 1}: ${line.trim()}`);
    failed = 1;
  });
}
if (/"resolved"/.test(readFileSync(join(web, "package-lock.json"), "utf8"))) {
  console.error("web/package-lock.json names addresses of a registry; install with web/.npmrc in force");
  failed = 1;
}
const tsc = spawnSync(process.execPath, [join(web, "node_modules/typescript/bin/tsc"), "--noEmit", "-p", web], { stdio: "inherit" });
process.exit(failed || tsc.status);
