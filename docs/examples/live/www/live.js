// SPDX-License-Identifier: Apache-2.0
const $ = (id) => document.getElementById(id);

function line(text) {
    $("lines").append(`${text}\n`); // never as HTML
    while ($("lines").childNodes.length > 500) {
        $("lines").firstChild.remove();
    }
}

// The address says what is shown: #log, #machine, #journal, #job/NAME
const events = new EventSource(`/live/${location.hash.slice(1) || "log"}`);
addEventListener("hashchange", () => location.reload());

events.onopen = () => { $("state").textContent = "connected"; };
events.onerror = () => { $("state").textContent = "not connected"; };
events.onmessage = (event) => line(event.data);
events.addEventListener("machine", (event) => {
    const { running, free_kb, cpu } = JSON.parse(event.data);
    $("progress").value = cpu;
    line(`CPU ${cpu} %, ${running} running, ${free_kb >> 10} MB free`);
});
events.addEventListener("progress", (event) => {
    $("progress").value = parseInt(event.data, 10);
    line(event.data);
});
events.addEventListener("end", () => events.close()); // or it would begin again
events.addEventListener("sse-error", (event) => line(`failed: ${event.data}`));
