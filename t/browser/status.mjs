/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 *
 * The page of sse-status in a browser: its numbers change while somebody looks,
 * nothing sticks out on a phone, and without JavaScript it is tables.  TAP.
 *
 * PORT: where to serve; none: a free one.  HTTPD, LIBEXECDIR, CHROMIUM. */

import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

import { becomes, eventually, freePort, is, ok, openBrowser, remove, run, shots,
         top } from "./lib.mjs";

const MODULES = ["mpm_event", "unixd", "authz_core", "authz_host"];
const EVIL = "<img src=x onerror=document.title='gone'><script>";

/* Where the children of a server that root has started can write. */
const dir = fs.mkdtempSync(path.join(os.tmpdir(), "mod_sse-status."));

function startServer(port) {
    const modules = process.env.LIBEXECDIR
        || execFileSync("apxs", ["-q", "LIBEXECDIR"], { encoding: "utf8" }).trim();
    const load = MODULES.filter((one) =>
        fs.existsSync(`${modules}/mod_${one}.so`)).map((one) =>
        `LoadModule ${one}_module ${modules}/mod_${one}.so\n`).join("");
    const user = process.getuid() === 0 ? "User www-data\nGroup www-data\n" : "";
    fs.chmodSync(dir, 0o755);
    fs.mkdirSync(path.join(dir, "run"), { mode: 0o777 });
    fs.chmodSync(path.join(dir, "run"), 0o777);
    fs.writeFileSync(path.join(dir, "httpd.conf"), `${load}${user}
LoadModule sse_module ${top}/build/mod_sse.so
ServerName localhost
ServerRoot ${dir}
DefaultRuntimeDir ${dir}/run
PidFile ${dir}/httpd.pid
Listen 127.0.0.1:${port}
ErrorLog ${dir}/error_log
StartServers 2
ServerLimit 4
ThreadsPerChild 8
MinSpareThreads 8
MaxSpareThreads 32
MaxRequestWorkers 32
AsyncRequestWorkerFactor 100
SSEStore lmdb size=16m
SSEPresence On
<Location "/events/">
    SetHandler sse
    SSEPublish On
    Require local
</Location>
<Location "/sse-status">
    SetHandler sse-status
    Require local
</Location>
`);
    const server = spawn(process.env.HTTPD || "/usr/sbin/apache2",
                         ["-f", path.join(dir, "httpd.conf"), "-D", "APACHE2",
                          "-D", "FOREGROUND"],
                         { stdio: ["ignore", "ignore", "inherit"] });
    server.gone = new Promise((resolve) => server.on("exit", () => {
        server.over = true;
        resolve();
    }));
    return server;
}

async function open(context, url) {
    const page = await context.newPage();
    page.problems = [];
    page.on("pageerror", (error) => page.problems.push(String(error)));
    page.on("console", (message) => {
        if (message.type() === "error") {
            page.problems.push(message.text());
        }
    });
    await page.goto(url, { waitUntil: "domcontentloaded" });
    return page;
}

const number = async (page, of) =>
    Number(await page.locator(`[data-of="${of}"]`).textContent());

const overflow = (page) => page.evaluate(() =>
    document.documentElement.scrollWidth
    - document.documentElement.clientWidth);

function publish(url, name, data) {
    return fetch(`${url}events/${encodeURIComponent(name)}`, {
        method: "POST", headers: { "Content-Type": "text/plain" }, body: data,
    });
}

/* A stream of somebody else's; abort() ends it. */
async function subscribe(url) {
    const control = new AbortController();
    const answer = await fetch(`${url}events/live`, { signal: control.signal });
    const reader = answer.body.getReader();
    await reader.read();
    reader.read().catch(() => {});
    return control;
}

async function testLive(context, url) {
    const page = await open(context, `${url}sse-status`);
    await becomes(() => number(page, "streams"), 1,
                  "the page counts its own stream");
    is(await page.locator("#live").textContent(), "Live", "and says so");
    const published = await number(page, "published");
    const stream = await subscribe(url);
    await becomes(() => number(page, "streams"), 2, "a stream that opens shows");
    await publish(url, "live", "hello");
    await becomes(() => number(page, "published"), published + 1,
                  "an event, too");
    const pids = await page.locator("#children th").allTextContents();
    ok(pids.length >= 1 && pids.every((pid) => /^\d+$/.test(pid)),
       "there is a row for each child", ...pids);
    const sum = async () => (await page.locator("#children td")
        .allTextContents()).reduce((all, one) => all + Number(one), 0);
    await becomes(sum, 2, "with its streams");
    stream.abort();
    await becomes(() => number(page, "streams"), 1, "one that ends is gone");
    is(page.problems.join("\n"), "", "nothing goes wrong in the page");
    is(await page.locator("table:not(:has(caption))").count(), 0,
       "each table has a caption");
    is(await page.locator("h1").count(), 1, "there is one main heading");
    await page.screenshot({ path: path.join(shots, "status.png"),
                            fullPage: true });
    await page.close();
}

async function testPhone(browser, url) {
    await publish(url, `${"long".repeat(60)}`, "x");
    for (const colorScheme of ["light", "dark"]) {
        const context = await browser.newContext({
            viewport: { width: 360, height: 740 }, deviceScaleFactor: 2,
            hasTouch: true, isMobile: true, colorScheme,
        });
        for (const query of ["", "?channels=", "?channel=live",
                             `?channel=${"long".repeat(60)}`]) {
            const page = await open(context, `${url}sse-status${query}`);
            is(await overflow(page), 0,
               `nothing sticks out on a phone, ${colorScheme}: ${query}`
                   .slice(0, 80));
            if (query.length < 12) {
                await page.screenshot({ fullPage: true, path: path.join(shots,
                    `status-phone-${colorScheme}${query ? "-list" : ""}.png`) });
            }
            await page.close();
        }
        await context.close();
    }
}

async function testPlain(browser, url) {
    const context = await browser.newContext({ javaScriptEnabled: false });
    const page = await open(context, `${url}sse-status`);
    ok(await page.locator("table").count() >= 8, "without JavaScript: tables");
    is(await number(page, "published"), 2, "with the numbers");
    await page.getByRole("link", { name: "Refresh" }).click();
    is(await number(page, "published"), 2, "which a link reads again");
    await page.getByRole("link", { name: "Channels" }).click();
    await page.getByLabel("Names that begin with").fill("/events/li");
    await page.getByRole("button", { name: "Show" }).click();
    await becomes(async () =>
        (await page.locator("tbody th").allTextContents()).join("|"),
                  "/events/live", "channels are found by their names");
    await page.getByRole("link", { name: "/events/live" }).click();
    await becomes(() => page.locator("h1").textContent(), "/events/live",
                  "and opened");
    await context.close();
}

/* Only text, even with JavaScript. */
async function testMarkup(context, url) {
    await publish(url, EVIL, "x");
    const name = `/events/${EVIL}`;
    const page = await open(context, `${url}sse-status?channels=`);
    const link = page.getByRole("link", { name });
    is(await link.textContent(), name, "a name that is markup is text");
    await link.click();
    await becomes(() => page.locator("h1").textContent(), name,
                  "also as a heading");
    await page.waitForLoadState("load");
    ok(await page.title() !== "gone", "and nothing of it has run");
    is(page.problems.join("\n"), "", "nor was anything kept from it");
    await page.close();
}

async function main() {
    const port = Number(process.env.PORT) || await freePort();
    const url = `http://127.0.0.1:${port}/`;
    const server = startServer(port);
    let browser = null;
    try {
        await eventually(() => server.over || fetch(`${url}sse-status`)
            .then((answer) => answer.ok, () => false), 60);
        browser = await openBrowser();
        const context = await browser.newContext({
            viewport: { width: 1100, height: 800 },
        });
        await testLive(context, url);
        await testPhone(browser, url);
        await testPlain(browser, url);
        await testMarkup(context, url);
    }
    finally {
        await browser?.close();
        if (!server.over) {
            server.kill("SIGTERM");
        }
        await server.gone;
        remove(dir);
    }
}

await run(main);
