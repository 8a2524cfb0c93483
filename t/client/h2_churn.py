# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
"""Browsers that come and go: connections over TLS and not, whose streams open,
are reset and stay, with pages, uploads, downloads and pings between, while
events are published.

    h2_churn.py '{"ports": [[8080, false], [8443, true]], "seconds": 15,
                  "seed": 1, "big": "/big", "md5": "...", "length": 3000000}'

The paths are those of t/lib/SSETestHttpd.pm.  Every checksum has to be right,
nothing may end that was not ended here, and every stream has each event of its
channel, once and in order, from where it began.  The last line of the output
tells what was done, and what was wrong, in JSON.
"""

import http.client
import json
import random
import sys
import time

from h2_client import Connection, Loop

CONNECTIONS = 12
STREAMS = 20  # of each, at most
CHANNELS = 9


class Events:
    """The events of a stream, as they come."""

    def __init__(self, channel, after):
        self.channel = channel
        self.after = after  # the id from which on it has all
        self.ids = []
        self.names = []
        self.rest = b''

    def add(self, _, data):
        *blocks, self.rest = (self.rest + data).split(b'\n\n')
        for block in blocks:
            fields = dict(line.split(b': ', 1) for line in block.split(b'\n')
                          if b': ' in line)
            if b'event' in fields:
                self.names.append(fields[b'event'].decode())
            if b'data' in fields:
                self.ids.append(int(fields.get(b'id', 0)))


class Churn:
    def __init__(self, options):
        self.options = options
        self.loop = Loop()
        self.http = None
        self.first = {}      # of each channel, an id before all that is told
        self.published = {c: [] for c in range(CHANNELS)}
        self.maybe = set()   # published by who did not stay for the answer
        self.wrong = []
        self.done = dict.fromkeys(
            ('connections', 'opened', 'reset', 'pages', 'downloads', 'uploads',
             'slow', 'left', 'pings', 'events'), 0)

    def count(self, what):
        self.done[what] += 1

    def blame(self, what):
        if len(self.wrong) < 20:
            self.wrong.append(what)

    # -- What a browser does -----------------------------------------------

    def connect(self):
        port, tls = random.choice(self.options['ports'])
        c = self.loop.add(Connection(
            port, tls, stream_window=random.choice((65535, 1 << 17, 6 << 20)),
            window=random.choice((1 << 20, 15 << 20))))
        c.live = []      # streams that stay
        c.expected = {}  # requests, and what to make of their answers
        self.count('connections')
        return c

    def open(self, c):
        channel = random.randrange(CHANNELS)
        known = self.published[channel]
        after = known[-1] if known and random.random() < .5 else (
            self.first[channel])
        events = Events(channel, after)
        stream = c.get('/c/churn%d' % channel, (
            ('accept', 'text/event-stream'), ('last-event-id', str(after))),
            keep=False, on_data=events.add)
        stream.events = events
        c.live.append(stream)
        self.count('opened')

    def reset(self, c):
        stream = c.live.pop(random.randrange(len(c.live)))
        c.reset_stream(stream)
        self.count('reset')

    def page(self, c):
        c.expected[c.get('/status')] = self.has_page
        self.count('pages')

    def download(self, c, path=None):
        stream = c.get(path or self.options['big'], keep=False)
        c.expected[stream] = self.has_big
        self.count('downloads')

    def upload(self, c):
        channel = random.randrange(CHANNELS)
        text = 'x' * random.choice((10, 1000, 30000))
        stream = c.get('/c/churn%d' % channel, {'content-type': 'text/plain'},
                       'POST', text.encode())
        c.expected[stream] = lambda answer: self.has_id(channel, answer)
        self.count('uploads')

    def leave(self, c):
        # What of its uploads was published, it does not know.
        for stream in c.expected:
            if stream.path.startswith('/c/'):
                self.maybe.add(int(stream.path[len('/c/churn'):]))
        self.loop.remove(c)
        c.close(random.choice(('fin', 'rst')))
        self.count('left')

    def act(self, c):
        x = random.random()
        if x < .35:
            if len(c.live) < STREAMS:
                self.open(c)
        elif x < .55:
            if c.live:
                self.reset(c)
        elif x < .75:
            self.page(c)
        elif x < .79:
            if sum(s.path == self.options['big'] for s in c.expected) < 3:
                self.download(c)
        elif x < .80:
            if self.options.get('slow') and not any(
                    s.path == self.options['slow'] for s in c.expected):
                self.download(c, self.options['slow'])
                self.count('slow')
        elif x < .81:
            self.leave(c)
        elif x < .85:
            c.ping()
            self.count('pings')
        elif x < .90:
            self.upload(c)

    # -- What has to come --------------------------------------------------

    def has_page(self, stream):
        return b'"streams"' in stream.body

    def has_big(self, stream):
        return (stream.length == self.options['length']
                and stream.hash.hexdigest() == self.options['md5'])

    def has_id(self, channel, stream):
        answer = json.loads(stream.body.decode())
        self.published[channel].append(int(answer['id']))
        return True

    def check(self, c):
        if c.closed:
            self.blame('a connection ends: %s, GOAWAY %s, port %s, %d streams'
                       % (c.error, c.goaway, c.port, len(c.live)))
            self.loop.remove(c)
            return
        for stream in c.live[:]:
            if stream.is_over() or stream.status not in (None, 200):
                self.blame('%s ends: status %s, reset %s, after %d events'
                           % (stream.path, stream.status, stream.reset,
                              len(stream.events.ids)))
                c.live.remove(stream)
        for stream, is_right in list(c.expected.items()):
            if stream.ended is None and stream.reset is None:
                continue
            del c.expected[stream]
            if (stream.reset is not None or stream.status != 200
                    or not is_right(stream)):
                self.blame('%s: status %s, reset %s, %d bytes'
                           % (stream.path, stream.status, stream.reset,
                              stream.length))

    # -- Publishing --------------------------------------------------------

    def publish(self, channel, text='x'):
        """Over HTTP/1.1; the id."""
        port = next(p for p, tls in self.options['ports'] if not tls)
        for _ in range(2):
            try:
                self.http = self.http or http.client.HTTPConnection(
                    '127.0.0.1', port, timeout=20)
                self.http.request('POST', '/c/churn%d' % channel, text,
                                  {'Content-Type': 'text/plain'})
                answer = self.http.getresponse().read()
                return int(json.loads(answer)['id'])
            except (OSError, http.client.HTTPException):
                self.http = None
        raise OSError('cannot publish')

    # -- All of it ---------------------------------------------------------

    def run(self):
        for channel in range(CHANNELS):
            self.first[channel] = self.publish(channel, 'the first')
        end = time.monotonic() + self.options['seconds']
        due = 0
        while time.monotonic() < end:
            while len(self.loop.connections) < CONNECTIONS:
                self.connect()
            self.act(random.choice(self.loop.connections))
            if time.monotonic() >= due:
                channel = random.randrange(CHANNELS)
                self.published[channel].append(
                    self.publish(channel, 'y' * random.randrange(1, 2000)))
                self.count('events')
                due = time.monotonic() + .02
            self.loop.step(.005)
            for c in self.loop.connections[:]:
                self.check(c)
        self.finish()

    def settle(self, seconds, what, is_done):
        end = time.monotonic() + seconds
        while not is_done():
            if time.monotonic() > end:
                self.blame(what())
                return
            self.loop.step(.1)
            for c in self.loop.connections[:]:
                self.check(c)

    def finish(self):
        """All requests are answered, and all that stay have the last event."""
        connections = self.loop.connections
        patience = self.options.get('patience', 20)
        self.settle(
            patience, lambda: 'not answered: %s' % [
                (s.path, s.status, s.length) for c in connections
                for s in c.expected][:5],
            lambda: not any(c.expected for c in connections))
        last = {c: self.publish(c, 'the last') for c in range(CHANNELS)}
        for channel, event in last.items():
            self.published[channel].append(event)
        self.settle(
            patience, lambda: 'without the last event: %s' % [
                (s.path, s.number, s.status, len(s.events.ids),
                 'windows', c.h2.remote_flow_control_window(s.number),
                 c.h2._inbound_flow_control_window_manager.current_window_size,
                 'of', c.window, 'rest', len(s.events.rest))
                for c in connections for s in self.behind(c, last)][:5],
            lambda: not any(self.behind(c, last) for c in connections))
        self.compare()
        for c in connections[:]:
            self.loop.remove(c)
            c.close()

    def behind(self, c, last):
        return [s for s in c.live
                if last[s.events.channel] not in s.events.ids]

    def compare(self):
        stayed = 0
        for c in self.loop.connections:
            for stream in c.live:
                events = stream.events
                stayed += 1
                want = sorted(i for i in self.published[events.channel]
                              if i > events.after)
                has = events.ids
                if events.channel in self.maybe:
                    known = set(want)
                    if has != sorted(set(has)):
                        self.blame('%s: not in order' % stream.path)
                    has = [i for i in has if i in known]
                if has != want or events.names:
                    at = next((n for n, (a, b) in enumerate(zip(has, want))
                               if a != b), min(len(has), len(want)))
                    self.blame(
                        '%s, %d, after %d: event %d of %d (has %d) is %s, '
                        'should be %s; %s' % (
                            stream.path, stream.number, events.after, at,
                            len(want), len(has), has[at:at + 3],
                            want[at:at + 3], events.names))
        self.done['stayed'] = stayed


def main():
    options = json.loads(sys.argv[1])
    random.seed(options.get('seed', 1))
    churn = Churn(options)
    try:
        churn.run()
    except Exception as error:
        churn.blame('%r' % error)
        raise
    finally:
        print(json.dumps({'done': churn.done, 'wrong': churn.wrong}))


main()
