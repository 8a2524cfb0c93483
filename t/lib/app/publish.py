#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
"""publish.py CONTRIB URL OPTIONS <CALLS: what t/contrib has a publisher do.

Calls are lines of JSON, ["publish", channel, data, options], ["batch", channel,
events], ["delete", channel]; for each a line comes back: [result], or {status,
message, attempts}."""
import json, sys

sys.path.insert(0, f"{sys.argv[1]}/python")
from sse_publish import Publisher, PublishError

hub = Publisher(sys.argv[2], **json.loads(sys.argv[3]))


def call(name, channel, value=None, options={}):
    if name == "publish":
        return hub.publish(channel, value, **options)
    return (hub.publish_batch(channel, value) if name == "batch"
            else hub.delete(channel))


for line in sys.stdin:
    try:
        said = [call(*json.loads(line))]
    except PublishError as error:
        said = {"status": error.status, "message": error.message,
                "attempts": error.attempts}
    print(json.dumps(said), flush=True)
