// SPDX-License-Identifier: Apache-2.0
const events = new EventSource("/events");
events.addEventListener("notification", (event) => {
    const { from, text } = JSON.parse(event.data);
    const item = document.createElement("li");
    item.textContent = `${from}: ${text}`;
    document.getElementById("list").prepend(item);
});
