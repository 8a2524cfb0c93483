# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Whose channels are the same: those of one ServerName, or one SSENamespace.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;

my @hosts = map { "sse_stream_$_" } qw(red red_ssl blue one two);
my %same = (
    sse_stream_red     => [qw(red red_ssl)],
    sse_stream_red_ssl => [qw(red red_ssl)],
    sse_stream_blue    => [qw(blue)],
    sse_stream_one     => [qw(one two)],
    sse_stream_two     => [qw(one two)],
);
plan tests => 3 * @hosts + 8, need_module('mod_sse', 'mod_ssl');

my $path = "/stream/name-$$";
my %streams = map { $_ => open_stream($path, module => $_) } @hosts;
$_->next_block(5) for values %streams;

# Each host's message, and then one that everybody gets, so that what has come
# until then is all that comes.
my(%sent, %got);
for my $host (@hosts) {
    my $answer = publish($path, "by $host", module => $host);
    ok t_cmp($answer->code, 200, "published on $host");
    push @{ $sent{"sse_stream_$_"} }, "by $host" for @{ $same{$host} };
}
publish($path, 'end', module => $_)
    for qw(sse_stream_red sse_stream_blue sse_stream_one);
for my $host (@hosts) {
    while (my $event = $streams{$host}->next_event(5)) {
        last if $event->{data} eq 'end';
        push @{ $got{$host} }, $event->{data};
    }
    ok t_cmp($got{$host}, $sent{$host}, "what $host has got");
    ok !$streams{$host}->next_event(0.05);
}

# History and resuming keep to it too.
my $id = publish($path, 'red', module => 'sse_stream_red')->json->{id};
my $blue = publish($path, 'blue', module => 'sse_stream_blue')->json->{id};
publish($path, 'red again', module => 'sse_stream_red_ssl');
my $stream = open_stream($path, module => 'sse_stream_red',
                         headers => { 'Last-Event-ID' => $id });
ok t_cmp(($stream->next_event(5) // {})->{data}, 'red again',
         'history has the namespace alone, plain and TLS');
ok !$stream->next_event(0.1);
$stream = open_stream($path, module => 'sse_stream_red',
                      headers => { 'Last-Event-ID' => $blue });
ok t_cmp(($stream->next_event(5) // {})->{data}, 'red again',
         'an id of another namespace is a place in the one order');
ok !$stream->next_event(0.1);

# Deleting ends the streams of the namespace alone.
ok t_cmp(request('DELETE', $path, module => 'sse_stream_two')->code, 200,
         'deleted');
ok t_cmp($streams{sse_stream_one}->wait_end(5), 1,
         'the same channel on a host of the namespace is ended');
publish($path, 'still', module => 'sse_stream_red');
my $event;
1 while ($event = $streams{sse_stream_red}->next_event(5))
    && $event->{data} ne 'still';
ok t_cmp(($event // {})->{data}, 'still', 'that of another is not');
ok !$streams{sse_stream_blue}->is_ended;
