// SPDX-License-Identifier: Apache-2.0
const $ = (id) => document.getElementById(id);

$("start").addEventListener("click", async () => {
    const answer = await fetch("/job/start", { method: "POST" });
    const events = new EventSource(`/events?${await answer.text()}`);
    events.addEventListener("line", (event) => {
        $("output").textContent += `${event.data}\n`;
    });
    events.addEventListener("end", () => events.close());
});
