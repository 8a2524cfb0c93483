/* SPDX-License-Identifier: Apache-2.0.  mod_sse: Server-Sent Events for httpd.
 * EventSource, but all tabs of a site share one connection: over HTTP/1.1 a
 * browser has six for a site, and with six tabs on streams no page loads.
 *     import { SharedEventSource } from "/shared-eventsource.js";
 *     const events = new SharedEventSource("/events/news");
 *     events.onmessage = (event) => show(event.data);
 *     events.addEventListener("sse-gap", () => location.reload());
 * It is in a SharedWorker; where there is none, in the tab that has a Web Lock,
 * which tells the others by BroadcastChannel; when that tab goes, another one
 * resumes.  With neither (no locks without TLS) each tab has its own.  The site
 * itself must serve this file.  A tab that joins later gets no replay. */

const OPEN = 1, CLOSED = 2, STATES = { CONNECTING: 0, OPEN, CLOSED };

/* The connection: tells its state, and each event; own: it has an id. */
function connect({ url, withCredentials }, lastId, tell) {
    const source = new EventSource(!lastId ? url : url.replace(/#.*/, "")
        + (url.includes("?") ? "&" : "?")
        + `last-event-id=${encodeURIComponent(lastId)}`, { withCredentials });
    const hear = ({ type, data, origin, lastEventId: id }) => {
        tell({ type, data, origin, id, own: id !== lastId });
        lastId = id;
    };
    source.onopen = source.onerror = () => tell({ state: source.readyState });
    source.hear = (types) => types.forEach((type) =>
        source.addEventListener(type, hear)); /* again: no second time */
    return source;
}

/* In the worker: the connections, each with its tabs' ports. */
function serve() {
    const all = new Map();
    const open = (where, ports = new Set()) => Object.assign(connect(where, "",
        (told) => ports.forEach((port) => port.postMessage(told))), { ports });
    self.onconnect = ({ ports: [port] }) => {
        let source;
        const leave = () => source?.ports.delete(port)
            && !source.ports.size && source.close();
        const join = ({ where, types, alive }) => {
            const key = JSON.stringify(where);
            source = all.get(key);
            source?.readyState < CLOSED || all.set(key, source = open(where));
            source.ports.add(port);
            source.hear(types);
            source.readyState === OPEN && port.postMessage({ state: OPEN });
            /* The tab has this lock for as long as it lives. */
            alive && navigator.locks.request(alive, leave);
        };
        port.onmessage = ({ data }) => data.where ? join(data)
            : data.types ? source?.hear(data.types) : leave();
    };
}

function byWorker(where, types, take, failed) {
    const worker = new SharedWorker(import.meta.url, { type: "module" });
    const { port } = worker;
    const alive = navigator.locks && `sse-tab:${Date.now()}:${Math.random()}`;
    const join = () => port.postMessage({ where, types: [...types], alive });
    worker.onerror = failed;
    port.onmessage = ({ data }) => take(data);
    alive ? navigator.locks.request(alive, () => new Promise(join)) : join();
    return { add: (type) => port.postMessage({ types: [type] }),
             close: () => (port.postMessage({}), port.close()) };
}

function byLocks(where, types, take) {
    const { locks } = navigator; /* not without TLS: then alone */
    const name = `sse:${locks ? JSON.stringify(where) : Math.random()}`;
    const channel = new BroadcastChannel(name);
    const [seen, aborter] = [new Set(), new AbortController()];
    let [id, source] = ["", null];
    const hear = (told) => {
        if (told.own) { /* what a leader's end has cut off comes once more */
            if (told.type !== "sse-gap" && seen.has(told.id)) { return; }
            id = told.id;
            seen.add(id).size > 1000 && seen.delete(seen.values().next().value);
        }
        take(told);
    };
    const tell = (told) => {
        told.state === CLOSED || channel.postMessage(told); /* it may unload */
        hear(told);
        /* So that another one can go on before the first event has come. */
        told.state === OPEN && !id && locks && fetch(where.url, {
            credentials: where.withCredentials ? "include" : "same-origin",
            headers: { Accept: "application/json", Prefer: "wait=0" } })
            .then((answer) => answer.json()).then(({ last }) =>
                channel.postMessage({ first: id ||= last })).catch(() => {});
    };
    const lead = () => new Promise((resolve) => {
        aborter.signal.onabort = resolve;
        source = connect(where, id, tell);
        source.hear(types);
    });
    channel.onmessage = ({ data }) => {
        id ||= data.first ?? "";
        data.types?.forEach((type) => types.add(type));
        source?.hear(types);
        data.isNew && source && channel.postMessage({ first: id,
            types: [...types], state: source.readyState || undefined });
        data.state === undefined && !data.type || hear(data);
    };
    setTimeout(() => channel.postMessage({ types: [...types], isNew: true }));
    locks ? locks.request(name, { signal: aborter.signal }, lead)
        .catch(() => {}) : setTimeout(lead);
    return { add: (type) => (source?.hear([type]),
                             channel.postMessage({ types: [type] })),
             close: () => (source?.close(), aborter.abort(), channel.close()) };
}

export class SharedEventSource extends EventTarget {
    readyState = STATES.CONNECTING;
    #types = new Set(["message"]);
    #link;
    constructor(url, { withCredentials = false } = {}) {
        super();
        const { href } = new URL(url, document.baseURI);
        const where = { url: href, withCredentials };
        Object.assign(this, where, STATES,
                      { onopen: null, onmessage: null, onerror: null });
        this.#join(where);
        /* A page that is kept for "back" is still: what it lacks is a gap. */
        addEventListener("pagehide", () => this.#link.close());
        addEventListener("pageshow", ({ persisted }) => persisted
            && this.readyState < CLOSED && (this.#join(where),
            this.#take({ type: "sse-gap", data: '{"after":null}' })));
    }
    #join(where) {
        const args = [where, this.#types, (told) => this.#take(told)];
        const other = () => (this.#link = byLocks(...args));
        try { this.#link = byWorker(...args, other); } catch { other(); }
    }
    addEventListener(type, ...more) {
        super.addEventListener(type, ...more);
        /^(open|error)$/.test(type) || this.#types.has(type)
            || this.#link.add(type, this.#types.add(type));
    }
    close() { this.#link.close(this.readyState = CLOSED); }
    #take({ state, type, data, origin, id: lastEventId }) {
        if ([CLOSED, state || CLOSED].includes(this.readyState)) { return; }
        this.readyState = state ?? this.readyState;
        const name = type ?? (state === OPEN ? "open" : "error");
        const event = new MessageEvent(name, { data, origin, lastEventId });
        this.dispatchEvent(event);
        this[`on${name}`]?.(event);
        state === CLOSED && this.close();
    }
}
Object.assign(SharedEventSource, STATES);
globalThis.SharedWorkerGlobalScope && serve();
