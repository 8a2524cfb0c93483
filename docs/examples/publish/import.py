#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""import.py HUB <LINES: publish lines, a hundred in a request."""
import itertools, sys

from sse_publish import Publisher

hub = Publisher(sys.argv[1])
lines = ({"data": line.rstrip("\n")} for line in sys.stdin)
while batch := list(itertools.islice(lines, 100)):
    ids = hub.publish_batch("/events/import", batch)
    print(f"{len(ids)} events, the last one is {ids[-1]}")
