// SPDX-License-Identifier: Apache-2.0
// Calls each(event) for each event of a channel, in order, until the signal is
// aborted.  Options: last, the id after which to begin (none: from now on).

export async function poll(url, each, { last, signal } = {}) {
    let failures = 0;
    while (!signal?.aborted) {
        let pause;
        try {
            const { events, last: next, retry } = await ask(url, last, signal);
            for (const event of events) {
                await each(event, next);
            }
            last = next;
            pause = retry ?? 0;
            failures = 0;
        } catch (error) {
            if (signal?.aborted || error.isFinal) {
                throw error;
            }
            // 0.5 s to a minute, and not all clients at the same moment
            const most = Math.min(60, 2 ** failures++) * 1000;
            pause = error.pause ?? most * (0.5 + Math.random() / 2);
        }
        await new Promise((done) => setTimeout(done, pause));
    }
}

async function ask(url, last, signal) {
    const headers = { Accept: "application/json", Prefer: "wait=25" };
    if (last !== undefined) {
        headers["Last-Event-ID"] = last;
    }
    const late = AbortSignal.timeout(60_000); // a connection that has died
    const answer = await fetch(url, { headers, cache: "no-store",
        signal: signal ? AbortSignal.any([signal, late]) : late });
    if (answer.ok) {
        return answer.json();
    }
    const { status } = answer;
    const after = Number(answer.headers.get("Retry-After"));
    throw Object.assign(new Error(`${url}: ${status} ${await answer.text()}`), {
        isFinal: status < 500 && status !== 408 && status !== 429,
        pause: after > 0 ? after * 1000 : undefined });
}
