# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
"""Connections of h2_client.py for a test in another language: each line of the input
is a command in JSON, each line of the output its answer.

t/lib/SSETestH2Strict.pm has the commands as methods.  Between them, what comes
is read and window is given back, as a client does.
"""

import json
import os
import sys
import time

from h2_client import Connection, Loop

loop = Loop()
connections = []


def connect(port, **options):
    connections.append(loop.add(Connection(port, **options)))
    return {'c': len(connections) - 1}


def get(c, path, headers=(), method='GET', body=None, keep=True):
    stream = connections[c].get(
        path, headers, method,
        body=None if body is None else body.encode('latin-1'), keep=keep)
    return {'s': stream.number}


def stream_of(c, s):
    return connections[c].streams[s]


def look(c, s, start=0):
    """What has come on a stream; of its body what is new."""
    stream = stream_of(c, s)
    return {'status': stream.status, 'headers': stream.headers,
            'body': stream.body[start:].decode('latin-1'),
            'length': stream.length, 'md5': stream.hash.hexdigest(),
            'ended': stream.ended, 'reset': stream.reset,
            'came': stream.came, 'unsent': len(stream.unsent)}


def is_new(c, s, start):
    connection, stream = connections[c], stream_of(c, s)
    return (connection.closed or stream.is_over()
            or (stream.status is not None if start < 0
                else stream.length > start))


def wait(c, s, start, seconds):
    """Until there is more of a body, or there can be no more.  start -1: until
    there is a head."""
    loop.run(seconds, lambda: is_new(c, s, start))
    return look(c, s, max(start, 0))


def wait_closed(c, seconds):
    loop.run(seconds, lambda: connections[c].closed)
    return state(c)


def wait_pongs(c, n, seconds):
    return {'came': loop.run(seconds, lambda: connections[c].pongs >= n
                             or connections[c].closed)}


def state(c):
    connection = connections[c]
    return {'port': connection.port,
            'closed': connection.closed, 'error': connection.error,
            'goaway': connection.goaway, 'pongs': connection.pongs,
            'out': len(connection.out)}


def reset_stream(c, s, code=8):
    now = time.monotonic()
    connections[c].reset_stream(stream_of(c, s), code)
    return {'at': now}


def hold(c, s=None, on=True):
    connections[c].hold(None if s is None else stream_of(c, s), on)
    return {}


def read(c, on):
    connections[c].reads = on
    return {}


def ping(c):
    connections[c].ping()
    return {}


def raw(c, bytes):
    connections[c].raw(bytes.encode('latin-1'))
    return {}


def close(c, how='fin'):
    at = connections[c].close(how)
    if how in ('fin', 'rst'):
        loop.remove(connections[c])
    return {'at': at}


COMMANDS = {f.__name__: f for f in (
    connect, get, look, wait, wait_closed, wait_pongs, state, reset_stream,
    hold, read, ping, raw, close)}


def answer(line):
    command = json.loads(line)
    name = command.pop('do')
    try:
        return COMMANDS[name](**command)
    except Exception as error:  # the test is to see whatever it is
        return {'died': '%s: %r' % (name, error)}


def main():
    rest = b''
    while True:
        if not loop.step(10, [0]):
            continue
        data = os.read(0, 65536)
        if not data:
            return
        *lines, rest = (rest + data).split(b'\n')
        for line in lines:
            sys.stdout.write(json.dumps(answer(line)) + '\n')
            sys.stdout.flush()


main()
