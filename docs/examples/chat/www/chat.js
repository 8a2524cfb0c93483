// SPDX-License-Identifier: Apache-2.0
const $ = (id) => document.getElementById(id);
const room = "/room/lobby";

function line(text) {
    const item = document.createElement("li");
    item.textContent = text; // never as HTML
    $("messages").prepend(item);
}

const events = new EventSource(room);
events.addEventListener("say", (event) => {
    const { from, text } = JSON.parse(event.data);
    line(`${from}: ${text}`);
});
events.addEventListener("notice", (event) => line(event.data));

const people = new Map(); // a stream's id: its user
const presence = new EventSource(`${room}?presence`);
function on(type, change) {
    presence.addEventListener(type, (event) => {
        change(JSON.parse(event.data));
        $("people").textContent =
            [...new Set(people.values())].sort().join(", ");
    });
}
on("presence", ({ members }) => {
    people.clear();
    members.forEach(({ stream, user }) => people.set(stream, user));
});
on("join", ({ stream, user }) => people.set(stream, user));
on("leave", ({ stream }) => people.delete(stream));

$("say").addEventListener("submit", async (event) => {
    event.preventDefault();
    const answer = await fetch("/say.php", {
        method: "POST", body: new FormData(event.target) });
    if (answer.ok) {
        event.target.elements.text.value = "";
    }
});
