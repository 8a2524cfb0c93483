# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Long polls: the contract, as one sees it over HTTP/1.1.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use JSON::PP ();
use SSETest;
use Time::HiRes qw(sleep time);

my $mpm = $ENV{SSE_MPM} || 'event';

my @tests = (\&chosen, \&head, \&answers_event, \&keepalive, \&at_once,
             \&waits, \&limits, \&between_polls, \&one_write, \&exactness,
             \&gaps, \&several, \&replay, \&heartbeat, \&aged, \&deleted,
             \&client_gone, \&pipelined, \&large, \&slow_client, \&burst,
             \&data_as_is, \&presence_channel, \&other_origin);
plan tests => 94, need_module('mod_sse', 'mod_ssl');
$_->() for @tests;

sub path { return "/poll/$_[0]-$$" }

# A poll that has been sent.
sub poll {
    my($path, %opt) = @_;

    my $id = delete $opt{id};
    my %headers = (Accept => 'application/json',
                   %{ delete $opt{headers} || {} });
    $headers{'Last-Event-ID'} = $id if defined $id;
    return open_stream($path, %opt, headers => \%headers);
}

# The next one on the same connection.
sub poll_again {
    my($stream, $path, $id) = @_;

    return $stream->again($path, headers => { Accept => 'application/json',
        defined $id ? ('Last-Event-ID' => $id) : () });
}

# Its answer, once it is there.
sub answer {
    my($stream, $timeout) = @_;

    $stream->wait_end($timeout // 10);
    return $stream->is_complete
        ? eval { JSON::PP::decode_json($stream->{body}) } // {} : {};
}

sub ask { return answer(poll(@_)) }

sub datas { return [map { $_->{data} } @{ $_[0]{events} || [{}] }] }

# Whether an answer is whole and has all up to that id.  What happens on other
# channels moves it on.
sub is_at {
    my($answer, $id) = @_;

    return join(' ', sort keys %$answer) eq 'events last'
        && $answer->{last} =~ /^[1-9]\d+$/ && $answer->{last} >= $id;
}

# Where a client begins that has seen nothing.
sub now { return ask("$_[0]?wait=0")->{last} }

# It waits: the first bytes are there.
sub waiting {
    my $stream = shift;

    $stream->head;
    my $began = eventually {
        $stream->fill(time + 0.02);
        $stream->{body} =~ /^\{"events":\[/
    };
    return $began && !$stream->is_ended;
}

sub chosen {
    my $path = path('chosen');
    my %type = (
        'application/json' => 'application/json',
        'application/json, text/event-stream;q=0.9' => 'application/json',
        'application/*' => 'application/json',
        'application/json, text/event-stream' => 'text/event-stream',
        '*/*' => 'text/event-stream',
        'application/json;q=0.5, */*' => 'text/event-stream',
    );
    for my $accept (sort keys %type) {
        my $stream = open_stream("$path?wait=0",
                                 headers => { Accept => $accept });
        ok t_cmp($stream->header('Content-Type'), $type{$accept}, $accept);
        ok t_cmp($stream->header('Vary'), 'Accept', "$accept: Vary");
    }
    my $answer = request('GET', $path, headers => { Accept => 'text/html' });
    ok t_cmp($answer->code, 406, 'neither');
    ok t_cmp($answer->json->{error}, qr/text\/event-stream.*application\/json/,
             'both are named');
}

sub head {
    my $answer = request('HEAD', path('head'), headers => {
        Accept => 'application/json', Prefer => 'wait=3' });
    ok t_cmp([$answer->code, $answer->body, map { $answer->header($_) }
              qw(Content-Type Cache-Control Vary Preference-Applied)],
             [200, '', 'application/json', 'no-store', 'Accept', 'wait=3'],
             'HEAD: the headers alone');
}

# Two events, one after the other, over one connection.
sub answers_event {
    my $path = path('event');
    my $stream = poll($path);
    ok t_cmp(waiting($stream), 1, 'the head and the first bytes come at once');
    ok t_cmp($stream->header('Content-Length'), undef, 'without a length');
    ok t_cmp($stream->header('X-Content-Type-Options'), 'nosniff', 'no guess');

    my $id = publish($path, 'data=hello&event=greeting', 'Content-Type' =>
                     'application/x-www-form-urlencoded')->json->{id};
    my $answer = answer($stream);
    ok t_cmp($answer->{events}, [{ id => $id, channel => $path,
                                   event => 'greeting', data => 'hello' }],
             'one event');
    ok t_cmp(is_at($answer, $id), 1, 'and where to go on, no more');
    poll_again($stream, $path, $answer->{last});
    ok t_cmp(waiting($stream), 1, 'the connection is used again');
    ok t_cmp(access_line(qr/channel=\Q$path\E /), qr/close=poll .*events=1 /,
             'the first one is logged as a poll');
    my $second = publish($path, 'x')->json->{id};
    ok t_cmp(answer($stream)->{events}, [{ id => $second, channel => $path,
                                           event => 'message', data => 'x' }],
             'for the next event');
    $stream->close;
}

sub keepalive {
    my $path = '/poll/soon/' . $$;
    my $last = now($path);
    my $began = time;
    my $stream = poll($path, id => $last);
    my $answer = answer($stream);
    my $took = time - $began;
    ok t_cmp([$answer->{events}, keys %$answer > 2 ? %$answer : ()], [[]],
             'after the wait an empty list');
    ok t_cmp($took >= 0.85, 1, "after $took s");
    ok t_cmp($answer->{last} >= $last, 1, 'with an id to go on');
    poll_again($stream, $path, $answer->{last});
    ok t_cmp(answer($stream)->{events}, [], 'on the same connection again');
    $stream->close;
}

# Nothing is waited for.
sub at_once {
    my $path = path('once');
    my $longest = 0;
    my $answer_of = sub {
        my $began = time;
        my $answer = answer(ref $_[0] ? $_[0] : poll(@_));
        $longest = time - $began if time - $began > $longest;
        return $answer;
    };
    my $answer = $answer_of->("$path?wait=0");
    ok t_cmp($answer->{events}, [], 'wait=0: an empty list');
    ok t_cmp($answer->{last}, qr/^[1-9]\d*$/, 'that says where now is');
    my $id = publish($path, 'a')->json->{id};
    my $next = $answer_of->("$path?wait=0", id => $answer->{last});
    ok t_cmp($next->{events}[0]{id}, $id, 'what came since is in the next one');
    my $asked = poll($path, id => $id, headers => { Prefer => 'wait=0' });
    my $empty = $answer_of->($asked);
    ok t_cmp([$empty->{events}, is_at($empty, $id)], [[], 1],
             'Prefer says the same');
    ok t_cmp($asked->header('Preference-Applied'), 'wait=0', 'and is answered');
    ok t_cmp($answer_of->("$path?wait=0&last-event-id=$id")->{events}, [],
             'the id may be in the query');
    # SSEPollWait is 15 s, less a tenth.
    ok t_cmp($longest < 13, 1, "none has waited: $longest s at most");
}

sub waits {
    my $path = path('waits');
    for my $row (['wait=2', 2], ['respond-async, wait="3"', 3],
                 ['wait=99999999999', 15], ['wait=x', undef],
                 ['handling=lenient', undef]) {
        my($prefer, $applied) = @$row;
        my $stream = open_stream($path, method => 'HEAD', headers => {
            Accept => 'application/json', Prefer => $prefer });
        ok t_cmp($stream->header('Preference-Applied'),
                 defined $applied ? "wait=$applied" : undef, $prefer);
        $stream->close;
    }
    my $began = time;
    ok t_cmp(ask($path, headers => { Prefer => 'wait=1' })->{events}, [],
             'a second');
    ok t_cmp(time - $began >= 0.85, 1, 'and not less');
    my $refused = request('GET', "$path?wait=-1",
                          headers => { Accept => 'application/json' });
    ok t_cmp([$refused->code, $refused->json->{error}], [400, qr/seconds/],
             'in the query it must be a number');
}

sub limits {
    my $path = path('limit');
    my $last = now($path);
    my @ids = map { publish($path, $_)->json->{id} } 1 .. 7;
    my $answer = ask("$path?limit=3", id => $last);
    ok t_cmp(datas($answer), [1 .. 3], 'three');
    ok t_cmp($answer->{last}, $ids[2], 'the third is the last');
    $answer = ask("$path?limit=4", id => $answer->{last});
    ok t_cmp(datas($answer), [4 .. 7], 'the other four');
    ok t_cmp(is_at($answer, $ids[6]), 1, 'that are all');

    # More than are read from the store at a time, and a turn of the hub.
    my $big = 'x' x 3000;
    publish($path, join('', map { "data: $_ $big\n\n" } 1 .. 60),
            'Content-Type' => 'text/event-stream');
    my @got;
    for (1 .. 4) {
        $answer = ask("$path?limit=17&wait=0", id => $answer->{last});
        push @got, map { /^(\d+)/ } @{ datas($answer) };
    }
    ok t_cmp(\@got, [1 .. 60], 'seventeen at a time, none twice, none missing');

    my $stream = poll("$path?limit=2", id => $answer->{last});
    waiting($stream);
    publish($path, join('', map { "data: $_\n\n" } 1 .. 5),
            'Content-Type' => 'text/event-stream');
    $answer = answer($stream);
    my @live = @{ datas($answer) };
    while (@live < 5 && @{ $answer->{events} || [] }) {
        $answer = ask("$path?limit=2&wait=5", id => $answer->{last});
        push @live, @{ datas($answer) };
    }
    ok t_cmp(\@live, [1 .. 5], 'of what comes while it waits, too');

    for my $limit ('0', '10001', 'x', '-1', '1.5', '') {
        my $refused = request('GET', "$path?limit=$limit",
                              headers => { Accept => 'application/json' });
        ok t_cmp([$refused->code, $refused->json->{error}],
                 [400, qr/1 to 10000/], "limit=$limit");
    }
}

sub between_polls {
    my $path = path('between');
    my $stream = poll($path);
    waiting($stream);
    publish($path, 'a');
    my $answer = answer($stream);
    publish($path, $_) for qw(b c);
    $stream->close;
    $stream = poll($path, id => $answer->{last});
    $answer = answer($stream);
    ok t_cmp(datas($answer), ['b', 'c'],
             'what was published between two polls');
    $stream->close;
}

# The event and what follows it are in one chunk at least; where no thread
# waits, the response's end is in the same write.
sub one_write {
    my $path = path('write');
    my $stream = poll($path);
    waiting($stream);
    publish($path, 'a');
    sysread_all($stream) or die;
    my $end = $mpm eq 'event' ? '0\r\n\r\n$' : '';
    ok t_cmp($stream->{raw},
             qr/^[0-9a-f]+\r\n\{"id".*\}\],"last":"\d+"\}\n\r\n$end/s,
             'an event and the end are written together');
    $stream->close;
}

# What comes next, as it comes.
sub sysread_all {
    my $stream = shift;

    my $select = IO::Select->new($stream->sock);
    $select->can_read(10) or return 0;
    $stream->{raw} = '';
    my $n = sysread $stream->sock, $stream->{raw}, 65536;
    return $n;
}

# "last" is the hub's position, also where other channels have moved it.
sub exactness {
    my($path, $other) = (path('exact'), path('exact-other'));
    my $last = now($path);
    my($stream, $id);
    for my $wait (1, 2, 4, 8, 15) {
        my $began = time;
        $stream = poll("$path?wait=$wait", id => $last);
        waiting($stream);
        $id = publish($other, 'not here')->json->{id};
        last if time - $began < 0.8 * $wait; # else it may be over already
    }
    my $answer = answer($stream, 15);
    ok t_cmp([$answer->{events}, $answer->{last} >= $id], [[], 1],
             'the wait ends at the newest id');
    publish($path, 'mine');
    ok t_cmp(datas(ask($path, id => $answer->{last})), ['mine'],
             'and what follows is given');
}

sub gaps {
    my $path = "/poll/short/$$";
    my $last = now($path);
    my @ids = map { publish($path, $_)->json->{id} } 1 .. 4;
    my $answer = ask($path, id => $ids[0]);
    ok t_cmp([map { $_->{event} } @{ $answer->{events} }],
             [qw(sse-gap message message)], 'a gap is an element');
    ok t_cmp(JSON::PP::decode_json($answer->{events}[0]{data}),
             { after => $ids[0], oldest => $ids[2] }, 'that says what is kept');
    ok t_cmp(is_at($answer, $ids[3]), 1, 'and it goes on');

    for my $id ('garbage', '<">', '9' x 15, "0$ids[0]", '"', '\\', 'x' x 300) {
        $answer = ask("$path", id => $id);
        ok t_cmp([$answer->{events}[0]{event}, is_at($answer, $ids[3])],
                 ['sse-gap', 1],
                 substr("a gap at once: $id", 0, 40));
    }
    $answer = ask(path('empty'), id => 'garbage');
    ok t_cmp([scalar @{ $answer->{events} }, $answer->{events}[0]{event},
              is_at($answer, $ids[3])], [1, 'sse-gap', 1],
             'also where nothing is kept');
}

sub several {
    my $last = now('/poll/several');
    my @ids = map { publish("/poll/one/$_", "to $_")->json->{id} }
        qw(poll-a poll-b poll-a);
    my $answer = ask('/poll/several', id => $last);
    ok t_cmp([map { [@$_{qw(id channel data)}] } @{ $answer->{events} }],
             [[$ids[0], 'poll-a', 'to poll-a'],
              [$ids[1], 'poll-b', 'to poll-b'],
              [$ids[2], 'poll-a', 'to poll-a']],
             'several channels, in order');
}

sub replay {
    my $path = "/poll/replay/$$";
    publish($path, $_) for 1 .. 3;
    ok t_cmp(datas(ask("$path?wait=0")), [2, 3], 'SSEReplay holds');
    ok t_cmp(datas(ask($path)), [2, 3], 'also where it would wait');
}

sub heartbeat {
    my $path = "/poll/beat/$$";
    my $stream = poll($path);
    waiting($stream);
    ok t_cmp(eventually {
                 $stream->fill(time + 0.02);
                 $stream->{body} =~ /^\{"events":\[\n/
             }, 1, 'white space while it waits');
    publish($path, 'x');
    ok t_cmp(datas(answer($stream)), ['x'], 'and valid JSON after all');
    $stream->close;
}

sub aged {
    my $path = "/poll/aged/$$";
    my $stream = poll($path);
    ok t_cmp(answer($stream)->{events}, [], 'SSEMaxAge ends it in good order');
    ok t_cmp(access_line(qr/channel=\Q$path\E /), qr/close=max-age /, 'so');
    $stream->close;
}

sub deleted {
    my $path = path('deleted');
    my $last = now($path);
    my $stream = poll($path, id => $last);
    waiting($stream);
    request('DELETE', $path);
    my $answer = answer($stream);
    ok t_cmp([$answer->{events}, $answer->{last}], [[], qr/^\d+$/],
             'a deleted channel ends it in good order');
    ok t_cmp(access_line(qr/GET \Q$path\E HTTP.*X=\+/), qr/close=server /,
             'as such, and the connection stays');
    $stream->close;
}

sub client_gone {
    my $path = path('gone');
    my $last = now($path);
    my $stream = poll($path, id => $last);
    waiting($stream);
    $stream->close;
    ok t_cmp(access_line(qr/ channel=\Q$path\E X=X/),
             qr/close=client /, 'a client that leaves is noticed');
    publish($path, 'a');
    ok t_cmp(datas(ask($path, id => $last)), ['a'], 'and nothing is lost');
}

sub pipelined {
    my $path = path('pipelined');
    my $stream = poll($path);
    waiting($stream);
    $stream->send_bytes("GET $path?wait=0 HTTP/1.1\r\nHost: localhost\r\n"
                        . "Accept: application/json\r\n\r\n");
    sleep 0.2;
    publish($path, 'a');
    ok t_cmp(datas(answer($stream)), ['a'], 'a request behind one that waits');
    $stream->again(undef);
    ok t_cmp(answer($stream)->{events}, [], 'is answered as well');
    $stream->close;
}

# Larger than the queue, and than what is written at a time.
sub large {
    my $path = "/poll/large/$$";
    my $stream = poll($path);
    waiting($stream);
    my $text = join '', map { "$_\n" } 1 .. 200_000;
    publish($path, $text);
    ok t_cmp(answer($stream, 30)->{events}[0]{data} eq $text, 1,
             'an event of ' . length($text) . ' bytes');
    $stream->close;
}

# A client that takes nothing for longer than an ended stream would have: its
# answer waits for it.
sub slow_client {
    my $path = "/poll/large/slow-$$";
    my $stream = poll($path, rcvbuf => 32768);
    waiting($stream);
    my $text = 'z' x 12_000_000;
    publish($path, $text);
    sleep 7;
    ok t_cmp([access_lines(qr/ channel=\Q$path\E /)], [],
             'it is not over while the client sleeps');
    # JSON::PP takes each letter by itself.
    $stream->wait_end(60);
    my $at = index $stream->{body}, $text;
    substr $stream->{body}, $at, length $text, 'all' if $at >= 0;
    ok t_cmp(answer($stream)->{events}[0]{data}, 'all',
             'and then the client has all of it');
    $stream->close;
}

# The queue overruns while the poll waits: the store has the rest.
sub burst {
    my $path = "/poll/large/burst-$$";
    my $stream = poll($path);
    waiting($stream);
    my $big = 'y' x 2000;
    publish($path, join('', map { "data: $_ $big\n\n" } 1 .. 300),
            'Content-Type' => 'text/event-stream');
    my $answer = answer($stream, 30);
    my @got = map { /^(\d+)/ } @{ datas($answer) };
    while (@got < 300 && @{ $answer->{events} || [] }) {
        $answer = ask("$path?wait=5", id => $answer->{last});
        push @got, map { /^(\d+)/ } @{ datas($answer) };
    }
    ok t_cmp(\@got, [1 .. 300], 'a burst larger than SSEQueue');
    $stream->close;
}

sub data_as_is {
    my $path = path('data');
    my $last = now($path);
    my $text = "\"\\/\t\x01\x7f<>&' \xc3\xa9 \xe2\x80\xa8 \xf0\x9f\x98\x80";
    publish($path, "a\r\nb\rc\n\n$text");
    publish($path, '{"data":{"a":[1,"x"]}}',
            'Content-Type' => 'application/json');
    publish($path, '{"data":""}', 'Content-Type' => 'application/json');
    my $want = "a\nb\nc\n\n$text";
    utf8::decode($want);
    ok t_cmp(datas(ask($path, id => $last)), [$want, '{"a":[1,"x"]}', ''],
             'data as an EventSource has it');
}

sub presence_channel {
    my $path = '/poll/who/' . $$;
    my $answer = ask("$path?presence");
    ok t_cmp([map { $_->{event} } @{ $answer->{events} }], ['presence'],
             'who is there');
    ok t_cmp($answer->{events}[0]{channel}, $path, 'on which channel');
    my $stream = poll("$path?presence", id => $answer->{last});
    waiting($stream);
    my $member = open_stream($path);
    $member->head;
    my $joined = answer($stream);
    ok t_cmp([map { [@$_{qw(event channel)}] } @{ $joined->{events} }],
             [[join => $path]], 'somebody comes');
    $member->close;
    ok t_cmp([map { $_->{event} }
              @{ ask("$path?presence", id => $joined->{last})->{events} }],
             ['leave'], 'and goes');
    $stream->close;
}

sub other_origin {
    my %origin = (Origin => 'https://app.example');
    my $answer = request('OPTIONS', '/poll/other/x', headers => {
        %origin, 'Access-Control-Request-Method' => 'GET',
        'Access-Control-Request-Headers' => 'prefer' });
    ok t_cmp($answer->header('Access-Control-Allow-Headers'), qr/\bPrefer\b/,
             'pages of other origins may send Prefer');
    my $stream = poll('/poll/other/x?wait=0', headers => { %origin });
    ok t_cmp($stream->header('Access-Control-Expose-Headers'),
             'Retry-After, Preference-Applied', 'and read what was applied');
    ok t_cmp($stream->header('Vary'), qr/^Origin, ?Accept$/, 'Vary names both');
}
