# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
"""Publish events to mod_sse.  Python 3.7 or newer, its standard library only.

    from sse_publish import Publisher, PublishError

    hub = Publisher("http://127.0.0.1:8081")
    hub.publish("/user/ann", {"text": "Backup done"}, event="notification")
    hub.publish_batch("/events/news", [{"data": "one"},
                                       {"data": "two", "event": "story"}])
    hub.delete("/events/news")

What fails for the moment (no connection, no answer, 408, 425, 429, 5xx) is
tried again until `patience` seconds are over, each time with the same
idempotency key: an event whose answer was lost is not published a second time.
What then still fails, and what the server refuses, is a PublishError.

A Publisher keeps its connection.  Threads need one each.
"""
import base64
import http.client
import json
import random
import time
import urllib.parse
import uuid


class PublishError(Exception):
    """status: of the answer, 0 where there was none; message: what the server
    said; attempts: how often it was asked."""

    def __init__(self, status, message, attempts):
        super().__init__(f"{status} {message}" if status else message)
        self.status, self.message, self.attempts = status, message, attempts


class Publisher:
    """url: where the channels begin, "http://127.0.0.1:8081", or
    "https://www.example.com/app" where each channel's URL begins with /app;
    timeout: seconds for one try; patience: for all of them;
    headers: more headers; context: an ssl.SSLContext."""

    def __init__(self, url, user=None, password="", headers=None, timeout=5,
                 patience=30, context=None):
        part = urllib.parse.urlsplit(url)
        if part.scheme not in ("http", "https") or not part.hostname:
            raise ValueError(f"{url!r} is no http: or https: URL")
        self._base = part.path.rstrip("/")
        self._headers = {"Content-Type": "application/json", **(headers or {})}
        if user is not None:
            self._headers["Authorization"] = "Basic " + base64.b64encode(
                f"{user}:{password}".encode()).decode()
        self._timeout, self._patience = timeout, patience
        if part.scheme == "https":
            self._connection = http.client.HTTPSConnection(
                part.hostname, part.port, timeout=timeout, context=context)
        else:
            self._connection = http.client.HTTPConnection(
                part.hostname, part.port, timeout=timeout)

    def publish(self, channel, data, event=None, key=None, retry=None):
        """Publish one event, and return its id.  Data that is no string is
        published as JSON.  key: its idempotency key, for instance an order's
        number; None: one is made up."""
        answer = self._call("POST", channel, _event(
            {"data": data, "event": event, "id": key, "retry": retry}))
        return answer["id"] if "id" in answer else answer["ids"][-1]

    def publish_batch(self, channel, events):
        """Publish all of the events or, where one is refused, none, and return
        their ids.  Each is a dict with data and, if need be, event, retry, and
        as id its idempotency key."""
        events = [_event(event) for event in events]
        if not events:
            return []
        answer = self._call("POST", channel, events)
        return answer["ids"] if "ids" in answer else [answer["id"]]

    def delete(self, channel):
        """End the channel's streams and forget its events."""
        self._call("DELETE", channel)

    def close(self):
        """Close the connection.  The next call opens another one."""
        self._connection.close()

    def _call(self, method, channel, value=None):
        path = self._base + urllib.parse.quote(channel)
        body = (None if value is None
                else json.dumps(value, ensure_ascii=False).encode())
        end = time.monotonic() + self._patience
        delay = 0.25
        attempts = 0
        while True:
            attempts += 1
            status, said, after = self._try(method, path, body)
            if status == 200 and isinstance(said, dict):
                return said
            pause = max(after, random.uniform(delay / 2, delay))
            delay = min(2 * delay, 10)
            passing = status in (0, 408, 425, 429) or status >= 500
            if not passing or time.monotonic() + pause > end:
                raise PublishError(status, said, attempts)
            time.sleep(pause)

    def _try(self, method, path, body):
        """Its status, 0 where there is none; the answer, a dict, or what is
        wrong, a str; after how many seconds the server wants to be asked
        again."""
        kept = self._connection.sock is not None
        try:
            self._connection.request(method, path, body, self._headers)
            answer = self._connection.getresponse()
            text = answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            # The server may close a connection that it has kept for long.
            if kept and isinstance(error, ConnectionError):
                return self._try(method, path, body)
            return 0, str(error) or type(error).__name__, 0
        after = answer.headers.get("Retry-After", "")
        after = int(after) if after.isascii() and after.isdigit() else 0
        try:
            said = json.loads(text)
        except ValueError:
            said = None
        if answer.status == 200:
            if isinstance(said, dict) and "channel" in said:
                return 200, said, 0
            return 200, "what answers there is no channel", 0
        if isinstance(said, dict) and "error" in said:
            return answer.status, said["error"], after
        return answer.status, answer.reason, after


def _event(event):
    """It, with a key, and without what it has not got."""
    event = {name: value for name, value in event.items()
             if value is not None or name == "data"}
    event.setdefault("id", uuid.uuid4().hex)
    return event
