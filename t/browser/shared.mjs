/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 *
 * contrib/shared-eventsource.js in a browser, from an httpd of the test's own,
 * over HTTP/1.1: twelve tabs have one connection, each has each event once and
 * in order, whichever tab is closed; by a SharedWorker, and where there is none.
 * TAP.
 *
 * PORT: 18 below the one that is used; none: a free one.  HTTPD, LIBEXECDIR,
 * CHROMIUM. */

import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

import { becomes, eventually, freePort, is, ok, openBrowser, remove, run, top }
    from "./lib.mjs";

const MODULES = ["mpm_event", "unixd", "authz_core", "authz_host", "dir", "mime"];
const TABS = 12;
const PAGE = `<!DOCTYPE html>
<title>shared</title>
<script type="module">
import { SharedEventSource } from "/shared-eventsource.js";
const url = location.origin + "/events/shared";
const where = JSON.stringify({ url, withCredentials: false });
const tabs = new BroadcastChannel("sse:" + where);
tabs.onmessage = ({ data }) => { window.first ||= data.first; };
const events = new SharedEventSource(url);
const take = ({ type, data, lastEventId }) =>
    got.push([type, data, lastEventId].join(" "));
Object.assign(window, { events, got: [], gaps: 0, states: [] });
events.onmessage = take;
events.onopen = events.onerror = ({ type }) => states.push(type);
events.addEventListener("note", take);
events.addEventListener("sse-gap", () => ++gaps);
</script>
`;

/* Where the children of a server that root has started can read. */
const dir = fs.mkdtempSync(path.join(os.tmpdir(), "mod_sse-shared."));
let url;

async function startHttpd(port) {
    const modules = process.env.LIBEXECDIR
        || execFileSync("apxs", ["-q", "LIBEXECDIR"], { encoding: "utf8" }).trim();
    const load = MODULES.filter((one) =>
        fs.existsSync(`${modules}/mod_${one}.so`)).map((one) =>
        `LoadModule ${one}_module ${modules}/mod_${one}.so\n`).join("");
    const user = process.getuid() === 0 ? "User www-data\nGroup www-data\n" : "";
    for (const name of ["run", "www"]) {
        fs.mkdirSync(path.join(dir, name));
        fs.chmodSync(path.join(dir, name), name === "run" ? 0o777 : 0o755);
    }
    fs.chmodSync(dir, 0o755);
    fs.copyFileSync(path.join(top, "contrib/shared-eventsource.js"),
                    path.join(dir, "www/shared-eventsource.js"));
    fs.writeFileSync(path.join(dir, "www/index.html"), PAGE);
    fs.writeFileSync(path.join(dir, "www/other.html"), "<p>another page");
    fs.writeFileSync(path.join(dir, "httpd.conf"), `${load}
LoadModule sse_module ${top}/build/mod_sse.so
${user}ServerName localhost
ServerRoot ${dir}
DefaultRuntimeDir ${dir}/run
PidFile ${dir}/httpd.pid
ErrorLog ${dir}/error_log
TypesConfig /dev/null
AddType text/html .html
AddType text/javascript .js
Listen 127.0.0.1:${port}
DocumentRoot ${dir}/www
SSEStore lmdb dir=${dir}/run/store size=64m
SSERetry 10s
<Location "/events/">
    SetHandler sse
    SSEPublish On
</Location>
<Location "/status">
    SetHandler sse-status
</Location>
`);
    const log = fs.openSync(path.join(dir, "httpd.log"), "a");
    const httpd = spawn(process.env.HTTPD || "/usr/sbin/apache2",
                        ["-f", `${dir}/httpd.conf`, "-DFOREGROUND"],
                        { stdio: ["ignore", log, log] });
    httpd.gone = new Promise((resolve) => httpd.on("exit", () => {
        httpd.over = true;
        resolve();
    }));
    url = `http://localhost:${port}/`;
    await eventually(() => httpd.over
        || fetch(url).then(() => true, () => false), 60);
    ok(!httpd.over, "httpd serves the page",
       fs.readFileSync(path.join(dir, "httpd.log"), "utf8"));
    return httpd;
}

async function publish(event, data) {
    const answer = await fetch(`${url}events/shared`, {
        method: "POST", headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ event, data }),
    });
    return [event, data, (await answer.json()).id].join(" ");
}

const streams = async () => (await (await fetch(`${url}status`, {
    headers: { Accept: "application/json" } })).json()).streams;

const hasStreams = (count, name) => becomes(streams, count, name);

async function openTab(context) {
    const page = await context.newPage();
    page.problems = [];
    page.on("pageerror", (error) => page.problems.push(String(error)));
    await page.goto(url);
    return page;
}

const got = (page) => page.evaluate(() => window.got.join("\n"));

/* Each tab has these and no others, in this order. */
async function haveAll(pages, want, name) {
    const text = want.join("\n");
    const wrong = [];
    for (const [n, page] of pages.entries()) {
        let has;
        await eventually(async () => (has = await got(page)) === text);
        if (has !== text) {
            wrong.push(`tab ${n} has:`, ...has.split("\n").slice(-20));
            break;
        }
    }
    ok(!wrong.length, name, ...wrong, "want:", ...want.slice(-20));
}

/* Events while tabs are closed, and one goes to another page: whichever tab
 * leads, it is the first one. */
async function closeTabs(pages, want) {
    let over = false;
    const publishing = (async () => {
        for (let n = 0; !over || n < 100; ++n) {
            want.push(await publish(n % 3 ? "message" : "note", `during ${n}`));
        }
    })();
    for (let n = 0; n < 4; ++n) {
        const page = pages.shift();
        await (n % 2 ? page.goto(`${url}other.html`) : page.close());
        await new Promise((resolve) => setTimeout(resolve, 150));
    }
    over = true;
    await publishing;
}

async function test(browser, how) {
    const context = await browser.newContext();
    if (how === "locks") {
        await context.addInitScript("delete window.SharedWorker");
    }
    let pages = [];
    for (let n = 0; n < TABS; ++n) {
        pages.push(await openTab(context));
    }
    for (const page of pages) {
        await eventually(() => page.evaluate(() => window.events?.readyState === 1));
    }
    is((await Promise.all(pages.map((page) => page.evaluate(() =>
        `${window.events.readyState} ${window.states}`)))).join("|"),
       Array(TABS).fill("1 open").join("|"), `${how}: ${TABS} tabs are open`);
    await hasStreams(1, "and have one connection");

    /* No event has come when the first one leads no more: the others know only
     * from it where to go on. */
    if (how === "locks") {
        const leader = pages.shift();
        for (const page of pages) {
            await eventually(() => page.evaluate(() => window.first));
        }
        await leader.close();
    }
    const want = [];
    for (let n = 0; n < 30; ++n) {
        want.push(await publish(n % 2 ? "note" : "message", `event ${n}`));
    }
    await haveAll(pages, want, "each has each event, once, in order");
    await closeTabs(pages, want);
    await haveAll(pages, want, "also while the leading tabs are closed");
    await hasStreams(1, "there is one connection again");
    const more = await openTab(context);
    is(await more.title(), "shared", "a page loads");
    await eventually(() => more.evaluate(() => window.events?.readyState === 1));
    await hasStreams(1, "a tab more has no connection of its own");
    await more.evaluate(() => window.events.addEventListener("late",
        ({ data }) => window.got.push(data)));
    await eventually(async () => {
        await publish("late", "a type of its own");
        return await got(more) !== "";
    });
    ok((await got(more)).startsWith("a type of its own"),
       "which may listen to more");

    const closed = pages.pop();
    await closed.evaluate(() => window.events.close());
    is(await closed.evaluate(() => window.events.readyState), 2, "close()");
    want.push(await publish("message", "after close"));
    await haveAll(pages, want, "the others go on");
    ok(!(await got(closed)).includes("after close"), "it does not");

    /* What comes while the browser waits (SSERetry) is forgotten. */
    await fetch(`${url}events/shared`, { method: "DELETE" });
    await publish("message", "forgotten");
    await fetch(`${url}events/shared`, { method: "DELETE" });
    for (const page of [more, ...pages]) {
        await eventually(() => page.evaluate(() => window.gaps > 0));
    }
    is((await Promise.all(pages.map((page) => page.evaluate(() =>
        `${window.gaps} ${window.states.at(-1)}`)))).join("|"),
       pages.map(() => "1 open").join("|"), "a gap is told to all, once");

    /* As a page that is kept for "back", of which Chromium tells only these. */
    await more.evaluate(() => {
        for (const type of ["pagehide", "pageshow"]) {
            dispatchEvent(new PageTransitionEvent(type, { persisted: true }));
        }
    });
    is(await more.evaluate(() => window.gaps), 2, "a page is back: a gap");
    await eventually(async () => {
        await publish("message", "welcome back");
        return (await got(more)).includes("welcome back");
    });
    ok((await got(more)).includes("welcome back"), "and events again");

    const fatal = await more.evaluate(async () => {
        const { SharedEventSource } = await import("/shared-eventsource.js");
        const source = new SharedEventSource("/missing");
        await new Promise((resolve) => { source.onerror = resolve; });
        return [source.readyState, source.CLOSED, SharedEventSource.CLOSED,
                source.url, source.withCredentials].join(" ");
    });
    is(fatal, `2 2 2 ${url}missing false`, "a refusal is an error, and final");

    is([more, ...pages].map((page) => page.problems.join()).join(""), "",
       "no error in a page");
    await context.newPage();
    await Promise.all([more, closed, ...pages].map((page) => page.close()));
    await hasStreams(0, "with the last tab the connection is closed");
    await context.close();
}

async function main() {
    const port = Number(process.env.PORT) + 18 || await freePort();
    const httpd = await startHttpd(port);
    let browser = null;
    try {
        if (!httpd.over) {
            browser = await openBrowser();
            await test(browser, "worker");
            await test(browser, "locks");
        }
    }
    finally {
        await browser?.close();
        httpd.kill("SIGTERM");
        await httpd.gone;
        remove(dir);
    }
}

await run(main);
