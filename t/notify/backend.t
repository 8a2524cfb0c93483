# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# mod_proxy in front of a hub, with SSEWatch Abort: who leaves the one leaves
# the other.  The hub is silent, so that nothing else would tell it.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestClose;
use SSETestH2;
use SSETestServer;
use Time::HiRes qw(sleep time);

my @ways = (['plain'], ['TLS', module => 'mod_sse_ssl']);
my $has_h2 = ($ENV{SSE_MPM} // '') ne 'prefork';
my $rounds = 90;
my $big = 300_000;

plan tests => 4 * 2 * @ways + 4 * $has_h2 + 4 + 5 + 3,
    need_module('mod_sse', 'mod_sse_close', 'mod_ssl', 'mod_proxy_http',
                $has_h2 ? 'mod_http2' : ());

write_files('close/plain/big' => 'x' x $big,
            'close/plain/target' => "target\n");
my $k = 0;
for my $way (@ways) {
    leaves(@$way);
}
resets_a_stream() if $has_h2;
leaves_without_abort();
pooled_connections();
ok no_streams(slowly(10));
ok t_cmp([error_lines(qr/proxy\w*:(?:error|warn)/)], [],
         'mod_proxy has nothing to complain about');
ok t_cmp([error_lines(qr/sse:(?:error|crit)/)], [], 'nor have we');

sub name {
    return "backend-$$-" . ++$k;
}

# The line of the hub's stream, once it has ended.
sub hub_line {
    my($name, $timeout) = @_;
    return access_line(qr{"GET /backend/hub/\Q$name\E }, $timeout);
}

# A stream through mod_proxy that has had an event.
sub proxied {
    my($path, $name, @opt) = @_;

    my $stream = open_stream("$path$name", @opt);
    $stream->next_block(slowly(5)) or die 'no stream begins';
    publish("/backend/hub/$name", 'hello');
    die 'no event' unless $stream->next_event(slowly(5));
    return $stream;
}

sub leaves {
    my($way, @opt) = @_;

    for my $how ('close', 'reset') {
        my $name = name();
        my $stream = proxied('/backend/abort/', $name, @opt);
        my $began = time;
        $stream->$how;
        my $line = hub_line($name, slowly(5));
        my $took = time - $began;
        ok t_cmp($line, qr/close=(?:client|reset) .*events=1 /,
                 "$way, $how: the hub's stream ends");
        ok t_cmp($took < slowly(8), 1, "after $took s");
        $line = access_line(qr{"GET /backend/abort/\Q$name\E }, slowly(5));
        ok t_cmp($line, qr/" 200 .*close=(?:client|reset) /,
                 "$way, $how: so does the request in front");
        ok t_cmp($line, qr/ X=X /, 'which was cut short');
    }
}

# RST_STREAM; the connection and its other streams live on.
sub resets_a_stream {
    my @names = (name(), name());
    my $h2 = SSETestH2->new('mod_sse_ssl');
    my @ids = map { $h2->get("/backend/abort/$_") } @names;
    ok t_cmp($h2->wait_for($_, qr/retry/, slowly(5)), 1, 'HTTP/2: a stream')
        for @ids;
    $h2->reset_stream($ids[0]);
    ok t_cmp(hub_line($names[0], slowly(5)), qr/close=(?:client|reset) /,
             'HTTP/2: it ends in the hub, too');
    publish("/backend/hub/$names[1]", 'hello');
    ok t_cmp($h2->wait_for($ids[1], qr/data: hello/, slowly(5)), 1,
             'and the other one lives on');
    $h2->close;
}

# What the test stands for: mod_proxy alone learns of it from what it writes.
sub leaves_without_abort {
    my $name = name();
    my $stream = proxied('/backend/plain/', $name);
    $stream->close;
    sleep 0.3;
    ok t_cmp(scalar(access_lines(qr{"GET /backend/hub/\Q$name\E })), 0,
             'without SSEWatch Abort: the hub knows nothing');
    # The first may be written before mod_proxy has closed.
    my $line = eventually(sub {
        publish("/backend/hub/$name", 'x');
        hub_line($name, 0.2);
    }, slowly(10));
    ok t_cmp($line, qr/close=(?:client|reset|write-error) /,
             'but when there is something to write');
    # A response that is sent, and one that the back end ends
    ok t_cmp(length(request('GET', '/backend/file/big')->body), $big,
             'a response is whole');
    my $other = proxied('/backend/abort/', $name = name());
    request('DELETE', "/backend/hub/$name");
    ok t_cmp($other->wait_end(slowly(5)) && $other->is_complete, 1,
             'and a stream that the hub ends is complete');
}

# Whoever leaves takes no connection from others: mod_proxy's are reused.
sub pooled_connections {
    my(@names, %bad);
    for my $i (1 .. $rounds) {
        push @names, my $name = name();
        my $stream = open_stream("/backend/abort/$name");
        # before or while the head comes, or after
        $i % 2 ? sleep rand 0.004 : $stream->next_block(slowly(5));
        $i % 4 > 1 ? $stream->close : $stream->reset;
        for my $path ('/backend/file/big', '/backend/file/target') {
            my $answer = request('GET', $path);
            my $got = ($answer->code // 'none') . ' '
                . length($answer->body // '');
            $bad{$got}++ if $got ne ($path =~ /big/ ? "200 $big" : '200 7');
        }
    }
    ok t_cmp(\%bad, {}, 'all others are answered, each as a whole');
    my %of = map { $_ => 1 } @names;
    my $ended = sub {
        my %seen;
        $seen{$_}++ for map { m{"GET /backend/hub/(\S+) } ? $1 : () }
            access_lines(qr{"GET /backend/hub/.*close=(?!-)});
        return \%seen;
    };
    # One that left while its head was awaited is told when there is something
    # to write; it may open only now.
    ok t_cmp(eventually(sub {
        return 1 if no_streams(1);
        publish("/backend/hub/$_", 'x') for @names;
        return 0;
    }, slowly(20)), 1, 'all streams end');
    my $seen = $ended->();
    my @twice = grep { ($seen->{$_} // 0) > 1 } @names;
    ok t_cmp(\@twice, [], 'each once');
    ok t_cmp(scalar(grep { $seen->{$_} } @names) > $rounds / 4, 1,
             'many of them were streams');
    my @front = access_lines(qr{"GET /backend/abort/});
    ok t_cmp(scalar(grep { / 50\d / } @front) <= $rounds / 2, 1,
             'few were too early for an answer');
}
