# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# The main job: subscribe, publish, receive, leave.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;

my @ways = (['plain'], ['another virtual host', module => 'mod_sse'],
            ['TLS', module => 'mod_sse_ssl']);

plan tests => 4 + 13 * @ways, need_module('mod_sse', 'mod_ssl');

for my $way (@ways) {
    my($name, @opt) = @$way;
    my $path = "/events/basic-$$-" . $name =~ s/\W/-/gr;

    my @streams = map { open_stream($path, @opt) } 1 .. 8;
    my($status, $headers) = $streams[0]->head;
    ok t_cmp($status, 200, "$name: status");
    ok t_cmp($headers->{'content-type'}, qr{^text/event-stream\b}, 'type');
    ok t_cmp($headers->{'cache-control'}, 'no-store', 'not cached');
    ok !exists $headers->{'content-length'};
    my $first = $streams[0]->next_block(5);
    ok t_cmp($first->{retry}, 2000, 'the first bytes come at once');
    $_->head for @streams;

    my $answer = publish($path, 'hello', @opt);
    ok t_cmp($answer->code, 200, "$name: published");
    ok t_cmp($answer->json->{channel}, $path, 'the answer names the channel');
    my $id = $answer->json->{id};
    ok t_cmp($id, qr/^[1-9]\d*$/, 'and the id');

    my @events = map { $_->next_event(5) } @streams;
    ok t_cmp([map { $_->{data} } @events], [('hello') x @streams],
             "$name: every stream of every child has the event");
    ok t_cmp([map { $_->{id} } @events], [($id) x @streams], 'under that id');
    ok !$streams[0]->next_event(0.2);

    $_->close for @streams;
    my $ours = qr/close=client .*channel=\Q$path\E /;
    ok t_cmp(eventually { access_lines($ours) == @streams }, 1,
             "$name: each end is logged as the client's");
    ok t_cmp(scalar(grep { / events=1 .* X=X / } access_lines($ours)),
             scalar @streams, 'with its one event');
}

my $path = "/events/types-$$";
my $stream = open_stream($path);
$stream->head;
publish($path, "one\r\ntwo\n", 'Content-Type' => 'text/plain');
publish($path, 'data=a%26b&event=greeting',
        'Content-Type' => 'application/x-www-form-urlencoded');
publish($path, '{"data":{"a":1},"event":"json"}',
        'Content-Type' => 'application/json');
publish($path, "event: x\ndata: 1\n\ndata: 2\n\n",
        'Content-Type' => 'text/event-stream');
ok t_cmp([map { my $e = $stream->next_event(5); [@$e{qw(event data)}] } 1 .. 5],
         [[message => "one\ntwo\n"], [greeting => 'a&b'], [json => '{"a":1}'],
          [x => 1], [message => 2]], 'all four kinds of body');
$stream->reset;
ok t_cmp(access_line(qr/channel=\Q$path\E .*X=X/, 5), qr/close=reset /,
         'a reset is told from an orderly leave');

ok t_cmp(request('PUT', $path)->code, 405, 'no other method');
ok t_cmp(request('PUT', $path)->header('Allow'), qr/GET/, 'and which there are');
