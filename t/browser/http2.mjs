/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 *
 * A browser over TLS and HTTP/2, from an httpd of the test's own with one child
 * of few threads: twelve tabs of one origin, so one connection, with a stream
 * each, which load pages, publish and download meanwhile.  No request waits, no
 * stream holds a thread, and a stream of many MB does not stall where the
 * browser's windows are used up.  TAP.
 *
 * PORT: 19 and 20 below those that are used; none: free ones.  HTTPD,
 * LIBEXECDIR, CHROMIUM. */

import { execFileSync, spawn } from "node:child_process";
import crypto from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

import { becomes, eventually, freePort, is, ok, openBrowser, remove, run, top }
    from "./lib.mjs";

const MODULES = ["mpm_event", "unixd", "authz_core", "authz_host", "dir", "mime",
                 "ssl", "http2"];
const TABS = 12;
/* Far more than a request takes on a busy machine, far less than one that waits
 * for a stream to end. */
const WAIT = 8000;
/* More than all the windows that a browser opens at first. */
const MANY = { mb: 24, events: 20, size: 50000 };

const PAGE = `<!DOCTYPE html>
<title>tab</title>
<link rel="icon" href="data:,">
<script>
const channel = new URLSearchParams(location.search).get("channel") || "tabs";
const events = new EventSource("/events/" + channel);
const got = [];
let bytes = 0;
events.onmessage = ({ data }) => {
    bytes += data.length;
    got.push(data.slice(0, 40));
};
Object.assign(window, { events, got, count: () => got.length, bytes: () => bytes });

/* How long each took, in ms; what was loaded. */
async function timed(what, url, options) {
    const begin = performance.now();
    const answer = await fetch(url, { cache: "no-store", ...options });
    const body = await answer.arrayBuffer();
    return { what: what + " " + answer.status, body,
             ms: performance.now() - begin };
}
async function pages(count) {
    const all = [];
    for (let n = 0; n < count; ++n) {
        all.push(...await Promise.all(["/other.html", "/small.txt"].map((url) =>
            timed("GET " + url, url))));
    }
    return all.map(({ what, ms }) => ({ what, ms }));
}
async function publish(tab, count) {
    const all = [];
    for (let n = 0; n < count; ++n) {
        all.push(await timed("POST", "/events/tabs", {
            method: "POST", headers: { "Content-Type": "text/plain" },
            body: tab + "." + n }));
    }
    return all.map(({ what, ms }) => ({ what, ms }));
}
async function download() {
    const { what, body, ms } = await timed("GET /large.bin", "/large.bin");
    const hash = await crypto.subtle.digest("SHA-256", body);
    return { what, ms, hash: [...new Uint8Array(hash)].map((byte) =>
        byte.toString(16).padStart(2, "0")).join("") };
}
</script>
`;

/* Where the children of a server that root has started can read. */
const dir = fs.mkdtempSync(path.join(os.tmpdir(), "mod_sse-http2."));
const large = crypto.randomBytes(3 * 1024 * 1024);
let url;   /* over TLS */
let plain; /* the same server, not over TLS */

function makeFiles() {
    for (const name of ["run", "www"]) {
        fs.mkdirSync(path.join(dir, name));
        fs.chmodSync(path.join(dir, name), name === "run" ? 0o777 : 0o755);
    }
    fs.chmodSync(dir, 0o755);
    fs.writeFileSync(path.join(dir, "www/index.html"), PAGE);
    fs.writeFileSync(path.join(dir, "www/other.html"),
                     "<title>other</title><link rel=icon href='data:,'><p>other");
    fs.writeFileSync(path.join(dir, "www/small.txt"), "small\n".repeat(100));
    fs.writeFileSync(path.join(dir, "www/large.bin"), large);
    execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt",
        "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
        "/CN=localhost", "-keyout", `${dir}/key.pem`, "-out", `${dir}/cert.pem`],
        { stdio: "ignore" });
}

/* More connections than threads are no matter for the event MPM. */
function makeConf(port, portPlain) {
    const modules = process.env.LIBEXECDIR
        || execFileSync("apxs", ["-q", "LIBEXECDIR"], { encoding: "utf8" }).trim();
    const load = MODULES.filter((one) =>
        fs.existsSync(`${modules}/mod_${one}.so`)).map((one) =>
        `LoadModule ${one}_module ${modules}/mod_${one}.so\n`).join("");
    const user = process.getuid() === 0 ? "User www-data\nGroup www-data\n" : "";
    fs.writeFileSync(path.join(dir, "httpd.conf"), `${load}
LoadModule sse_module ${top}/build/mod_sse.so
${user}ServerName localhost
ServerRoot ${dir}
DefaultRuntimeDir ${dir}/run
PidFile ${dir}/httpd.pid
ErrorLog ${dir}/error_log
TypesConfig /dev/null
AddType text/html .html
Listen 127.0.0.1:${portPlain}
Listen 127.0.0.1:${port}
StartServers 1
ServerLimit 1
ThreadsPerChild 8
MinSpareThreads 1
MaxSpareThreads 8
MaxRequestWorkers 8
AsyncRequestWorkerFactor 100
DocumentRoot ${dir}/www
SSEStore lmdb dir=${dir}/run/store size=128m
<IfDirective SSEHTTP2>
    SSEHTTP2 splice
</IfDirective>
<Location "/events/">
    SetHandler sse
    SSEPublish On
    SSEHistory 2000 1h 64m
</Location>
<Location "/status">
    SetHandler sse-status
</Location>
SSLSessionCache none
<VirtualHost 127.0.0.1:${port}>
    SSLEngine on
    SSLCertificateFile    ${dir}/cert.pem
    SSLCertificateKeyFile ${dir}/key.pem
    Protocols h2 http/1.1
</VirtualHost>
`);
}

async function startHttpd(port, portPlain) {
    makeFiles();
    makeConf(port, portPlain);
    const log = fs.openSync(path.join(dir, "httpd.log"), "a");
    const httpd = spawn(process.env.HTTPD || "/usr/sbin/apache2",
                        ["-f", `${dir}/httpd.conf`, "-DFOREGROUND"],
                        { stdio: ["ignore", log, log] });
    httpd.gone = new Promise((resolve) => httpd.on("exit", () => {
        httpd.over = true;
        resolve();
    }));
    url = `https://localhost:${port}/`;
    plain = `http://localhost:${portPlain}/`;
    await eventually(() => httpd.over
        || fetch(plain).then(() => true, () => false), 60);
    ok(!httpd.over, "httpd serves the page",
       fs.readFileSync(path.join(dir, "httpd.log"), "utf8"));
    return httpd;
}

const status = async () => (await fetch(`${plain}status`, {
    headers: { Accept: "application/json" } })).json();

const held = ({ threads, drives }) =>
    `threads ${threads}, with HTTP/2 ${drives.waiting_http2}`;

async function openTab(context, channel) {
    const page = await context.newPage();
    page.problems = [];
    page.on("pageerror", (error) => page.problems.push(String(error)));
    await page.goto(`${url}?channel=${channel || "tabs"}`);
    return page;
}

/* 1: open. */
const states = async (pages) => (await Promise.all(pages.map((page) =>
    page.evaluate(() => window.events.readyState)))).join();

/* From when it was asked for; without what the browser itself needs first. */
const loading = (page) => page.evaluate(() => {
    const { name, fetchStart, responseEnd, nextHopProtocol } =
        performance.getEntriesByType("navigation")[0];
    return { what: name, ms: responseEnd - fetchStart, protocol: nextHopProtocol };
});

/* Whether none of them took long, and all were answered 200. */
function quick(all, name) {
    const sorted = [...all].sort((a, b) => b.ms - a.ms);
    const wrong = all.filter(({ what, ms }) => ms > WAIT || / [^2]\d\d$/.test(what));
    console.log(`# ${name}: ${all.length}, median `
        + `${sorted[Math.floor(all.length / 2)].ms.toFixed(0)} ms, slowest `
        + `${sorted[0].ms.toFixed(0)} ms`);
    ok(!wrong.length, name, ...wrong.slice(0, 20).map(({ what, ms }) =>
        `${what}: ${ms.toFixed(0)} ms`));
}

/* What a page is asked, with a bound: what waits for ever is told as such. */
function bounded(promise, what) {
    return Promise.race([promise, new Promise((resolve) =>
        setTimeout(() => resolve([{ what, ms: Infinity }]), 10 * WAIT))]);
}

async function openTabs(context) {
    const pages = [];
    const all = [];
    for (let n = 0; n < TABS; ++n) {
        pages.push(await openTab(context));
        all.push(await loading(pages[n]));
    }
    is(all.map(({ protocol }) => protocol).join(), Array(TABS).fill("h2").join(),
       "the pages come over HTTP/2");
    quick(all, `${TABS} tabs with a stream each`);
    await becomes(() => states(pages), Array(TABS).fill(1).join(),
                  "all streams are open");
    await becomes(async () => (await status()).streams, TABS, "and counted");
    is(held(await status()), "threads 0, with HTTP/2 0", "none holds a thread");
    return pages;
}

/* All tabs at a time. */
async function beside(pages) {
    const digest = crypto.createHash("sha256").update(large).digest("hex");
    const before = await Promise.all(pages.map((page) =>
        page.evaluate(() => window.count())));
    const [loads, posts, downloads] = await Promise.all([
        Promise.all(pages.map((page) => bounded(
            page.evaluate(() => window.pages(10)), "pages"))),
        Promise.all(pages.map((page, n) => bounded(
            page.evaluate((tab) => window.publish(tab, 5), `tab ${n}`), "POSTs"))),
        bounded(Promise.all([0, 1].map((n) => pages[n].evaluate(() =>
            window.download()))), "downloads"),
    ]);
    quick(loads.flat(), "pages beside the streams");
    quick(posts.flat(), "POSTs beside the streams");
    quick(downloads, "downloads of 3 MB beside the streams");
    is(downloads.map(({ hash }) => hash).join(), `${digest},${digest}`,
       "and what came is right");
    const want = pages.flatMap((_, n) => [0, 1, 2, 3, 4].map((i) =>
        `tab ${n}.${i}`)).sort().join("\n");
    const wrong = [];
    for (const [n, page] of pages.entries()) {
        const got = () => page.evaluate((from) => window.got.slice(from).sort()
            .join("\n"), before[n]);
        await eventually(async () => await got() === want);
        if (await got() !== want) {
            wrong.push(`tab ${n} has:`, await got());
        }
    }
    ok(!wrong.length, "each tab has each event, once", ...wrong);
}

/* Some by themselves, then all at once. */
async function navigate(pages) {
    const all = [];
    const go = async (page, to) => {
        await page.goto(`${url}${to}`);
        all.push(await loading(page));
    };
    for (const page of pages.slice(0, 3)) {
        await go(page, "other.html");
        await go(page, "?channel=tabs");
    }
    await Promise.all(pages.map((page) => go(page, "other.html")));
    await Promise.all(pages.map((page) => go(page, "?channel=tabs")));
    quick(all, "pages that tabs go to");
    await eventually(async () => await states(pages) === Array(TABS).fill(1).join());
    await fetch(`${plain}events/tabs`, { method: "POST",
        headers: { "Content-Type": "text/plain" }, body: "all" });
    const has = () => Promise.all(pages.map((page) =>
        page.evaluate(() => window.got.includes("all"))));
    await eventually(async () => (await has()).every(Boolean));
    is((await has()).join(), Array(TABS).fill(true).join(),
       "their new streams have events");
    is(held(await status()), "threads 0, with HTTP/2 0", "and hold no thread");
}

/* A MB at a time, each when the one before has come. */
async function many(context) {
    const page = await openTab(context, "many");
    await eventually(() => page.evaluate(() => window.events.readyState === 1));
    const body = `data: ${"x".repeat(MANY.size - 1)}\n\n`.repeat(MANY.events);
    const all = [];
    for (let n = 1; n <= MANY.mb; ++n) {
        const begin = Date.now();
        await fetch(`${plain}events/many`, { method: "POST", body,
            headers: { "Content-Type": "text/event-stream" } });
        const has = () => page.evaluate(() => window.count());
        await eventually(async () => await has() >= n * MANY.events);
        all.push({ what: `MB ${n}`, ms: Date.now() - begin });
        if (await has() < n * MANY.events) {
            break;
        }
    }
    quick(all, `a stream of ${MANY.mb} MB`);
    is(await page.evaluate(() => window.bytes()),
       MANY.mb * MANY.events * (MANY.size - 1), "all of it has come, once");
    is((await status()).gaps, 0, "without a gap");
    await page.close();
}

/* The same of pages, with and without a stream that says nothing. */
async function load(context, where, name) {
    const page = await context.newPage();
    await page.goto(`${url}${where}`);
    quick(await bounded(page.evaluate(async (count) => {
        const all = [];
        for (let n = 0; n < count; ++n) {
            const begin = performance.now();
            const answer = await fetch("/large.bin", { cache: "no-store" });
            const { byteLength } = await answer.arrayBuffer();
            all.push({ what: `${byteLength} bytes ${answer.status}`,
                       ms: performance.now() - begin });
        }
        return all;
    }, MANY.mb / 3), "downloads"), name);
    await page.close();
}

async function test(browser) {
    const context = await browser.newContext({ ignoreHTTPSErrors: true });
    const pages = await openTabs(context);
    await beside(pages);
    await navigate(pages);
    await many(context);
    is(pages.map((page) => page.problems.join()).join(""), "",
       "no error in a page");
    await context.newPage();
    await Promise.all(pages.map((page) => page.close()));
    await becomes(async () => (await status()).streams, 0,
                  "with the tabs the streams are closed");
    await becomes(async () => held(await status()), "threads 0, with HTTP/2 0",
                  "and no thread is held");
    await context.close();

    /* Nothing but the stream uses this connection. */
    const another = await browser.newContext({ ignoreHTTPSErrors: true });
    await many(another);
    await another.close();
    for (const where of ["other.html", "?channel=quiet"]) {
        const alone = await browser.newContext({ ignoreHTTPSErrors: true });
        await load(alone, where, `${MANY.mb} MB of ${where}`);
        await alone.close();
    }
    await becomes(async () => (await status()).streams, 0, "no stream is left");
}

async function main() {
    const given = Number(process.env.PORT);
    const httpd = await startHttpd(given + 19 || await freePort(),
                                   given + 20 || await freePort());
    let browser = null;
    try {
        if (!httpd.over) {
            browser = await openBrowser();
            await test(browser);
        }
    }
    finally {
        await browser?.close();
        httpd.kill("SIGTERM");
        await httpd.gone;
        const log = fs.readFileSync(path.join(dir, "error_log"), "utf8")
            .split("\n").filter((line) => /:(error|crit|alert|emerg)\]/.test(line));
        is(log.join("\n"), "", "no error in httpd's log");
        remove(dir);
    }
}

await run(main);
