/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 *
 * Publish events to mod_sse.  Node 16 or newer, no package.
 *
 *     import { Publisher } from "./sse-publish.mjs";
 *
 *     const hub = new Publisher("http://127.0.0.1:8081");
 *     await hub.publish("/user/ann", { text: "Backup done" },
 *                       { event: "notification" });
 *     await hub.publishBatch("/events/news",
 *                            [{ data: "one" }, { data: "two", event: "story" }]);
 *     await hub.delete("/events/news");
 *
 * What fails for the moment (no connection, no answer, 408, 425, 429, 5xx) is
 * tried again until `patience` milliseconds are over, each time with the same
 * idempotency key: an event whose answer was lost is not published a second
 * time.  What then still fails, and what the server refuses, rejects with a
 * PublishError.
 *
 * Connections are kept.  Calls that are not awaited may overtake each other.
 * (It is not fetch(): that of Node 20 may never settle when a connection is
 * closed at once.) */

import { randomUUID } from "node:crypto";
import http from "node:http";
import https from "node:https";
import { setTimeout as sleep } from "node:timers/promises";

/* status: of the answer, 0 where there was none; message: what the server said;
 * attempts: how often it was asked. */
export class PublishError extends Error {
    constructor(status, message, attempts) {
        super(message);
        Object.assign(this, { name: "PublishError", status, attempts });
    }
}

export class Publisher {
    #url;
    #http;
    #agent;
    #headers;
    #timeout;
    #patience;

    /* url: where the channels begin, "http://127.0.0.1:8081", or
     * "https://www.example.com/app" where each channel's URL begins with /app;
     * timeout: milliseconds for one try; patience: for all of them;
     * tls: options of a TLS connection, such as ca. */
    constructor(url, { user, password = "", headers = {}, timeout = 5000,
                       patience = 30000, tls = {} } = {}) {
        this.#http = { "http:": http, "https:": https }[new URL(url).protocol];
        if (!this.#http) {
            throw new TypeError(`${url} is no http: or https: URL`);
        }
        this.#agent = new this.#http.Agent({ keepAlive: true, ...tls });
        this.#url = url.replace(/\/+$/, "");
        this.#headers = { "Content-Type": "application/json", ...headers };
        if (user !== undefined) {
            this.#headers.Authorization = "Basic "
                + Buffer.from(`${user}:${password}`).toString("base64");
        }
        this.#timeout = timeout;
        this.#patience = patience;
    }

    /* Publishes one event; its id.  Data that is no string is published as JSON.
     * key: its idempotency key, for instance an order's number; without it one
     * is made up.  retry: in milliseconds. */
    async publish(channel, data, { event, key, retry } = {}) {
        const answer = await this.#call("POST", channel,
            withKey({ data, event, retry, id: key }));
        return answer.id ?? answer.ids.at(-1);
    }

    /* Publishes all of the events or, where one is refused, none; their ids.
     * Each has data and, if need be, event, retry, and as id its idempotency
     * key. */
    async publishBatch(channel, events) {
        if (!events.length) {
            return [];
        }
        const answer = await this.#call("POST", channel, events.map(withKey));
        return answer.ids ?? [answer.id];
    }

    /* Ends the channel's streams and forgets its events. */
    async delete(channel) {
        await this.#call("DELETE", channel);
    }

    async #call(method, channel, value) {
        const url = this.#url
            + channel.split("/").map(encodeURIComponent).join("/");
        const body = value && JSON.stringify(value);
        const end = performance.now() + this.#patience;
        let delay = 250;
        for (let attempts = 1; ; ++attempts) {
            const { status, answer, said, after } =
                await this.#try(url, method, body);
            if (answer) {
                return answer;
            }
            const pause = Math.max(after, delay * (1 + Math.random()) / 2);
            delay = Math.min(2 * delay, 10000);
            if (!([0, 408, 425, 429].includes(status) || status >= 500)
                || performance.now() + pause > end) {
                throw new PublishError(status, said, attempts);
            }
            await sleep(pause);
        }
    }

    /* Its status, 0 where there is none; the answer, or what is wrong; after how
     * many milliseconds the server wants to be asked again. */
    async #try(url, method, body) {
        let response, text;
        try {
            [response, text] = await this.#exchange(url, method, body);
        }
        catch (error) {
            /* The server may close a connection that it has kept for long. */
            if (error.isKept) {
                return this.#try(url, method, body);
            }
            return { status: 0, said: error.message || error.code, after: 0 };
        }
        const asked = response.headers["retry-after"] ?? "";
        const after = /^\d{1,6}$/.test(asked) ? asked * 1000 : 0;
        const status = response.statusCode;
        let json = null;
        try {
            json = JSON.parse(text);
        }
        catch { /* a page in HTML: its status tells enough */ }
        if (status === 200) {
            return json?.channel !== undefined ? { status, answer: json }
                : { status, said: "what answers there is no channel", after };
        }
        return { status, said: json?.error ?? response.statusMessage, after };
    }

    #exchange(url, method, body) {
        return new Promise((resolve, reject) => {
            const request = this.#http.request(url, {
                method, headers: this.#headers, agent: this.#agent,
            });
            const timer = setTimeout(() => request.destroy(
                new Error("no answer in time")), this.#timeout);
            const fail = (error) => reject(Object.assign(error, {
                isKept: request.reusedSocket
                    && ["ECONNRESET", "EPIPE"].includes(error.code),
            }));
            request.on("error", fail);
            request.on("response", (response) => {
                let text = "";
                response.setEncoding("utf8");
                response.on("data", (more) => { text += more; });
                response.on("end", () => resolve([response, text]));
                response.on("error", fail);
            });
            request.on("close", () => {
                clearTimeout(timer);
                fail(new Error("no answer"));
            });
            request.end(body);
        });
    }
}

function withKey(event) {
    return { ...event, id: event.id ?? randomUUID() };
}
