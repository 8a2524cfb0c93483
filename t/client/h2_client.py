# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
"""An HTTP/2 client that takes nothing on trust.

Every frame goes through Debian's python3-h2, which keeps the account of both
windows and of the state of each stream.  What the server may not do ends the
connection, with the reason in its `error`.

    loop = Loop()
    c = Connection(port, tls=True)
    s = c.get('/events/a', {'last-event-id': '5'})
    loop.run(10, lambda: b'data: x' in s.body, [c])
    c.reset_stream(s)
    c.close()
"""

import hashlib
import select
import socket
import ssl
import struct
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

HEAD = 9
DATA, HEADERS, RST_STREAM = 0, 1, 3
END_STREAM = 1
LEAST = 65535  # every connection's window, and that of streams by default

# Streams go on behind a GOAWAY that names them (RFC 9113, 6.8), as mod_http2
# sends it.  python3-h2 takes nothing more then.
_STATE = h2.connection.ConnectionState
h2.connection.H2ConnectionStateMachine._transitions[
    _STATE.CLIENT_OPEN, h2.connection.ConnectionInputs.RECV_GOAWAY
] = (None, _STATE.CLIENT_OPEN)


def _tls_context():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(['h2'])
    return context


class Stream:
    """A request and what has come for it.  With keep=False the body is only
    counted and hashed, and on_data(stream, bytes) has it."""

    def __init__(self, number, path, keep=True, on_data=None):
        self.number = number
        self.path = path
        self.keep = keep
        self.on_data = on_data
        self.status = None
        self.headers = {}
        self.body = bytearray()
        self.length = 0
        self.hash = hashlib.md5()
        self.ended = None  # when END_STREAM came
        self.reset = None  # the code of the server's RST_STREAM
        self.left = None   # when we reset it
        self.came = None   # when the last bytes came
        self.unsent = b''  # of the request's body
        self.is_held = False
        self.owed = 0      # of the window, while it is held

    def is_over(self):
        return not (self.ended is None and self.reset is None
                    and self.left is None)

    def add(self, data):
        self.came = time.monotonic()
        self.length += len(data)
        self.hash.update(data)
        if self.keep:
            self.body += data
        if self.on_data:
            self.on_data(self, data)


class Connection:
    """window: of the connection, in all; LEAST leaves it as it is.
    stream_window: what SETTINGS give each stream.  gives: whether window is
    given back as data comes.  rcvbuf: the socket's."""

    _context = None

    def __init__(self, port, tls=True, address='127.0.0.1', host='localhost',
                 window=15 << 20, stream_window=LEAST, gives=True,
                 rcvbuf=None, timeout=30):
        self.host = host
        self.window = window
        self.tls = tls
        self.gives = gives
        self.reads = True
        self.streams = {}
        self.out = b''
        self.closed = None   # when the server has closed, or an error
        self.error = None
        self.goaway = None   # the server's code
        self.pongs = 0
        self.unread = bytearray()
        self.over = set()    # the streams that the server has ended
        self.owed = 0
        self.sock = socket.socket()
        self.sock.settimeout(timeout)
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.sock.connect((address, port))
        self.port = self.sock.getsockname()[1]
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            Connection._context = Connection._context or _tls_context()
            self.sock = Connection._context.wrap_socket(
                self.sock, server_hostname=host)
            if self.sock.selected_alpn_protocol() != 'h2':
                raise OSError('the server does not speak HTTP/2')
        self.sock.setblocking(False)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=True, header_encoding='utf-8'))
        codes = h2.settings.SettingCodes
        self.h2.local_settings = h2.settings.Settings(
            client=True, initial_values={
                codes.ENABLE_PUSH: 0,
                codes.INITIAL_WINDOW_SIZE: stream_window,
                codes.MAX_CONCURRENT_STREAMS: 100,
                codes.MAX_HEADER_LIST_SIZE: 65536})
        self.h2.initiate_connection()
        if window > LEAST:
            self.h2.increment_flow_control_window(window - LEAST)
        self.flush()

    def fileno(self):
        return self.sock.fileno()

    # -- What is sent ------------------------------------------------------

    def get(self, path, headers=(), method='GET', body=None, **keeping):
        """A request.  headers: a mapping, or pairs."""
        number = self.h2.get_next_available_stream_id()
        pairs = list(headers.items() if hasattr(headers, 'items') else headers)
        fields = [(':method', method),
                  (':scheme', 'https' if self.tls else 'http'),
                  (':authority', self.host), (':path', path)]
        if body is not None:
            pairs.append(('content-length', str(len(body))))
        self.h2.send_headers(number, fields + pairs, end_stream=not body)
        stream = self.streams[number] = Stream(number, path, **keeping)
        stream.unsent = body or b''
        self._send_body(stream)
        self.flush()
        return stream

    def reset_stream(self, stream, code=h2.errors.ErrorCodes.CANCEL):
        if not stream.is_over():
            self.h2.reset_stream(stream.number, code)
        stream.left = time.monotonic()
        self.flush()

    def ping(self):
        self.h2.ping(b'is it on')
        self.flush()

    def hold(self, stream=None, on=True):
        """Give no window back, of a stream or of the connection; or give all
        that is owed."""
        if stream:
            stream.is_held = on
            if not on and stream.owed and not stream.is_over():
                self.h2.increment_flow_control_window(stream.owed,
                                                      stream.number)
                stream.owed = 0
        else:
            self.gives = not on
            if not on and self.owed:
                self.h2.increment_flow_control_window(self.owed)
                self.owed = 0
        self.flush()

    def raw(self, data):
        """Bytes that python3-h2 does not know of."""
        self.out += data
        self.flush()

    def _send_body(self, stream):
        sent = False
        while stream.unsent and not stream.is_over():
            room = min(self.h2.local_flow_control_window(stream.number),
                       self.h2.max_outbound_frame_size, len(stream.unsent))
            if room <= 0:
                break
            data, stream.unsent = stream.unsent[:room], stream.unsent[room:]
            self.h2.send_data(stream.number, data,
                              end_stream=not stream.unsent)
            sent = True
        return sent

    # -- What comes --------------------------------------------------------

    def flush(self):
        self.out += self.h2.data_to_send()
        while self.out and not self.closed:
            try:
                n = self.sock.send(self.out)
            except (BlockingIOError, ssl.SSLWantWriteError,
                    ssl.SSLWantReadError):
                return
            except OSError as error:
                self._lost(error)
                return
            self.out = self.out[n:]

    def _lost(self, error):
        self.closed = self.closed or time.monotonic()
        self.error = self.error or repr(error)

    def read(self):
        """All that has come; not for ever, though."""
        for _ in range(16):
            if self.closed:
                return
            try:
                data = self.sock.recv(65536)
            except (BlockingIOError, ssl.SSLWantReadError,
                    ssl.SSLWantWriteError):
                return
            except OSError as error:
                # Its end without one of TLS's is that of a peer that was
                # killed; RST may follow our own words to a closed connection.
                if self.goaway is None:
                    self._lost(error)
                self.closed = self.closed or time.monotonic()
                return
            if not data:
                self.closed = time.monotonic()
                return
            try:
                self._check(data)
                for event in self.h2.receive_data(data):
                    self._on_event(event)
                for stream in list(self.streams.values()):
                    if stream.unsent:
                        self._send_body(stream)
            except h2.exceptions.ProtocolError as error:
                self.flush()
                self._lost(error)
                return
            self.flush()

    def _check(self, data):
        """python3-h2 overlooks frames for a stream that the server has ended,
        since they might be for one that we have reset."""
        self.unread += data
        while len(self.unread) >= HEAD:
            length = int.from_bytes(self.unread[:3], 'big')
            if len(self.unread) < HEAD + length:
                return
            kind, flags = self.unread[3], self.unread[4]
            number = int.from_bytes(self.unread[5:HEAD], 'big') & 0x7fffffff
            del self.unread[:HEAD + length]
            # An answer may end before its request, whose rest is refused so.
            refused = kind == RST_STREAM and self._is_unsent(number)
            if (number in self.over and not refused
                    and kind in (DATA, HEADERS, RST_STREAM)):
                raise h2.exceptions.ProtocolError(
                    'a frame of type %d for stream %d, which has ended'
                    % (kind, number))
            if kind == RST_STREAM or (kind in (DATA, HEADERS)
                                      and flags & END_STREAM):
                self.over.add(number)

    def _is_unsent(self, number):
        return number in self.streams and self.streams[number].unsent

    def pending(self):
        return self.tls and not self.closed and self.sock.pending()

    def _on_event(self, event):
        stream = self.streams.get(getattr(event, 'stream_id', None))
        if isinstance(event, h2.events.ResponseReceived):
            stream.headers = dict(event.headers)
            stream.status = int(stream.headers[':status'])
        elif isinstance(event, h2.events.DataReceived):
            self._on_data(stream, event)
        elif isinstance(event, h2.events.StreamEnded):
            stream.ended = time.monotonic()
        elif isinstance(event, h2.events.StreamReset):
            if event.remote_reset:
                stream.reset = int(event.error_code)
        elif isinstance(event, h2.events.PingAckReceived):
            self.pongs += 1
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = int(event.error_code)

    def _on_data(self, stream, event):
        n = event.flow_controlled_length
        stream.add(event.data)
        if not n:
            return
        # python3-h2 gives the window back when much of it is used, as
        # browsers do; a part that is held is not its affair.
        if self.gives and not stream.is_held:
            self.h2.acknowledge_received_data(n, stream.number)
            return
        if self.gives:
            self.h2.increment_flow_control_window(n)
        else:
            self.owed += n
        if stream.is_held:
            stream.owed += n
        elif stream.ended is None:
            self.h2.increment_flow_control_window(n, stream.number)

    # -- Its end -----------------------------------------------------------

    def close(self, how='fin'):
        """fin; rst; notify: TLS is told that it is over, TCP is not; half: no
        more is sent, and what comes is read.  @return when"""
        now = time.monotonic()
        if how == 'notify':
            try:
                self.sock.setblocking(False)
                self.sock.unwrap()
            except (OSError, ValueError):
                pass  # the server's own has not come yet
            return now
        if how == 'half':
            # TLS's close is for both directions.
            socket.socket.shutdown(self.sock, socket.SHUT_WR)
            return now
        if how == 'rst':
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                 struct.pack('ii', 1, 0))
        elif self.tls:
            try:
                self.sock.unwrap()
            except (OSError, ValueError):
                pass
        self.sock.close()
        self.closed = self.closed or now
        return now


class Loop:
    """Reads from all of its connections, and from others that it is given."""

    def __init__(self):
        self.connections = []

    def add(self, connection):
        self.connections.append(connection)
        return connection

    def remove(self, connection):
        if connection in self.connections:
            self.connections.remove(connection)

    def step(self, seconds, others=()):
        """Wait so long for something, and read it.  @return which others are
        readable"""
        poll = select.poll()
        by_fd = {}
        for c in self.connections:
            if c.closed or c.fileno() < 0:
                continue
            events = (select.POLLIN if c.reads else 0) | (
                select.POLLOUT if c.out else 0)
            if c.reads and c.pending():
                seconds = 0
            if events:
                by_fd[c.fileno()] = c
                poll.register(c.fileno(), events)
        for other in others:
            poll.register(other, select.POLLIN)
        ready = poll.poll(max(0, seconds) * 1000)
        found = []
        for fd, events in ready:
            c = by_fd.get(fd)
            if not c:
                found.append(fd)
                continue
            if events & select.POLLOUT:
                c.flush()
            if c.reads and events & ~select.POLLOUT:
                c.read()
        for c in by_fd.values():
            if c.reads and c.pending():
                c.read()
        return found

    def run(self, seconds, until=lambda: False):
        """Until that is true: whether it is, within the time."""
        end = time.monotonic() + seconds
        while not until():
            left = end - time.monotonic()
            if left <= 0:
                return False
            self.step(min(left, 0.2))
        return True
