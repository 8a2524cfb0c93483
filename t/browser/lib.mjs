/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 *
 * What the tests in a browser have in common: TAP, waiting, the browser. */

import { createRequire } from "node:module";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const top = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
export const shots = path.join(top, "build/browser");

/* scripts/browser.sh has left the reason where there is no playwright-core. */
const unreachable = path.join(shots, "unreachable");
if (fs.existsSync(unreachable)) {
    console.log(`1..0 # SKIP ${fs.readFileSync(unreachable, "utf8").trim()}`);
    process.exit(0);
}
const { chromium } = createRequire(`${shots}/`)("playwright-core");

const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
    "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"];

let count = 0;
let failed = 0;

export function ok(good, name, ...diag) {
    console.log(`${good ? "" : "not "}ok ${++count} - ${name}`);
    if (!good) {
        ++failed;
        diag.join("\n").split("\n").forEach((line) => console.log(`# ${line}`));
    }
    return good;
}

export function is(got, want, name) {
    return ok(got === want, name, `got ${got}`, `want ${want}`);
}

/* What fn gives once that is true, or its last answer after the time.  Long: a
 * browser has many processes, each of which may have to wait for a processor.
 * What fn throws while a page is being left counts as no answer. */
export async function eventually(fn, seconds = 30) {
    const end = Date.now() + seconds * 1000;
    for (;;) {
        let value = null;
        try {
            value = await fn();
        }
        catch (error) {
            if (Date.now() >= end) {
                throw error;
            }
        }
        if (value || Date.now() >= end) {
            return value;
        }
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
}

/* What fn gives becomes what is wanted. */
export async function becomes(fn, want, name) {
    let got;
    await eventually(async () => (got = await fn()) === want);
    return is(got, want, name);
}

/* Without what the processes that used it may still be writing. */
export function remove(dir) {
    fs.rmSync(dir, { recursive: true, force: true, maxRetries: 10 });
}

export function freePort() {
    return new Promise((resolve, reject) => {
        const server = net.createServer();
        server.on("error", reject);
        server.listen(0, "127.0.0.1", () => {
            const { port } = server.address();
            server.close(() => resolve(port));
        });
    });
}

/* The browser, with a profile of its own; close() removes that, too. */
export async function openBrowser() {
    const profile = fs.mkdtempSync(path.join(os.tmpdir(), "mod_sse-browser."));
    const browser = await chromium.launch({
        executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
        args: FLAGS, env: { ...process.env, HOME: profile },
    });
    browser.on("disconnected", () => remove(profile));
    return browser;
}

/* The whole test, and its plan. */
export async function run(main) {
    try {
        await main();
    }
    catch (error) {
        ok(false, "the test came to its end", error.stack || String(error));
    }
    console.log(`1..${count}`);
    process.exitCode = failed ? 1 : 0;
}
