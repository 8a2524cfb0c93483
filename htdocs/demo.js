/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: the demo page.
 *
 * What comes from elsewhere is put into the page as text, never as HTML. */

"use strict";

const CHANNEL = "/events/demo";
const STATUS = "/sse-status";
const SHOWN = 200;

/* An EventSource tells only of the types it is asked for. */
const TYPES = ["message", "notice", "warning", "sse-gap"];

const $ = (id) => document.getElementById(id);
let source = null;

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

/* How many streams the server has open, this page's among them. */
async function showStreams() {
    let text = "–";
    try {
        const answer = await fetch(STATUS, {
            headers: { Accept: "application/json" },
            cache: "no-store",
        });
        if (answer.ok) {
            const status = await answer.json();
            if (Number.isFinite(status.streams)) {
                text = status.streams.toLocaleString();
            }
        }
    }
    catch {
        /* The server is away; the connection's state says so. */
    }
    $("streams").textContent = text;
}

function connect() {
    showState("connecting");
    source = new EventSource(CHANNEL);
    source.onopen = () => {
        showState("connected");
        showStreams();
    };
    source.onerror = () => {
        /* The browser comes back by itself, unless the answer was no stream. */
        showState(source.readyState === EventSource.CLOSED ? "closed"
                                                           : "connecting");
        $("streams").textContent = "–";
    };
    for (const type of TYPES) {
        source.addEventListener(type, showEvent);
    }
}

function disconnect() {
    source.close();
    showState("closed");
    setTimeout(showStreams, 100);
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

showHint();
connect();
setInterval(() => document.hidden || showStreams(), 2000);
