#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Run jobs.  jobs.py LISTEN HUB COMMAND..., as 127.0.0.1:8000 127.0.0.1:8081"""
import contextlib, http.server, json, os, secrets, signal, subprocess, sys
import threading, urllib.parse, urllib.request

LISTEN, HUB, *COMMAND = sys.argv[1:]
jobs = {}  # a job's word: its process


def publish(word, event, data):
    urllib.request.urlopen(urllib.request.Request(
        f"http://{HUB}/job/{word}",
        json.dumps({"event": event, "data": data}).encode(),
        {"Content-Type": "application/json"}), timeout=5).close()


def work(word, process):
    """Publish each line of the job's output, and its end."""
    for line in process.stdout:
        publish(word, "line", line.rstrip())
    status = process.wait()
    del jobs[word]
    publish(word, "end", status)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):  # /job/auth?WORD: mod_sse asks before it opens a stream
        word = urllib.parse.urlsplit(self.path).query
        if word not in jobs:
            return self.answer(404)
        self.answer(204, ("SSE-Channel", f"/job/{word}"), ("SSE-Session", word))

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/job/start":  # from the page
            word = secrets.token_hex(16)
            jobs[word] = subprocess.Popen(COMMAND, stdout=subprocess.PIPE,
                                          text=True, start_new_session=True)
            threading.Thread(target=work, args=(word, jobs[word])).start()
            return self.answer(200, ("Content-Type", "text/plain"), body=word)
        call = json.loads(body)  # /ended: from mod_sse
        process = jobs.get(call["session"])
        if process and call["by_client"]:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.killpg(process.pid, signal.SIGTERM)
        self.answer(204)

    def answer(self, status, *headers, body=""):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", len(body))
        self.end_headers()
        self.wfile.write(body.encode())


address, port = LISTEN.split(":")
http.server.ThreadingHTTPServer((address, int(port)), Handler).serve_forever()
