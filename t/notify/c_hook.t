# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# What a C module is told of streams, whether it was loaded after mod_sse or
# before; and that its callbacks hold up nobody.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestServer;

plan tests => 63,
    need_module('mod_sse', 'mod_sse_hook', 'mod_headers', 'mod_ssl');

my $slow = $ENV{SSE_SAN} ? 3 : 1;
my $conf = Apache::Test::config()->{vars}{t_conf} . '/httpd.conf';
my $original = read_conf();
# While one of these is there, the callback of the stream with its ?hold= waits.
my $holds = Apache::Test::config()->{vars}{t_logs} . '/hook-hold-';
my $test = $$;

check('after');
sleeping();
crowded();
load_before();
check('before');
ok t_cmp(each_has_one(), 1, 'as many ends as beginnings, one for each');
put_back();
ok no_streams();

END {
    write_conf($original) if $original && $$ == $test;
    unlink glob "$holds*" if $$ == $test;
}

# Close streams whose callbacks wait from then on.
sub close_held {
    for (@_) {
        my($path, $stream, $name) = @$_;
        open my $fh, '>', "$holds$name" or die "$holds$name: $!";
        $stream->close;
    }
}

sub let_go { unlink map { $holds . $_->[2] } @_ }

# Those whose callbacks have waited.
sub have_slept {
    return grep {
        error_lines(qr/hook slept \Q${\told('open', $_->[0])->{stream}}\E$/m)
    } @_;
}

sub read_conf {
    open my $fh, '<', $conf or die "$conf: $!";
    local $/;
    return scalar <$fh>;
}

sub write_conf {
    open my $fh, '>', $conf or die "$conf: $!";
    print $fh @_;
    close $fh or die "$conf: $!";
}

# The same server with the C module loaded in front of mod_sse.
sub load_before {
    my $text = $original;
    my $line = $text =~ s/^(LoadModule sse_hook_module .*\n)//m ? $1 : '';
    my $moved = $text =~ s/^(<IfModule !mod_sse\.c>\n)/$line$1/m;
    ok t_cmp($line && $moved, 1, 'the order of LoadModule can be turned round');
    write_conf($text);
    ok hard_restart();
}

sub put_back {
    write_conf($original);
    $original = undef;
    ok hard_restart();
}

sub path { return "/stream/hook/$_[0]-$$" }

# What the hook has written of the stream of that channel.
sub told {
    my($what, $channel, $timeout) = @_;

    my $line = error_line(qr/hook $what .*channel=\Q$channel\E(?: |$)/m,
                          $timeout // 5) // return {};
    return { $line =~ /(\w+)=(\S+)/g,
             stream => $line =~ /hook $what (\S+)/ };
}

sub check {
    my $order = shift;

    my $path = path("client-$order");
    my $stream = subscribe($path, headers => { 'X-User' => 'ann' });
    my $open = told('open', $path);
    ok t_cmp($open->{type}, 'text/event-stream',
             "loaded $order mod_sse: the hook of the opening");
    my $id = publish($path, 'x')->json->{id};
    $stream->next_event(5);
    ok t_cmp(scalar error_lines(qr/hook close .*channel=\Q$path\E /), 0,
             'nothing is said of an end before there is one');
    $stream->close;
    my $close = told('close', $path);
    ok t_cmp($close->{stream}, $open->{stream}, 'that of the end');
    ok t_cmp([@$close{qw(reason by_client events last)}],
             ['client', 1, 1, $id], 'the reason and what was sent');
    my $bytes = length "id: $id\ndata: x\n\n";
    ok t_cmp($close->{bytes} >= $bytes, 1, "at least $bytes bytes");
    ok t_cmp($close->{lived} > 0 && $close->{lived} < 20e6, 1, 'and its life');
    ok t_cmp([@$close{qw(note counted channel type)}],
             ['client', 1, $path, 'text/event-stream'],
             'the notes of the request can be read');
    ok t_cmp([@$close{qw(always also user)}], ['seen', 'seen', 'ann'],
             'and the headers of request and response');
    ok t_cmp($close->{pool}, 'ok', 'and the pool used');

    my %ways = (
        reset   => [[], 1, sub { $_[0]->reset }],
        server  => [[], 0, sub { request('DELETE', $_[1]) }],
        'max-age' => [[], 0, sub { $_[0]->wait_end(15) }],
        client  => [[module => 'mod_sse_ssl'], 1, sub { $_[0]->close_notify }],
    );
    for my $reason (sort keys %ways) {
        my($opt, $by_client, $how) = @{ $ways{$reason} };
        my $name = ($reason eq 'max-age' ? 'short/' : '') . "$reason-$order-2";
        my $path = path($name);
        my $stream = subscribe($path, @$opt);
        $how->($stream, $path);
        my $close = told('close', $path);
        ok t_cmp([@$close{qw(reason by_client events last note)}],
                 [$reason, $by_client, 0, '-', $reason], "told of $reason");
    }

    $path = path("none-$order");
    open_stream($path, method => 'HEAD')->head;
    request('GET', $path, headers => { Accept => 'text/html' });
    ok t_cmp(scalar error_lines(qr/hook .*channel=\Q$path\E/), 0,
             'HEAD and an error open nothing');

    $path = path("restart-$order");
    my @streams = map { subscribe($path) } 1 .. 5;
    my @old = server_children();
    ok graceful_restart();
    $_->wait_end(5) for @streams;
    my $closes = qr/hook close .*reason=shutdown .*channel=\Q$path\E /;
    ok t_cmp(eventually { error_lines($closes) == 5 }, 1,
             'told of a graceful restart');
    # A child that leaves would have it as "shutdown"; and one of prefork's waits
    # for a connection.
    eventually { server_status(); !grep { is_alive($_) } @old } 20 * $slow;
    $path = path("stop-$order");
    @streams = map { subscribe($path) } 1 .. 5;
    # The first bytes come a little before the hook is told.
    my $opens = qr/hook open .*channel=\Q$path\E$/m;
    eventually { error_lines($opens) == 5 };
    ok hard_restart();
    $closes = qr/hook close .*reason=stop .*channel=\Q$path\E /;
    ok t_cmp(eventually { error_lines($closes) == 5 }, 1,
             'told of a restart at once');
    ok no_streams();
    ok each_has_one();
}

sub each_has_one {
    my(%opens, %closes);
    /hook open (\S+)/ && $opens{$1}++ for error_lines(qr/hook open /);
    /hook close (\S+)/ && $closes{$1}++ for error_lines(qr/hook close /);
    return 0 unless keys %opens;
    for my $id (keys %{ { %opens, %closes } }) {
        return 0 if ($opens{$id} // 0) != 1 || ($closes{$id} // 0) != 1;
    }
    return 1;
}

sub pid_of {
    my $path = shift;
    return stream_pid(told('open', $path)->{stream});
}

# So many in one child, where a child has more than one: [path, stream, name].
sub in_one_child {
    my($name, $n) = @_;

    my(%streams, $i);
    while (1) {
        my $path = path($name . '-' . ++$i);
        my $stream = subscribe("$path?hold=$name-$i");
        my $mates = $streams{pid_of($path)} //= [];
        push @$mates, [$path, $stream, "$name-$i"];
        my $enough = ($ENV{SSE_MPM} // '') eq 'prefork'
            ? [map { @$_ } values %streams] : $mates;
        return @$enough if @$enough == $n;
        die 'no child gets many streams' if $i > 60;
    }
}

# A callback that sleeps delays no other stream.
sub sleeping {
    my @streams = in_one_child('sleep', 4);
    my($sleeper, $reader, $leaver, $later) = @streams;
    close_held($sleeper);
    ok t_cmp(told('close', $sleeper->[0])->{reason}, 'client',
             'one whose callback sleeps');

    publish($reader->[0], 'meanwhile');
    ok t_cmp(($reader->[1]->next_event(5) // {})->{data}, 'meanwhile',
             'another one gets its event');
    $leaver->[1]->close;
    ok t_cmp(told('close', $leaver->[0])->{reason}, 'client',
             "and the end of a third is told");
    my $new = subscribe(path('sleep-new'));
    $new->close;
    ok t_cmp(told('close', path('sleep-new'))->{reason}, 'client',
             'and that of a new one');
    ok t_cmp(eventually { server_status()->{streams} == 3 }, 1,
             'one whose end is still being told is counted');
    subrequest(); # meanwhile
    ok t_cmp(scalar have_slept($sleeper), 0, 'all this while it sleeps');
    let_go($sleeper);
    ok t_cmp(eventually { scalar have_slept($sleeper) }, 1,
             'it has slept well');
    ok t_cmp(access_line(qr/close=client .*channel=\Q$sleeper->[0]\E /) ? 1 : 0,
             1, 'and is logged then');
    $_->[1]->close for $reader, $later;
    ok no_streams();
}

# More that sleep than there are threads to sleep on: an end is seen all the
# same, only told later.
sub crowded {
    my @streams = in_one_child('crowd', 7);
    my $reader = pop @streams;
    my $last = pop @streams;
    close_held(@streams);
    ok t_cmp((grep { ended($_->[0]) } @streams) + 0, 5, 'five that sleep');
    publish($reader->[0], 'meanwhile');
    ok t_cmp(($reader->[1]->next_event(5) // {})->{data}, 'meanwhile',
             'events are delivered');
    $last->[1]->close;
    ok t_cmp(ended($last->[0]), 1, 'the end of another one is seen');
    ok t_cmp(scalar have_slept(@streams), 0, 'while they sleep');
    let_go(@streams);
    $reader->[1]->close;
    ok t_cmp(no_streams(), 1, 'and all are told in the end');
}

sub ended {
    my $id = told('open', $_[0])->{stream};
    return error_line(qr/stream \Q$id\E ended: client/) ? 1 : 0;
}

# A stream inside of another response.
sub subrequest {
    my $path = path('sub');
    my $stream = open_stream("/stream-subrequest?$path");
    ok t_cmp($stream->status, 200, 'a subrequest can be a stream');
    publish($path, 'inside');
    ok t_cmp(($stream->next_event(5) // {})->{data}, 'inside',
             'with its events');
    request('DELETE', $path);
    ok t_cmp($stream->wait_end, 1, 'and its end');
    ok t_cmp(told('close', $path)->{reason}, 'server', 'which is told');
}
