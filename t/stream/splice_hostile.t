# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Clients that break HTTP/2's rules, or wear the server out within them, on
# connections that have streams: it takes no more memory, threads and
# descriptors than it should, others are served meanwhile, each stream's end is
# told as what it is, and nothing is left.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use List::Util qw(max min);
use SSETest;
use SSETestClose qw(slowly);
use SSETestH2;
use SSETestSplice;
use Time::HiRes qw(sleep time);

use constant { FLOW_CONTROL_ERROR => 3, FRAME_SIZE_ERROR => 6 };
use constant CONTINUATION => 9;

# How streams end whose connection the server closes, because of its client; and
# those of a client that leaves.
my($broken, $left) = ('error \d+', 'client \d+');
my $resets = $ENV{SSE_SAN} ? 2000 : 10_000;
my @tests = (\&no_window, \&least_window, \&many_resets, \&early_resets,
             \&floods, \&unread_floods, \&overflows, \&lengths, \&after_end,
             \&headers, \&goaway, \&unfinished, \&garbage, \&too_many,
             \&half_uploads);

plan tests => 94, need need_module('mod_sse', 'mod_ssl', 'mod_http2'),
    why_not(), { 'streams take threads' => is_spliced() };

my $server = SSETestSplice->new(threads => 16, conf => <<'EOI');
<LocationMatch "^/slow/(?<NAME>.+)$">
    SetHandler sse
    SSEChannel "%{env:MATCH_NAME}"
    SSEQueue 64k close 5s
</LocationMatch>
EOI

# Who is not to suffer: a strict client with a stream, and pages.
my $other = $server->connect;
my($quiet) = opened($other, '/c/quiet');
my $heard = 0;
warm_up();
my $before = $server->resources;

$_->() for @tests;
ok t_cmp($other->error, undef, 'the other one has seen no error');
$other->close;
ok t_cmp($server->is_at_rest, 1, 'nothing is left open');
ok t_cmp($server->complaints, '', 'nothing is wrong in the log');
ok $server->httpd->stop;

my $count;
sub name { return "$_[0]-" . ++$count }

# A connection that may break the rules, with streams of that path.
sub attacker {
    my($path, $n, %opt) = @_;

    my $h2 = $server->raw(window => 1 << 20, %opt);
    my $had = $server->numbers->{opened};
    my @ids = opened($h2, ($path) x $n);
    # A stream opens behind its first bytes.
    eventually { $server->numbers->{opened} >= $had + $n } slowly(5)
        or die "not open on $path";
    return ($h2, @ids);
}

# What makes the server's buffers and pools as large as they get.
sub warm_up {
    for (1 .. 3) {
        my @all = map { [attacker('/c/warm', 10)] } 1 .. 4;
        $server->publish('/c/warm', 'x' x 30_000);
        $_->[0]->wait_for($_->[1], qr/x\n\n/, slowly(5)) for @all;
        $_->[0]->close for @all;
    }
    eventually { $server->numbers->{streams} == 1 } slowly(10);
}

# While it goes on: others have their events and pages, soon.
sub others_are_served {
    my $name = shift;

    my $began = time;
    $server->publish('/c/quiet', 'number ' . ++$heard);
    my $has = $other->wait_for($quiet, qr/^data: number $heard$/m, slowly(5))
        && defined $server->page($other);
    my $took = time - $began;
    ok t_cmp($has && $took < slowly(8), 1,
             "$name: others are served, in $took s");
}

# Afterwards: only the other's stream is open, and the server has not grown.
sub is_over {
    my($name, $path, $reasons) = @_;

    ok t_cmp($server->closes_are($path, $reasons), 1, "$name: is told as that")
        if $path;
    my $last = '';
    my $done = eventually {
        my $now = $server->numbers;
        my $has = $server->resources;
        my %more = map { $_ => $has->{$_} - $before->{$_} } keys %$has;
        $last = "$now->{streams} open, $now->{queue_bytes} bytes wait; "
            . join ', ', map { "$more{$_} more $_" } sort keys %more;
        $now->{streams} == 1 && $now->{threads} == 0 && !$now->{queue_bytes}
            && $more{threads} <= 24 && $more{descriptors} <= 60
            && ($ENV{SSE_SAN} || $more{memory} <= 40_000);
    } slowly(10);
    ok t_cmp($done ? 'as before' : $last, 'as before', "$name: all is as before");
}

sub read_all { $_[0]->read_until(sub { 0 }, 0.05) }

# Whether the connection goes on behind all that was sent.
sub goes_on {
    my $h2 = shift;

    my $text = sprintf '%08d', ++$count;
    $h2->send_frame(SSETestH2::PING, 0, 0, $text);
    $h2->read_until(sub { $h2->ponged eq $text || defined $h2->goaway },
                    slowly(5));
    return $h2->ponged eq $text && !defined $h2->goaway;
}

# No window is given back, of the streams or the connection.
sub no_window {
    my $slow = name('slow');
    my($h2, @ids) = attacker("/slow/$slow", 5, holds => 1, window => 234_465);
    # More than a stream's window, less than SSEQueue beyond it.
    $server->publish("/c/$slow", 'x' x 30_000) for 1 .. 3;
    ok t_cmp(eventually(sub { $server->numbers->{queue_bytes} > 0 }), 1,
             'no window: what waits is counted');
    $server->publish("/c/$slow", 'x' x 30_000) for 1 .. 57;
    others_are_served('no window');
    my $page = $h2->get('/c/nothing', ':method' => 'HEAD');
    ok t_cmp($h2->read_until(sub { $h2->{streams}{$page}{head} }, slowly(5)),
             1, 'no window: other requests of the connection are answered');
    my $bytes = 0;
    eventually { read_all($h2); $server->closes("/slow/$slow") } slowly(20);
    read_all($h2);
    $bytes += length $h2->body($_) for @ids;
    ok t_cmp($bytes <= 300_000, 1, "no window: $bytes bytes came");
    ok t_cmp(max(map { length $h2->body($_) } @ids) <= 65_535, 1,
             'no window: of one stream no more than its window');
    is_over('no window', "/slow/$slow", 'slow-client 5');
    $h2->close;
}

# The least there is, on a connection with more streams than may hold a thread.
sub least_window {
    my $path = '/c/' . name('least');
    my $h2 = $server->raw(window => 0);
    my @ids = map { $h2->get($path) } 1 .. 20;
    my $answered = grep { $h2->wait_for($_, qr/retry: /, slowly(10)) } @ids;
    ok t_cmp($answered, 20, 'least window: each is answered');
    others_are_served('least window');
    $h2->close;
    is_over('least window');
}

# Streams that are open, reset at once, and so on.
sub many_resets {
    my $path = '/c/' . name('resets');
    my($n, $connections, $h2) = (0, 0);
    my $all = $resets / 10;
    while ($n < $all) {
        if (!$h2 || $h2->is_closed || defined $h2->goaway) {
            $h2->close if $h2;
            last if ++$connections > 100;
            $h2 = $server->raw(window => 1 << 20, plain => $connections % 2);
        }
        my @ids = map { $h2->get($path) } 1 .. 25;
        $h2->read_until(sub {
            $h2->is_closed
                || !grep { !$h2->{streams}{$_}{head} && !$h2->is_ended($_) } @ids;
        }, slowly(5));
        $h2->reset_stream(@ids);
        $n += @ids;
        delete @{ $h2->{streams} }{@ids};
        others_are_served("after $n resets") if $n == $all / 2;
    }
    ok t_cmp($n >= $all, 1, "$n resets, on $connections connections");
    others_are_served('resets');
    $h2->close;
    is_over('resets', $path, '(?:(?:-|reset|client|poll|error) \d+(?:, )?)+');
}

# Reset before there can be an answer.
sub early_resets {
    my $path = '/c/' . name('early');
    my($n, $connections, $h2) = (0, 0);
    my $all = $resets * 9 / 10;
    while ($n < $all) {
        if (!$h2 || $h2->is_closed || defined $h2->goaway) {
            $h2->close if $h2;
            last if ++$connections > 1000;
            $h2 = $server->raw(window => 1 << 20, plain => $connections % 2);
        }
        my @ids = map { $h2->get($path) } 1 .. 25;
        $h2->reset_stream(@ids);
        $n += @ids;
        $h2->read_ready;
        delete @{ $h2->{streams} }{@ids};
    }
    ok t_cmp($n >= $all, 1,
             "early resets: $n, on $connections connections");
    others_are_served('early resets');
    $h2->close;
    is_over('early resets');
}

# Frames that cost an answer, or nothing; on a connection whose streams go on.
sub floods {
    my $path = '/c/' . name('flood');
    my($h2, $id) = attacker($path, 3);
    my %flood = (
        PING => SSETestH2::frame(SSETestH2::PING, 0, 0, 'xxxxxxxx'),
        SETTINGS => SSETestH2::frame(SSETestH2::SETTINGS, 0, 0, ''),
        'settings of the window' => SSETestH2::frame(SSETestH2::SETTINGS, 0, 0,
            pack 'nNnN', 4, 70_000, 4, 65_535),
        'WINDOW_UPDATE of 1' => SSETestH2::frame(
            SSETestH2::WINDOW_UPDATE, 0, $id, pack 'N', 1),
        'PRIORITY' => SSETestH2::frame(2, 0, $id, pack 'NC', 0, 1),
        'an unknown type' => SSETestH2::frame(77, 0, $id, 'x' x 50));
    for my $name (sort keys %flood) {
        for (1 .. 20) {
            last if $h2->is_closed;
            $h2->write_bytes($flood{$name} x 100);
            $h2->read_ready;
        }
        my $stays = goes_on($h2);
        others_are_served("2000 of $name");
        # mod_http2 may have enough of it.
        ($h2, $id) = attacker($path, 3) unless $stays;
    }
    $server->publish($path, 'still');
    ok t_cmp($h2->wait_for($id, qr/data: still\n/, slowly(5)), 1,
             'floods: the streams go on');
    ok t_cmp(goes_on($h2), 1, 'floods: and so does the connection');
    $h2->close;
    is_over('floods');
}

# The answers are not read.
sub unread_floods {
    my $path = '/c/' . name('unread');
    for my $flood ([PING => SSETestH2::PING, 'xxxxxxxx'],
                   [SETTINGS => SSETestH2::SETTINGS, '']) {
        my($name, $type, $payload) = @$flood;
        my($h2) = attacker($path, 3, plain => 1);
        my $bytes = SSETestH2::frame($type, 0, 0, $payload) x 1000;
        my $end = time + 3;
        $h2->{sock}->blocking(0);
        for (1 .. 2000) {
            local $SIG{PIPE} = 'IGNORE';
            my $n = syswrite $h2->{sock}, $bytes;
            last if defined $n && $n < length $bytes || time > $end
                || !defined $n;
        }
        others_are_served("unread answers to $name");
        $h2->reset;
    }
    is_over('unread floods', $path, '(?:(?:error|reset|client) \d+(?:, )?)+');
}

sub window_update {
    my($h2, $id, $n) = @_;
    $h2->send_frame(SSETestH2::WINDOW_UPDATE, 0, $id, pack 'N', $n);
}

sub overflows {
    my $largest = 2 ** 31 - 1;
    my $path = '/c/' . name('overflow');
    my($h2, @ids) = attacker($path, 3);
    window_update($h2, $ids[0], $largest);
    ok t_cmp($h2->wait_end($ids[0], slowly(5)), 1,
             "overflow of a stream's window: it ends");
    ok t_cmp($h2->reset_code($ids[0]), FLOW_CONTROL_ERROR,
             'as FLOW_CONTROL_ERROR');
    window_update($h2, $ids[1], 0);
    ok t_cmp($h2->wait_end($ids[1], slowly(5)), 1,
             'WINDOW_UPDATE of 0: it ends');
    ok t_cmp($h2->reset_code($ids[1]), 1, 'as PROTOCOL_ERROR');
    ok t_cmp(eventually(sub { $server->numbers->{streams} == 2 }), 1,
             'both are told');
    $server->publish($path, 'third');
    ok t_cmp($h2->wait_for($ids[2], qr/data: third\n/, slowly(5)), 1,
             'the third one goes on');
    window_update($h2, 0, $largest);
    ok t_cmp($h2->wait_closed(slowly(5)), 1,
             "overflow of the connection's window: it is closed");
    ok t_cmp($h2->goaway, FLOW_CONTROL_ERROR, 'with FLOW_CONTROL_ERROR');
    $h2->close;
    others_are_served('overflow');
    is_over('overflow', $path, 'error 1, reset 2');

    # The windows of all streams at once, by SETTINGS.
    $path = '/c/' . name('settings');
    ($h2, @ids) = attacker($path, 2);
    window_update($h2, $_, $largest - 100_000) for @ids;
    $h2->send_frame(SSETestH2::SETTINGS, 0, 0, pack 'nN', 4, $largest);
    $server->publish($path, 'x');
    ok t_cmp($h2->read_until(sub {
        $h2->is_closed || 2 == grep { $h2->is_ended($_) } @ids
    }, slowly(5)), 1, 'overflow by SETTINGS: stream or connection end');
    $h2->close;
    is_over('SETTINGS', $path, "$broken|reset 2");
}

# Frames for open streams that are too short or too long.
sub lengths {
    for my $frame (['WINDOW_UPDATE of 3 bytes', SSETestH2::WINDOW_UPDATE, 'abc'],
                   ['RST_STREAM of 5 bytes', SSETestH2::RST_STREAM, 'abcde'],
                   ['RST_STREAM of none', SSETestH2::RST_STREAM, '']) {
        my($name, $type, $payload) = @$frame;
        my $path = '/c/' . name('length');
        my($h2, @ids) = attacker($path, 3);
        $h2->send_frame($type, 0, $ids[1], $payload);
        ok t_cmp($h2->wait_closed(slowly(5)), 1, "$name: the connection ends");
        ok t_cmp($h2->goaway, FRAME_SIZE_ERROR, 'with FRAME_SIZE_ERROR');
        $h2->close;
        others_are_served($name);
        is_over($name, $path, $broken);
    }
}

# More of a request that was whole.  nghttp2 drops it, as it might have been sent
# before a reset that it has not seen.
sub after_end {
    my $path = '/c/' . name('after');
    my($h2, @ids) = attacker($path, 2);
    for (1 .. 20) {
        $h2->send_frame(SSETestH2::DATA, 0, $ids[0], 'x' x 16_000);
        $h2->read_ready;
    }
    $server->publish($path, 'goes on');
    ok t_cmp($h2->read_until(sub {
        defined $h2->goaway || $h2->body($ids[1]) =~ /data: goes on/
    }, slowly(5)), 1, 'DATA behind END_STREAM: an error, or nothing');
    $h2->close;
    others_are_served('DATA behind END_STREAM');
    is_over('DATA behind END_STREAM', $path, "$broken|$left|reset 2");
}

# A block of headers that never ends.
sub headers {
    my $path = '/c/' . name('continuation');
    my($h2, @ids) = attacker($path, 2);
    my $block = join '', map { SSETestH2::field("x-$_", 'y' x 90) } 1 .. 100;
    $h2->send_frame(SSETestH2::HEADERS, SSETestH2::END_STREAM, $h2->{next},
                    substr $block, 0, 1000);
    for (1 .. 3000) {
        last if $h2->is_closed;
        $h2->send_frame(CONTINUATION, 0, $h2->{next}, $block);
        $h2->read_ready;
        last if $h2->{is_broken};
    }
    ok t_cmp($h2->{is_broken} || $h2->wait_closed(slowly(5)), 1,
             'CONTINUATION without end: the connection ends');
    others_are_served('CONTINUATION');
    $h2->close;
    is_over('CONTINUATION', $path, $broken);
}

sub goaway {
    my $path = '/c/' . name('goaway');
    my($h2, @ids) = attacker($path, 2);
    $h2->send_frame(SSETestH2::GOAWAY, 0, 0, pack 'NN', 0, 0);
    $server->publish($path, 'x');
    others_are_served('GOAWAY');
    $h2->wait_closed(slowly(5));
    $h2->close;
    is_over('GOAWAY', $path, $left);
}

# Whether each of the streams has it.
sub have {
    my($h2, $ids, $re) = @_;

    return !grep { !$h2->wait_for($_, $re, slowly(5)) } @$ids;
}

# Half a request, and half of a frame's head.
sub unfinished {
    my $path = '/c/' . name('unfinished');
    my($h2, @ids) = attacker($path, 2);
    $h2->{holds} = 1; # no frame in between
    my $field = SSETestH2::field(':method', 'GET');
    $h2->send_frame(SSETestH2::HEADERS, SSETestH2::END_STREAM, $h2->{next},
                    $field);
    $server->publish($path, 'one');
    ok t_cmp(have($h2, \@ids, qr/data: one\n/), 1,
             'an event, in the middle of a block of headers');
    others_are_served('HEADERS without end');
    $h2->close;
    is_over('HEADERS without end', $path, $left);

    $path = '/c/' . name('half');
    ($h2, @ids) = attacker($path, 2);
    $h2->{holds} = 1;
    $h2->write_bytes(substr SSETestH2::frame(SSETestH2::PING, 0, 0, 'x' x 8),
                     0, 5);
    $server->publish($path, 'two');
    ok t_cmp(have($h2, \@ids, qr/data: two\n/), 1,
             "in the middle of a frame's head");
    $h2->write_bytes(substr SSETestH2::frame(SSETestH2::PING, 0, 0, 'x' x 8),
                     5);
    ok t_cmp($h2->read_until(sub { $h2->ponged }, slowly(5)), 1,
             'whose rest comes later');
    $h2->close;
    is_over('half a head', $path, $left);
}

sub garbage {
    my $random = join '', map { chr(($_ * 7919) % 251) } 1 .. 5000;
    my @raw = ("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n$random",
               "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n$random",
               "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
               'PRI * HTTP/2.0', "GET / HTTP/1.1\r\nHost: x\r\n\r\n", $random,
               "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
               . SSETestH2::frame(SSETestH2::PING, 0, 0, 'x' x 8));
    for my $raw (@raw) {
        for my $plain (0, 1) {
            my $h2 = $server->raw(plain => $plain, raw => $raw);
            $h2->read_until(sub { 0 }, 0.1);
            $h2->close;
        }
    }
    others_are_served('garbage');
    is_over('garbage');
}

# As many at once as nobody may have.
sub too_many {
    my $path = '/c/' . name('many');
    my $h2 = $server->raw(window => 1 << 24);
    my @ids;
    for (1 .. 10) {
        push @ids, map { $h2->get($path) } 1 .. 100;
        $h2->read_ready;
    }
    $h2->read_until(sub {
        $h2->is_closed || !grep {
            !$h2->{streams}{$_}{head} && !$h2->is_ended($_)
        } @ids;
    }, slowly(10));
    my $open = grep { $h2->{streams}{$_}{head} && !$h2->is_ended($_) } @ids;
    my $now = $server->numbers->{streams} - 1;
    ok t_cmp($now <= 220, 1, "1000 requests at once: $now are open");
    others_are_served('1000 requests');
    my %codes;
    $codes{ $h2->reset_code($_) // 'none' }++ for @ids;
    ok t_cmp($h2->is_closed || !grep({ !/none|7|8/ } keys %codes), 1,
             'others are refused: ' . join ', ', %codes);
    $server->publish($path, 'for those');
    ok t_cmp($h2->is_closed || !$open || (grep {
        $h2->wait_for($_, qr/data: for those\n/, 2)
    } grep { $h2->{streams}{$_}{head} && !$h2->is_ended($_) } @ids) > 0, 1,
        'those that are open have an event');
    $h2->close;
    is_over('1000 requests');
}

# Bodies that do not come to their end.
sub half_uploads {
    my $path = '/c/' . name('upload');
    my @all = map { [attacker($path, 3)] } 1 .. 2;
    for (@all) {
        my $h2 = $_->[0];
        for (1 .. 2) {
            my $id = $h2->get("$path-body", ':method' => 'POST', ':open' => 1,
                              'content-type' => 'text/plain',
                              'content-length' => 1000);
            $h2->send_frame(SSETestH2::DATA, 0, $id, 'half of it');
        }
    }
    $server->publish($path, 'meanwhile');
    ok t_cmp((grep { $_->[0]->wait_for($_->[1], qr/data: meanwhile\n/,
                                       slowly(5)) } @all) + 0, 2,
             'half an upload: events come on the same connection');
    others_are_served('half an upload');
    $all[0][0]->close;
    $all[1][0]->reset;
    is_over('half an upload', $path, '(?:(?:reset|client) \d+(?:, )?)+');
}
