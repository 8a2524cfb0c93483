# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# What a body costs: whatever it holds, no more than three times its size of the
# server's memory, which goes back.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use IO::Select ();
use List::Util qw(max);
use Time::HiRes qw(sleep time);

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestServer;

my $JSON = 'application/json';
my $FORM = 'application/x-www-form-urlencoded';
my $FEED = 'text/event-stream';

# What stays with each of httpd's threads (MaxMemFree), with the C library for
# a moment, and for the answers; a sanitizer keeps what was freed.
my $slack = 20e6 * ($ENV{SSE_SAN} ? 6 : 1);
my $times = $ENV{SSE_SAN} ? 10 : 3;
# Thousands of events take the store some time then.
my $many = $ENV{SSE_SAN} ? 1 : 8;

# So many at once, type, where, body, status.
my @rows = (
    ['nested objects', 10, $JSON, 'publish',
     '{"data":[' . '{},' x 129_000 . '{}]}', 413],
    ['as nested as may be', 10, $JSON, 'publish',
     '{"data":[' . ('[' x 2000 . ']' x 2000 . ',') x 16 . '1]}', 200],
    ['many names', 10, $JSON, 'publish',
     '{"data":{' . join(',', map { sprintf '"%x":0', $_ } 1 .. 40_000) . '}}',
     413],
    ['escapes', 10, $JSON, 'publish', '{"data":"' . '\u0078' x 65_000 . '"}',
     200],
    ['a member that nobody knows', 10, $JSON, 'publish',
     '{"data":1,"' . "\xc3\xa9" x 150_000 . '":2}', 400],
    ['many events', $many, $JSON, 'publish',
     '[' . join(',', ('{"data":1}') x 9_000) . ']', 200],
    ['nested in a large one', 4, $JSON, 'large',
     '{"data":[' . '{},' x 1_900_000 . '{}]}', 413],
    ['a large form', 8, $FORM, 'large', 'data=' . '%78' x 1_000_000, 200],
    ['a form of nothing', 8, $FORM, 'large', 'data=1' . '&' x 3_000_000, 200],
    ['a large line', 8, $FEED, 'large', 'data: ' . 'x' x 1_000_000 . "\n\n",
     200],
    ['many lines', 8, $FEED, 'large', 'data:' . "x\ndata:" x 450_000 . "\n\n",
     200],
    ['small events', $many, $FEED, 'large', "data\n\n" x 20_000, 200],
    ['a large text', 8, 'text/plain', 'large', 'x' x 1_000_000, 200],
);

plan tests => 3 * @rows + 4, need_module('mod_sse');

# Bytes of memory that the children have, which no file stands behind.
sub memory {
    my $parent = server_pid();
    my $sum = 0;
    for my $pid (children($parent)) {
        open my $fh, '<', "/proc/$pid/status" or next;
        my($kb) = map { /^RssAnon:\s+(\d+)/ ? $1 : () } <$fh>;
        $sum += ($kb // 0) * 1024;
    }
    return $sum;
}

sub children {
    my $parent = shift;

    return grep { parent_of($_) == $parent }
        map { m{/(\d+)$} ? $1 : () } glob '/proc/[0-9]*';
}

# 0: it is gone.
sub parent_of {
    open my $fh, '<', "/proc/$_[0]/stat" or return 0;
    my $stat = <$fh> // '';
    return $stat =~ /^\d+ \(.*\) \S (\d+) / ? $1 : 0;
}

# All but the last byte of each body first, so that all of them are there at the
# same time.  @return the most memory, and the answers' statuses
sub post_at_once {
    my($n, $type, $path, $body) = @_;

    my $head = "POST $path HTTP/1.1\r\nHost: localhost\r\nContent-Type: $type"
        . "\r\nContent-Length: " . length($body)
        . "\r\nConnection: close\r\n\r\n";
    my @streams = map {
        open_stream($path, method => 'POST', timeout => 60,
                    raw => $head . substr $body, 0, -1);
    } 1 .. $n;
    my $most = memory();
    pipe my $read, my $write or die "pipe: $!";
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        close $read;
        $_->send_bytes(substr $body, -1) for @streams;
        my @statuses = map { $_->status // 'none' } @streams;
        print $write join ' ', @statuses;
        close $write;
        require POSIX;
        POSIX::_exit(0);
    }
    close $write;
    my $select = IO::Select->new($read);
    $most = max($most, memory()) until $select->can_read(0.002);
    $most = max($most, memory());
    my @statuses = split ' ', <$read> // '';
    waitpid $pid, 0;
    $_->close for @streams;
    return ($most, @statuses);
}

# The threads have had their first requests.
publish("/http/publish/warm-$$", 'x') for 1 .. 20;

for my $row (@rows) {
    my($name, $n, $type, $dir, $body, $status) = @$row;
    my($before, $most, @statuses);
    # Where the store stands still for a moment, some are to come again.
    my $end = time + 60;
    do {
        $before = memory();
        ($most, @statuses) =
            post_at_once($n, $type, "/http/$dir/" . join('-', $$, time), $body);
    } while (time < $end && grep { $_ eq '503' } @statuses);
    my $bytes = $n * length $body;
    my $cost = $most - $before;
    ok t_cmp("@statuses", join(' ', ($status) x $n), "$name: the answers");
    t_debug(sprintf '%s: %d bodies of %d bytes: %.1f MB, %.2f times',
            $name, $n, length $body, $cost / 1e6, $cost / $bytes);
    ok $cost <= $times * $bytes + $slack;
    ok eventually { memory() <= $before + $slack } 10;
}

# The words for what is checked now as text.
{
    my $answer = publish("/http/publish/words-$$",
                         '{"data":{"a":[1,{"b":2,"b":3}]}}',
                         'Content-Type' => $JSON);
    ok t_cmp($answer->code, 400, 'a duplicate name deep inside');
    ok t_cmp($answer->json->{error},
             qr/not valid: a duplicate name \(line 1, column 24 of the event\)/,
             'and where it is');
    $answer = publish("/http/publish/words-$$", '[{"data":1},{"data":1e999}]',
                      'Content-Type' => $JSON);
    ok t_cmp($answer->json->{error},
             qr/^event 2: .*a number too large for a double \(line 1, column 9 /,
             'a number that is none');
    $answer = publish("/http/publish/words-$$", '{"data":1,"' . 'x' x 1000
                      . '":2}', 'Content-Type' => $JSON);
    ok t_cmp($answer->json->{error},
             qr/^there is no member "x{60}"; known are/, 'a long name is cut');
}
