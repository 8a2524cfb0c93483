/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* What is the same in all pages.  No colour or size is without need: a browser
 * knows how its user wants to read. */

#include "http/status/sse_status_page.h"

const char sse_page_style[] =
    ":root{color-scheme:light dark;--line:#c4c8cc;--soft:#5a6066;"
    "--link:#0b5cad}\n"
    "@media(prefers-color-scheme:dark){:root{--line:#43484e;--soft:#a7adb4;"
    "--link:#8ab8f0}body{background:#15181c;color:#e6e8ea}}\n"
    "body{font:1rem/1.45 system-ui,sans-serif;margin:0 auto;max-width:72rem;"
    "padding:1rem}\n"
    "h1{font-size:1.5rem;margin:0}h2{font-size:1.15rem;margin:1.5rem 0 .5rem}\n"
    "h1,p{overflow-wrap:anywhere}a{color:var(--link)}nav a{margin-right:1em}\n"
    "form{margin:1rem 0}\n"
    ".grid{columns:18rem;column-gap:2rem}\n"
    ".grid table{break-inside:avoid;margin-bottom:1rem}\n"
    "table{border-collapse:collapse;width:100%}\n"
    "caption{text-align:left;font-weight:bold;padding:.25rem 0}\n"
    "caption,tbody th,.any{overflow-wrap:anywhere}\n"
    "th,td{border-bottom:1px solid var(--line);padding:.25rem 0 .25rem .7rem;"
    "text-align:left;vertical-align:top;font-weight:normal}\n"
    "td{text-align:right;font-variant-numeric:tabular-nums}\n"
    "th:first-child,td:first-child{padding-left:0}\n"
    "thead th{color:var(--soft)}thead th+th{text-align:right}\n"
    "@media(max-width:36rem){.more{display:none}}\n"
    "input,button{font:inherit;max-width:100%;box-sizing:border-box}\n"
    "#live{color:var(--soft)}\n";

/* A cell's data-of is the path to its number; data-ms shows seconds as
 * milliseconds.  The words of #live are set when they change only, as they are
 * read out. */
const char sse_page_script[] =
    "\"use strict\";\n"
    "(() => {\n"
    "  const live = document.getElementById(\"live\");\n"
    "  const cells = [...document.querySelectorAll(\"[data-of]\")];\n"
    "  const body = document.getElementById(\"children\");\n"
    "  const say = (words) => {\n"
    "    if (live.textContent !== words) live.textContent = words;\n"
    "  };\n"
    "  const find = (status, path) => path.split(\".\").reduce(\n"
    "    (at, key) => at?.[key], status);\n"
    "  const show = (cell, value) => {\n"
    "    cell.textContent = value === undefined || value === null ? "
    "\"\\u2013\"\n"
    "      : \"ms\" in cell.dataset ? (value * 1000).toFixed(3)\n"
    "      : String(value);\n"
    "  };\n"
    "  const row = (child) => {\n"
    "    const tr = document.createElement(\"tr\");\n"
    "    const th = document.createElement(\"th\");\n"
    "    th.scope = \"row\";\n"
    "    th.textContent = child.pid;\n"
    "    tr.append(th, document.createElement(\"td\"));\n"
    "    tr.lastChild.textContent = child.streams;\n"
    "    return tr;\n"
    "  };\n"
    "  const source = new EventSource(\"?format=stream\");\n"
    "  source.addEventListener(\"status\", (event) => {\n"
    "    const status = JSON.parse(event.data);\n"
    "    for (const cell of cells) show(cell, find(status, cell.dataset.of));\n"
    "    body.replaceChildren(...status.children.map(row));\n"
    "    say(\"Live\");\n"
    "  });\n"
    "  source.addEventListener(\"error\", () => say(\"Not connected\"));\n"
    "})();\n";
