#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# A CGI that answers what the query says: see t/lib/SSETestApp.pm.

import json
import os
import sys
import time
import urllib.parse

text = json.dumps({'by': 'cgi', 'env': dict(os.environ)}) + '\n'
log = os.open(os.environ['APP_LOG'], os.O_WRONLY | os.O_APPEND)
os.write(log, text.encode())
os.close(log)

args = urllib.parse.parse_qs(os.environ.get('QUERY_STRING', ''),
                             keep_blank_values=True, encoding='latin-1')
one = {name: values[0] for name, values in args.items()}
time.sleep(float(one.get('wait', 0)))
head = 'Status: %s\n' % one.get('status', 200)
for header in args.get('h[]', []):
    head += header + '\n'
body = one.get('body', 'x' * int(one.get('size', 0)))
sys.stdout.buffer.write((head + '\n' + body).encode('latin-1'))
