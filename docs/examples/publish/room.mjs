// SPDX-License-Identifier: Apache-2.0
// room.mjs HUB ROOM: say something in a room, then close it.
import { Publisher, PublishError } from "./sse-publish.mjs";

const [, , url, room] = process.argv;
const hub = new Publisher(url);
try {
    await hub.publish(`/events/${room}`, "Closing", { event: "notice" });
    await hub.delete(`/events/${room}`); // its streams end, its history goes
} catch (error) {
    if (!(error instanceof PublishError)) {
        throw error;
    }
    console.error(`${error.status} ${error.message}`);
    process.exitCode = 1;
}
