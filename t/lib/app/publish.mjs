/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 *
 * publish.mjs CONTRIB URL OPTIONS <CALLS: see publish.py */

import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [contrib, url, options] = process.argv.slice(2);
const { Publisher, PublishError } =
    await import(pathToFileURL(`${contrib}/node/sse-publish.mjs`));
const hub = new Publisher(url, JSON.parse(options));
const names = { publish: "publish", batch: "publishBatch", delete: "delete" };

for await (const line of createInterface({ input: process.stdin })) {
    const [name, ...args] = JSON.parse(line);
    let said;
    try {
        said = [await hub[names[name]](...args) ?? null];
    }
    catch (error) {
        if (!(error instanceof PublishError)) {
            throw error;
        }
        const { status, message, attempts } = error;
        said = { status, message, attempts };
    }
    console.log(JSON.stringify(said));
}
