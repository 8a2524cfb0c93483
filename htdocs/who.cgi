#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# The demo's application (SSEAuthorize): mod_sse asks it before it opens a
# stream.  Who it is, the page has said: ?name=, percent-encoded, as the answer
# has it.  The stream has two channels: what people publish, and what told.cgi
# was told.  Who only looks at who is there (?presence) needs the first alone.

name=
case $QUERY_STRING in
*name=*)
    name=${QUERY_STRING#*name=}
    name=${name%%&*} ;;
esac
echo 'Status: 204'
echo "SSE-User: $name"
echo 'SSE-Channel: /events/demo'
case $QUERY_STRING in
*presence*) ;;
*) echo 'SSE-Channel: /events/told' ;;
esac
echo
