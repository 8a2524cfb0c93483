/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 *
 * The main job for real: "make run", a browser with two tabs on the demo
 * page, each on the other's list under its name, an event published by curl and
 * seen in both, a tab closed, which the other one is told of.  TAP.
 *
 * PORT: where to serve; none: a free one.  CHROMIUM: the browser. */

import { spawn, execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";

import { becomes, eventually, freePort, is, ok, openBrowser, run, shots, top }
    from "./lib.mjs";

function curl(...args) {
    return execFileSync("curl", ["-sS", "--max-time", "30", ...args],
                        { encoding: "utf8" });
}

/* "make run" in a process group of its own, so that a signal to the group is
 * what Ctrl-C is. */
function makeRun(port) {
    const env = { ...process.env, PORT: String(port) };
    for (const name of ["MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"]) {
        delete env[name];
    }
    const make = spawn("make", ["--no-print-directory", "run", `PORT=${port}`],
                       { cwd: top, env, detached: true,
                         stdio: ["ignore", "pipe", "pipe"] });
    make.output = "";
    make.stdout.on("data", (text) => { make.output += text; });
    make.stderr.on("data", (text) => { make.output += text; });
    make.gone = new Promise((resolve) => {
        make.on("exit", () => { make.over = true; resolve(); });
    });
    return make;
}

/* The access log, wherever "make run" says it is. */
function accessLog(make) {
    const found = /^Logs: (\S+)\/access_log/m.exec(make.output);
    return fs.readFileSync(path.resolve(top, found[1], "access_log"), "utf8");
}

async function openPage(context, url) {
    const page = await context.newPage();
    page.problems = [];
    page.elsewhere = [];
    page.on("pageerror", (error) => page.problems.push(String(error)));
    page.on("console", (message) => {
        if (message.type() === "error") {
            page.problems.push(message.text());
        }
    });
    page.on("request", (request) => {
        if (!/^(data|blob):/.test(request.url())
            && !request.url().startsWith(url)) {
            page.elsewhere.push(request.url());
        }
    });
    await page.goto(url, { waitUntil: "domcontentloaded" });
    return page;
}

const text = (page, id) => page.locator(`#${id}`).textContent();
const texts = (page) => page.locator("#events .text").allTextContents();
const people = async (page) =>
    (await page.locator("#people li").allTextContents()).sort().join("|");
const told = (page) => page.locator("#told li").allTextContents();

async function overflow(page) {
    return page.evaluate(() => document.documentElement.scrollWidth
                               - document.documentElement.clientWidth);
}

async function testTwoTabs(context, url, make) {
    const before = closes(make).length; /* of earlier runs on this port */
    const pages = [await openPage(context, url), await openPage(context, url)];
    for (const [n, page] of pages.entries()) {
        await becomes(() => text(page, "state"), "connected",
                      `tab ${n + 1} is connected`);
    }
    await becomes(() => text(pages[1], "streams"), "2",
                  "the page counts two streams");
    await testNames(pages);

    const answer = JSON.parse(curl("-d", "data=Hello from curl",
                                   `${url}events/demo`));
    ok(/^[1-9][0-9]*$/.test(answer.id), "curl publishes an event",
       JSON.stringify(answer));
    for (const [n, page] of pages.entries()) {
        await eventually(async () =>
            (await texts(page)).includes("Hello from curl"));
        is((await texts(page)).join("|"), "Hello from curl",
           `tab ${n + 1} shows it, once`);
        is(await text(page, "last-id"), answer.id, "and its id");
    }

    const markup = "<img src=x onerror=document.title='gone'>\nsecond line";
    await pages[0].fill("#data", markup);
    await pages[0].selectOption("#type", "notice");
    await pages[0].click("#publish button[type=submit]");
    await eventually(async () => (await texts(pages[1])).includes(markup));
    is((await texts(pages[1]))[0], markup,
       "the form publishes, and markup is shown as text");
    is(await pages[1].locator("#events .type").first().textContent(), "notice",
       "under its type");
    await eventually(async () =>
        /^Published/.test(await text(pages[0], "answer")));
    ok(/^Published as \d+$/.test(await text(pages[0], "answer")),
       "the form says that it is published", await text(pages[0], "answer"));
    is(await text(pages[0], "data"), "", "and is empty again");

    await testClose(pages, make, before);
    return pages[0];
}

/* Names that are markup, or no ASCII. */
const OTHER = "<b>Jörg</b> & 1%";

async function testNames(pages) {
    const name = await pages[0].inputValue("#name");
    ok(/^[A-Z][a-z]+ [A-Z][a-z]+$/.test(name), "a page makes up a name", name);
    is(await pages[1].inputValue("#name"), name,
       "which the browser keeps for the next one");
    await becomes(() => people(pages[0]), `${name}|${name}`,
                  "both are on the list");

    const before = await height(pages[0]);
    await pages[1].fill("#name", OTHER);
    await pages[1].press("#name", "Enter");
    const both = [name, OTHER].sort().join("|");
    for (const [n, page] of pages.entries()) {
        await becomes(() => people(page), both,
                      `tab ${n + 1} lists another name, as text`);
    }
    is(await pages[1].locator("#people .me").textContent(), OTHER,
       "and tells which is its own");
    await eventually(async () => (await told(pages[0])).some(came));
    ok((await told(pages[0])).some(came), "the application is told who came",
       ...await told(pages[0]));
    is(await height(pages[0]), before, "nothing on the page has moved");
}

const came = (line) => line.startsWith(`${OTHER} came: told after `);
const left = (line) => line.startsWith(`${OTHER} left: told after `);

/* Where what is below the list and the told lines begins. */
async function height(page) {
    return page.locator("#events-title").evaluate((title) =>
        title.getBoundingClientRect().top + window.scrollY);
}

async function testClose(pages, make, before) {
    /* That of the tab's first name has ended, too. */
    await eventually(() => closes(make).length > before);
    await pages[1].close();
    await eventually(() => closes(make).length > before + 1);
    is(closes(make).length, before + 2, "a closed tab is one ended stream");
    ok(/^(client|reset)$/.test(closes(make).at(-1)),
       "which the access log's sse-close gives to the client",
       closes(make).join(" "));
    await becomes(() => text(pages[0], "streams"), "1",
                  "the other tab counts one stream");
    is(await people(pages[0]), await pages[0].inputValue("#name"),
       "and lists itself alone");
    await eventually(async () => (await told(pages[0])).some(left));
    const line = (await told(pages[0])).find(left) ?? "none";
    ok(/: told after \d+ ms: (client|reset)$/.test(line),
       "it shows that the application was told, how soon, and why", line);
}

/* Why each page's stream ended that the access log knows of. */
function closes(make) {
    return [...accessLog(make).matchAll(
        /"GET \/events\/demo\?name=\S* HTTP.* close=(\S+) /g)]
        .map((match) => match[1]);
}

async function testDisconnect(page, url) {
    await page.click("#toggle");
    is(await text(page, "state"), "closed", "the page can disconnect");
    await becomes(() => text(page, "streams"), "0", "and no stream is left");
    await page.click("#clear");
    curl("-d", "data=while away", `${url}events/demo`);
    await page.click("#toggle");
    await eventually(async () => (await texts(page)).length >= 3);
    is((await texts(page))[0], "while away",
       "back again, it is told what it missed");
}

async function testPhone(browser, url) {
    for (const colorScheme of ["light", "dark"]) {
        const context = await browser.newContext({
            viewport: { width: 360, height: 740 }, deviceScaleFactor: 2,
            hasTouch: true, isMobile: true, colorScheme,
        });
        const page = await openPage(context, url);
        await eventually(async () => (await texts(page)).length >= 3);
        await page.evaluate(() => fetch("/events/demo", {
            method: "POST", headers: { "Content-Type": "text/plain" },
            body: `https://example.org/${"long".repeat(60)}`,
        }));
        await eventually(async () => (await texts(page))[0]?.includes("long"));
        const shot = path.join(shots, `phone-${colorScheme}.png`);
        await page.screenshot({ path: shot, fullPage: true });
        is(await overflow(page), 0, `nothing sticks out on a phone, ${colorScheme}`);
        is(page.problems.join("\n"), "", "and nothing goes wrong there");
        await context.close();
    }
}

async function testPage(browser, url, make) {
    /* What an earlier run on this port has left in its store. */
    curl("-X", "DELETE", `${url}events/demo`);
    const context = await browser.newContext({
        viewport: { width: 1100, height: 800 },
    });
    const page = await testTwoTabs(context, url, make);
    await testDisconnect(page, url);
    await page.screenshot({ path: path.join(shots, "desktop.png") });
    is(await overflow(page), 0, "nothing sticks out on a desktop");
    is(page.problems.join("\n"), "", "no error in the page");
    is(page.elsewhere.join("\n"), "", "and nothing loaded from elsewhere");
    await testPhone(browser, url);
    await context.close();
}

async function main() {
    const port = Number(process.env.PORT) || await freePort();
    const url = `http://127.0.0.1:${port}/`;
    const make = makeRun(port);
    let browser = null;
    try {
        await eventually(() => make.over || /^Logs: .*\n/m.test(make.output), 120);
        if (!ok(make.output.includes(url), "make run says what to open",
                make.output)) {
            return;
        }
        browser = await openBrowser();
        await testPage(browser, url, make);
        await browser.close();
        browser = null;
    }
    finally {
        await browser?.close();
        if (!make.over) {
            process.kill(-make.pid, "SIGINT");
        }
        const timer = setTimeout(() => process.kill(-make.pid, "SIGKILL"),
                                 30000);
        await make.gone;
        clearTimeout(timer);
    }
    ok(await eventually(() => fetch(url).then(() => false, () => true)),
       "Ctrl-C ends the server");
}

await run(main);
