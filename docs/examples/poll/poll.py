#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Print the events of a channel.  poll.py URL [LAST-EVENT-ID]"""
import http.client, json, random, sys, time, urllib.parse


def poll(url, last=None):
    """Yield a channel's events one by one, for ever, over one connection."""
    parts = urllib.parse.urlsplit(url)
    connect = {"http": http.client.HTTPConnection,
               "https": http.client.HTTPSConnection}[parts.scheme]
    connection = connect(parts.netloc, timeout=60)
    path = parts._replace(scheme="", netloc="").geturl() or "/"
    failures = 0
    while True:
        answer, document = None, None
        try:
            headers = {"Accept": "application/json", "Prefer": "wait=25"}
            if last is not None:
                headers["Last-Event-ID"] = last
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status == 200:
                document = json.loads(body)
        except (OSError, http.client.HTTPException, ValueError):
            answer = None
            connection.close()  # request() opens it again
        if document:
            yield from document["events"]
            last = document["last"]
            failures = 0
            time.sleep(document.get("retry", 0) / 1000)
            continue
        if answer and answer.status < 500 and answer.status not in (408, 429):
            raise RuntimeError(f"{url}: {answer.status} {body.decode()}")
        # 0.5 s to a minute, and not all clients at the same moment
        pause = min(60, 2 ** failures) * random.uniform(0.5, 1)
        failures = min(failures + 1, 6)
        after = answer and answer.getheader("Retry-After", "")
        time.sleep(int(after) if after and after.isdigit() else pause)


if __name__ == "__main__":
    for event in poll(*sys.argv[1:]):
        print(event["id"], event["event"], json.dumps(event["data"]), flush=True)
