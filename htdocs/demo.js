/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: the demo page.
 *
 * What comes from elsewhere is put into the page as text, never as HTML. */

"use strict";

const CHANNEL = "/events/demo";
const SHOWN = 200;
const TOLD_SHOWN = 20;

/* An EventSource tells only of the types it is asked for. */
const TYPES = ["message", "notice", "warning", "sse-gap"];

const $ = (id) => document.getElementById(id);
let source = null;
let presence = null;
let myName = "";

/* Who has which stream open: a stream's id, and the name its page gave. */
const people = new Map();

const HOW = ["Brave", "Calm", "Clever", "Gentle", "Happy", "Kind", "Lucky",
             "Merry", "Proud", "Quick", "Quiet", "Wise"];
const WHAT = ["Badger", "Crane", "Dolphin", "Falcon", "Hare", "Heron", "Lynx",
              "Marten", "Otter", "Raven", "Seal", "Wren"];

const oneOf = (words) => words[Math.floor(Math.random() * words.length)];

function showState(state) {
    $("state").textContent = state;
    $("state").dataset.state = state;
    $("toggle").textContent = state === "closed" ? "Connect" : "Disconnect";
}

function make(tag, className, text) {
    const element = document.createElement(tag);
    element.className = className;
    element.textContent = text;
    return element;
}

function showHint() {
    const empty = !$("events").hasChildNodes();
    $("empty").hidden = !empty;
    $("hint").hidden = !empty;
    $("clear").hidden = empty;
}

function showEvent(event) {
    const now = new Date();
    const time = make("time", "when", now.toLocaleTimeString());
    time.dateTime = now.toISOString();

    const meta = make("div", "meta", "");
    meta.append(make("span", "type", event.type), time);
    if (event.lastEventId) {
        meta.append(make("span", "number", event.lastEventId));
        $("last-id").textContent = event.lastEventId;
    }

    const item = make("li", "event", "");
    item.dataset.type = event.type;
    item.append(meta, make("p", "text", event.data));
    $("events").prepend(item);
    while ($("events").childElementCount > SHOWN) {
        $("events").lastElementChild.remove();
    }
    showHint();
}

/* The browser may keep nothing for this page: then the name lasts as long as
 * the page. */
function readName() {
    try {
        return localStorage.getItem("name");
    }
    catch {
        return null;
    }
}

function takeName(name) {
    myName = name;
    $("name").value = name;
    try {
        localStorage.setItem("name", name);
    }
    catch {
        /* See above. */
    }
}

function showPeople() {
    const names = [...people.values()].map((user) => user ?? "somebody").sort();
    $("people").replaceChildren(...names.map((name) =>
        make("li", name === myName ? "me" : "", name)));
    $("streams").textContent = people.size.toLocaleString();
}

function onPresence(type, change) {
    presence.addEventListener(type, (event) => {
        change(JSON.parse(event.data));
        showPeople();
    });
}

/* A hidden page needs no list, and its browser a free connection. */
function watchPeople() {
    presence?.close();
    presence = null;
    if (document.hidden) {
        return;
    }
    presence = new EventSource(`${CHANNEL}?presence`);
    presence.onerror = () => { $("streams").textContent = "–"; };
    onPresence("presence", ({ members }) => {
        people.clear();
        members.forEach(({ stream, user }) => people.set(stream, user));
    });
    onPresence("join", ({ stream, user }) => people.set(stream, user));
    onPresence("leave", ({ stream }) => people.delete(stream));
}

/* What htdocs/told.cgi was told, by a webhook, and published. */
function showTold(event) {
    const { type, user, reason, after_ms: after } = JSON.parse(event.data);
    const item = make("li", "", "");
    item.append(
        make("span", "name", user ?? "somebody"),
        ` ${type === "open" ? "came" : "left"}: told after `,
        make("span", "after", `${Math.max(1, Math.round(after))} ms`),
        type === "open" ? "" : `: ${reason}`);
    $("told").prepend(item);
    while ($("told").childElementCount > TOLD_SHOWN) {
        $("told").lastElementChild.remove();
    }
}

function connect() {
    showState("connecting");
    source = new EventSource(`${CHANNEL}?name=${encodeURIComponent(myName)}`);
    source.onopen = () => showState("connected");
    source.onerror = () => {
        /* The browser comes back by itself, unless the answer was no stream. */
        showState(source.readyState === EventSource.CLOSED ? "closed"
                                                           : "connecting");
    };
    for (const type of TYPES) {
        source.addEventListener(type, showEvent);
    }
    source.addEventListener("told", showTold);
}

function disconnect() {
    source.close();
    showState("closed");
}

function rename() {
    const name = $("name").value.trim();
    if (name === "" || name === myName) {
        $("name").value = myName;
        return;
    }
    takeName(name);
    if (source.readyState !== EventSource.CLOSED) {
        disconnect();
        connect();
    }
}

function showAnswer(text, isError) {
    $("answer").textContent = text;
    $("answer").classList.toggle("error", isError);
}

async function publish(event) {
    event.preventDefault();
    const type = $("type").value;
    const body = { data: $("data").value };
    if (type !== "message") {
        body.event = type;
    }
    try {
        const answer = await fetch(CHANNEL, {
            method: "POST",
            headers: { "Content-Type": "application/json" },
            body: JSON.stringify(body),
        });
        const result = await answer.json().catch(() => ({}));
        if (!answer.ok) {
            throw new Error(result.error || `the server says ${answer.status}`);
        }
        showAnswer(`Published as ${result.id}`, false);
        $("data").value = "";
        $("data").focus();
    }
    catch (error) {
        showAnswer(`Not published: ${error.message}`, true);
    }
}

$("curl").textContent =
    `curl -d 'data=Hello' ${location.origin}${CHANNEL}`;
$("publish").addEventListener("submit", publish);
$("data").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        $("publish").requestSubmit();
    }
});
$("name").addEventListener("change", rename);
$("rename").addEventListener("submit", (event) => {
    event.preventDefault();
    $("name").blur();
});
document.addEventListener("visibilitychange", watchPeople);
$("toggle").addEventListener("click", () => {
    if (source.readyState === EventSource.CLOSED) {
        connect();
    }
    else {
        disconnect();
    }
});
$("clear").addEventListener("click", () => {
    $("events").replaceChildren();
    showHint();
});

takeName(readName() || `${oneOf(HOW)} ${oneOf(WHAT)}`);
showHint();
connect();
watchPeople();
