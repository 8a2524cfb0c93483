# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# A FastCGI application that ends its answers in ways that no library does:
# the script's name is "nothing" (no output at all), "half" (a head without its
# end), "cut" (no END_REQUEST), or "whole".

import os
import socketserver
import struct
import sys

BEGIN, END, PARAMS, STDIN, STDOUT = 1, 3, 4, 5, 6


class Answer(socketserver.BaseRequestHandler):
    def handle(self):
        params = b''
        while True:
            head = self.take(8)
            if not head:
                return
            _, kind, ident, length, padding, _ = struct.unpack('>BBHHBB', head)
            content = self.take(length)
            self.take(padding)
            if kind == PARAMS:
                params += content
            if kind == STDIN and not length:
                break
        if b'nothing' in params:
            text = b''
        elif b'half' in params:
            text = b'Content-Type: text/plain\r\nSSE-User: x\r\n'
        else:
            text = b'Content-Type: text/plain\r\n\r\nhello'
        if text:
            self.give(ident, STDOUT, text)
        if b'cut' not in params:
            self.give(ident, STDOUT, b'')
            self.give(ident, END, b'\0' * 8)

    def take(self, length):
        data = b''
        while len(data) < length:
            more = self.request.recv(length - len(data))
            if not more:
                break
            data += more
        return data

    def give(self, ident, kind, content):
        self.request.sendall(struct.pack('>BBHHBB', 1, kind, ident,
                                         len(content), 0, 0) + content)


os.umask(0)
socketserver.UnixStreamServer.request_queue_size = 64
socketserver.UnixStreamServer(sys.argv[1], Answer).serve_forever()
