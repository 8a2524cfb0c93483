/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 *
 * The pages of docs/guide.md in a browser, as docs/examples has them, with
 * httpd, php-fpm and Python: what t/examples tests with raw clients, here by
 * the examples' own JavaScript.  TAP.
 *
 * PORT: the first of eight; none: free ones.  HTTPD, LIBEXECDIR, CHROMIUM. */

import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

import { becomes, eventually, freePort, is, ok, openBrowser, remove, run, top }
    from "./lib.mjs";

const MODULES = ["mpm_event", "unixd", "log_config", "authz_core", "authz_host",
    "dir", "env", "mime", "proxy", "proxy_fcgi", "proxy_http"];
const SITES = ["notify", "online", "chat", "job", "tabs", "live"];

/* Where the children of a server that root has started can read. */
const dir = fs.mkdtempSync(path.join(os.tmpdir(), "mod_sse-examples."));
const isRoot = process.getuid() === 0;
const programs = [];

function start(name, command, ...args) {
    const log = fs.openSync(path.join(dir, `${name}.log`), "a");
    const program = spawn(command, args, { stdio: ["ignore", log, log] });
    program.gone = new Promise((resolve) => program.on("exit", () => {
        program.over = true;
        resolve();
    }));
    programs.push(program);
    return program;
}

const said = (name) => fs.readFileSync(path.join(dir, `${name}.log`), "utf8");

/* An example's site.conf with this machine's values. */
function site(name, values) {
    const from = path.join(top, "docs/examples");
    fs.cpSync(path.join(from, name), path.join(dir, name), { recursive: true });
    if (name === "tabs") {
        fs.copyFileSync(path.join(top, "contrib/shared-eventsource.js"),
                        path.join(dir, name, "www/shared-eventsource.js"));
    }
    const own = path.join(from, name, "site.conf");
    const conf = fs.readFileSync(fs.existsSync(own) ? own
                                 : path.join(from, "site.conf"), "utf8");
    return conf.replace(/^(Define (\w+) +).*$/mg, (line, head, key) =>
        `${head}"${{ ...values, SITE: `${name}.localhost`,
                     APP: path.join(dir, name) }[key]}"`);
}

async function startAll(port) {
    const user = isRoot ? "www-data" : "";
    const socket = path.join(dir, "php.sock");
    fs.mkdirSync(path.join(dir, "sessions"), { mode: 0o1777 });
    fs.chmodSync(path.join(dir, "sessions"), 0o1777);
    fs.writeFileSync(path.join(dir, "php.conf"),
        `[global]\nerror_log = ${dir}/php-error.log\ndaemonize = no\n`
        + `[www]\nlisten = ${socket}\nlisten.mode = 0666\npm = static\n`
        + "pm.max_children = 4\n"
        + `php_admin_value[session.save_path] = ${dir}/sessions\n`
        + (user ? `user = ${user}\ngroup = ${user}\n` : ""));
    const fpm = fs.readdirSync("/usr/sbin").find((one) => /^php-fpm/.test(one));
    start("php", `/usr/sbin/${fpm}`, "-n", "-F", "-y", `${dir}/php.conf`);

    const hub = (n) => `127.0.0.1:${port(n)}`;
    start("jobs", "/usr/bin/python3",
          path.join(top, "docs/examples/job/jobs.py"), hub(1), hub(2),
          "sh", "-c", "echo started; exec sleep 600");
    const modules = process.env.LIBEXECDIR
        || execFileSync("apxs", ["-q", "LIBEXECDIR"], { encoding: "utf8" }).trim();
    const load = MODULES.filter((one) =>
        fs.existsSync(`${modules}/mod_${one}.so`)).map((one) =>
        `LoadModule ${one}_module ${modules}/mod_${one}.so\n`).join("");
    fs.mkdirSync(path.join(dir, "run"), { mode: 0o777 });
    fs.chmodSync(path.join(dir, "run"), 0o777);
    fs.writeFileSync(path.join(dir, "httpd.conf"), `${load}
LoadModule sse_module ${top}/build/mod_sse.so
ServerName localhost
ServerRoot ${dir}
DefaultRuntimeDir ${dir}/run
PidFile ${dir}/httpd.pid
ErrorLog ${dir}/error_log
TypesConfig /dev/null
AddType text/html .html
AddType text/javascript .js
${user ? `User ${user}\nGroup ${user}\n` : ""}
Listen 127.0.0.1:${port(0)}
SSEStore lmdb dir=${dir}/run/store size=64m
${SITES.map((name, n) => site(name, {
        PORT: port(0), PHP: socket, JOBS: name === "live" ? dir : hub(1),
        LOG: `${dir}/live.log`, JOURNALCTL: "/bin/true", VIEWERS: "127.0.0.1",
        HUB: hub(n === 3 ? 2 : 3 + n),
    })).join("")}`);
    fs.chmodSync(dir, 0o755);
    execFileSync("chmod", ["-R", "a+rX", ...SITES.map((one) => `${dir}/${one}`)]);
    const httpd = start("httpd", process.env.HTTPD || "/usr/sbin/apache2",
                        "-f", `${dir}/httpd.conf`, "-DFOREGROUND");
    const url = `http://127.0.0.1:${port(0)}/`;
    await eventually(() => httpd.over
        || (fs.existsSync(socket)
            && fetch(url).then(() => true, () => false)), 60);
    return ok(!httpd.over, "httpd serves the examples", said("httpd"));
}

/* -- The pages ------------------------------------------------------------- */

/* A browser of its own for each user. */
async function logIn(browser, url, user) {
    const page = await (await browser.newContext()).newPage();
    page.problems = [];
    page.on("pageerror", (error) => page.problems.push(String(error)));
    await page.goto(url);
    await page.fill("input[name=user]", user);
    await page.click("button");
    await page.waitForLoadState("domcontentloaded");
    return page;
}

function shows(page, selector, want, name) {
    return becomes(async () =>
        (await page.locator(selector).allTextContents()).join("|"), want, name);
}

async function closeAll(...pages) {
    for (const page of pages) {
        is(page.problems.join("\n"), "", "no error in the page");
        await page.context().close();
    }
}

async function notify(browser, url) {
    const ann = await logIn(browser, url, "ann");
    const bob = await logIn(browser, url, "bob");
    await bob.fill("input[name=to]", "ann");
    await bob.fill("input[name=text]", "<b>hello</b>");
    await bob.click("button");
    await shows(ann, "#list li", "bob: <b>hello</b>",
                "notify: ann is told, in text");
    await ann.reload();
    await shows(ann, "#list li", "bob: <b>hello</b>", "and after a reload");
    await shows(bob, "#list li", "", "bob is not");
    await closeAll(ann, bob);
}

async function online(browser, url) {
    const ann = await logIn(browser, url, "ann");
    const bob = await logIn(browser, url, "bob");
    for (const page of [ann, bob]) {
        await shows(page, "#list li", "ann|bob", "online: both are on the list");
        await shows(page, "#count", "2", "and counted");
    }
    await bob.context().close();
    await shows(ann, "#list li", "ann", "bob has closed his browser");
    await closeAll(ann);
}

async function chat(browser, url) {
    const ann = await logIn(browser, url, "ann");
    const bob = await logIn(browser, url, "bob");
    await shows(ann, "#people", "ann, bob", "chat: who is in the room");
    await bob.fill("input[name=text]", "<i>hi</i>");
    await bob.click("#say button");
    await shows(ann, "#messages li", "bob: <i>hi</i>", "ann reads him");
    await becomes(() => bob.inputValue("input[name=text]"), "",
                  "he can write again");
    /* The guide's lines for the console. */
    const publish = (page) => page.evaluate(() => fetch("/room/lobby", {
        method: "POST", headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ event: "notice", data: "Closing at ten" }),
    }).then((answer) => answer.status));
    is(await publish(bob), 403, "only moderators publish notices");
    is(await publish(ann), 200, "as she is");
    await shows(bob, "#messages li", "Closing at ten|bob: <i>hi</i>",
                "which he reads");
    await closeAll(ann, bob);
}

async function job(browser, url) {
    const running = () => {
        try {
            return execFileSync("ps", ["--no-headers", "-o", "pid", "--ppid",
                String(programs[1].pid)], { encoding: "utf8" }).trim();
        }
        catch {
            return "";
        }
    };
    const page = await (await browser.newContext()).newPage();
    page.problems = [];
    page.on("pageerror", (error) => page.problems.push(String(error)));
    await page.goto(`${url}index.html`);
    await page.click("#start");
    await shows(page, "#output", "started\n", "job: its output comes");
    ok(running() !== "", "a process works");
    await closeAll(page);
    await becomes(running, "", "its user has left, and it is gone");
}

async function tabs(browser, url, hub) {
    const context = await browser.newContext();
    const pages = [await context.newPage(), await context.newPage()];
    for (const page of pages) {
        page.problems = [];
        page.on("pageerror", (error) => page.problems.push(String(error)));
        await page.goto(url);
    }
    /* A page does not tell when its stream is open. */
    const seen = (page) => page.locator("#news li").count();
    await eventually(async () => {
        await fetch(`http://${hub}/events/news`, { method: "POST",
            headers: { "Content-Type": "text/plain" }, body: "soon" });
        return await seen(pages[0]) && await seen(pages[1]);
    });
    await fetch(`http://${hub}/events/news`, { method: "POST",
        headers: { "Content-Type": "text/plain" }, body: "<b>last</b>" });
    for (const page of pages) {
        await shows(page, "#news li:first-child", "<b>last</b>",
                    "tabs: each page has the news");
    }
    is(pages.map((page) => page.problems.join()).join(), ",",
       "no error in the pages");
    await context.close();
}

async function live(browser, url) {
    const page = await (await browser.newContext()).newPage();
    page.problems = [];
    page.on("pageerror", (error) => page.problems.push(String(error)));
    fs.writeFileSync(path.join(dir, "live.log"), "<i>one</i>\n");
    await page.goto(url);
    await shows(page, "#lines", "<i>one</i>\n", "live: the log, as text");
    fs.appendFileSync(path.join(dir, "live.log"), "two\n");
    await shows(page, "#lines", "<i>one</i>\ntwo\n", "a new line of it");
    await page.click("text=nightly");
    await shows(page, "#state, #lines", "connected|", "the job");
    fs.writeFileSync(path.join(dir, "nightly"), "10 begin\n100 done\n");
    await shows(page, "#lines", "10 begin\n100 done\n", "its progress");
    is(await page.locator("#progress").evaluate((bar) => bar.value), 100,
       "as a bar");
    await page.click("text=Machine");
    await eventually(async () =>
        /CPU/.test(await page.locator("#lines").textContent()));
    ok(/^CPU \d+ %, \d+ running, \d+ MB free\n/.test(
        await page.locator("#lines").textContent()), "numbers of the machine");
    await closeAll(page);
}

async function main() {
    const first = Number(process.env.PORT);
    const free = [];
    for (let n = 0; n < 8; ++n) {
        free.push(first ? first + 10 + n : await freePort());
    }
    let browser = null;
    try {
        if (!await startAll((n) => free[n])) {
            return;
        }
        browser = await openBrowser();
        const tests = { notify, online, chat, job, tabs, live };
        for (const name of SITES) {
            await tests[name](browser, `http://${name}.localhost:${free[0]}/`,
                              `127.0.0.1:${free[7]}`);
        }
    }
    finally {
        await browser?.close();
        for (const program of programs.reverse()) {
            program.kill("SIGTERM");
            await program.gone;
        }
        remove(dir);
    }
}

await run(main);
