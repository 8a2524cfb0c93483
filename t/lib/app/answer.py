# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# A back end that answers what the query says: see t/lib/SSETestApp.pm.

import json
import os
import socketserver
import sys
import time
import urllib.parse


def wait_for(name):
    end = time.time() + 60
    while name and time.time() < end:
        if os.path.exists(os.environ['APP_LOG'] + '.' + name):
            return
        time.sleep(0.01)


class Answer(socketserver.StreamRequestHandler):
    def handle(self):
        line = self.rfile.readline(65536).decode('latin-1')
        if not line:
            return  # a test that looks whether we listen
        self.path = line.split(' ')[1]
        self.headers = []
        while True:
            header = self.rfile.readline(65536).decode('latin-1')
            if header in ('\r\n', '\n', ''):
                break
            name, _, value = header.partition(':')
            self.headers.append([name, value.strip()])
        self.record()
        try:
            self.answer()
        except (BrokenPipeError, ConnectionResetError):
            pass

    def record(self):
        text = json.dumps({'by': 'python', 'path': self.path,
                           'headers': self.headers})
        log = os.open(os.environ['APP_LOG'], os.O_WRONLY | os.O_APPEND)
        os.write(log, text.encode() + b'\n')
        os.close(log)

    def answer(self):
        query = urllib.parse.urlsplit(self.path).query
        args = urllib.parse.parse_qs(query, keep_blank_values=True,
                                     encoding='latin-1')
        one = {name: values[0] for name, values in args.items()}
        time.sleep(float(one.get('wait', 0)))
        wait_for(one.get('until'))
        body = one.get('body', 'x' * int(one.get('size', 0)))
        how = one.get('how', '')
        head = 'HTTP/1.1 %s Answer\r\n' % one.get('status', 200)
        for header in args.get('h[]', []):
            head += header + '\r\n'
        if how == 'close':
            return
        if how == 'garbage':
            self.write('\0\1\2 this is no HTTP\r\n\r\n')
            return
        if how == 'early':
            self.write('HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n')
        if how in ('endless', 'drip'):
            self.write(head + '\r\n')
            while True:
                self.write('x' * (8192 if how == 'endless' else 1))
                time.sleep(0 if how == 'endless' else 0.2)
        if how == 'cut':
            head += 'Content-Length: %d\r\n\r\n' % (2 * len(body) + 10)
        else:
            head += 'Content-Length: %d\r\n\r\n' % len(body)
        self.write(head + body)

    def write(self, text):
        self.wfile.write(text.encode('latin-1'))
        self.wfile.flush()


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 256


os.umask(0)
Server(sys.argv[1], Answer).serve_forever()
