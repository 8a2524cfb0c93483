// SPDX-License-Identifier: Apache-2.0
const online = new Map(); // a stream's id: its user

function show() {
    const users = [...new Set(online.values())].sort();
    document.getElementById("count").textContent = users.length;
    document.getElementById("list").replaceChildren(...users.map((user) => {
        const item = document.createElement("li");
        item.textContent = user;
        return item;
    }));
}

function on(type, change) {
    presence.addEventListener(type, (event) => {
        change(JSON.parse(event.data));
        show();
    });
}

const presence = new EventSource("/online?presence");
on("presence", ({ members }) => {
    online.clear();
    members.forEach(({ stream, user }) => online.set(stream, user));
});
on("join", ({ stream, user }) => online.set(stream, user));
on("leave", ({ stream }) => online.delete(stream));

new EventSource("/online"); // this page is online, too
