#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# The demo's webhook target (SSEHook): publishes to /events/told what it is told
# of the streams of /events/demo, and how long after it happened.

my $now;
use Time::HiRes ();
BEGIN { $now = Time::HiRes::time() }

use strict;
use warnings;
use HTTP::Tiny ();
use JSON::PP qw(decode_json encode_json);

# A page elsewhere cannot send this type without asking first (CORS).
if (($ENV{CONTENT_TYPE} // '') ne 'application/json') {
    print "Status: 415\n\n";
    exit;
}
read STDIN, my $body, $ENV{CONTENT_LENGTH} // 0;
my $call = decode_json($body);
# The streams of who only looks at who is there (?presence) have no channels.
if (!@{ $call->{channels} }) {
    print "Status: 204\n\n";
    exit;
}
my %told = map { $_ => $call->{$_} } qw(type user reason);
$told{after_ms} = 1000 * ($now - $call->{time});

my $answer = HTTP::Tiny->new(timeout => 5)->post(
    "http://127.0.0.1:$ENV{SERVER_PORT}/events/told", {
        headers => { 'Content-Type' => 'application/json',
                     'Idempotency-Key' => $ENV{HTTP_SSE_HOOK_ID} },
        content => encode_json({ event => 'told', data => \%told }),
    });
# mod_sse repeats what was answered with 5xx.
print 'Status: ', ($answer->{success} ? 204 : 503), "\n\n";
