# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# sse-exec: what a program writes is what its client gets, whatever it writes.

use strict;
use warnings FATAL => 'all';

use File::Basename qw(dirname);
use Time::HiRes qw(time);

use Apache::Test qw(-withtestmore);

use lib dirname(__FILE__) . '/../lib';
use SSETest;
use SSETestExec;

plan tests => 35;

# --- lines

my $stream = act('say=one', 'say=', "say=two \xc3\xa4", 'raw=last');
is $stream->status, 200, 'a program\'s stream: 200';
is $stream->header('content-type'), 'text/event-stream', 'of events';
is $stream->header('cache-control'), 'no-store', 'not to be stored';
is $stream->next_block->{retry}, 300, 'first of all SSERetry';
is_deeply [said($stream)], ['one', '', "two \xc3\xa4", 'last'],
    'each line is an event, the last one without its end, too';
ok $stream->is_complete, 'and the response is complete';
ok access_line(qr{"GET /exec/act\?say=one&[^"]*" 200 .*close=complete .*events=4 channel=/exec/act }),
    'the log says so, with the number of events';

is_deeply [said(act("raw=a\r\nb\r\n"))], [qw(a b)], 'CRLF';
is_deeply [said(act("raw=\xff-\xc3\n", "raw=a\0b\n"))],
    ["\xef\xbf\xbd-\xef\xbf\xbd", "a\xef\xbf\xbdb"],
    'broken UTF-8 and NULs are replaced';
is_deeply [said(act({ path => '/exec/small' }, 'say=0123456789abcdefghi'))],
    [qw(0123456789abcdef ghi)], 'a line over SSEMaxEventSize is cut';
# Once a minute: another test file may have had it said, here and below.
ok eventually { whole_log() =~ m{/act: a line of its output is longer than SSEMaxEventSize} },
    'which the log says';

$stream = act('fill=10485760', 'say=');
my @data = said($stream, 60);
is length(join '', @data), 10485760, 'a line of 10 MB comes whole';
is scalar(grep { length != 65536 } @data), 0, 'in events of 64 KB';

$stream = act('say=early', 'sleep=1', 'say=late', 'wait=1');
is $stream->next_event->{data}, 'early', 'a line comes when it is written,';
is $stream->next_event->{data}, 'late', 'and so does the next';
$stream->close;

# --- event streams

$stream = act({ path => '/exec/sse' },
              "raw=id: 7\nevent: tick\ndata: a\ndata: b\n\n",
              "raw=event: sse-gap\ndata: x\n\n", "raw=data: \xff\n\n",
              "raw=retry: 700\ndata: c\n\n", "raw=data: torn\n");
$stream->next_block;
my $event = $stream->next_event;
is_deeply [@$event{qw(id event data)}], ['7', 'tick', "a\nb"],
    'the format sse: id, name and data';
$event = $stream->next_event;
is_deeply [@$event{qw(retry data)}], [700, 'c'],
    'and retry; what is broken or reserved is left out';
ok !$stream->next_event && $stream->is_complete, 'as is what is not finished';
ok eventually { whole_log() =~ m{/act: an event of its output has a name that begins with sse-} },
    'the log tells of a reserved name,';
ok eventually { whole_log() =~ m{/act: an event of its output cannot be sent} },
    'of what cannot be sent,';
ok eventually { whole_log() =~ m{/act: its output ended within an event} },
    'of a torn event';

# --- its end

is_deeply [said(act('say=a', 'exit=3'))], ['a', 'sse-error: {"exit":3}'],
    'an exit other than 0 is told';
ok eventually { whole_log() =~ m{/act: a program of one stream has ended with} },
    'and the log says so, once a minute';
is_deeply [said(act('say=a', 'signal=11'))], ['a', 'sse-error: {"signal":11}'],
    'and a signal';
is_deeply [said(act('exit=0'))], [], 'a program that ends at once';
is_deeply [said(act('exit=1'))], ['sse-error: {"exit":1}'], 'and fails at once';
$stream = act('say=a', 'close=1', 'sleep=1', 'exit=2');
is_deeply [said($stream)], ['a', 'sse-error: {"exit":2}'],
    'one that closes its output before it ends';

my $mark = mark();
is_deeply [said(act("say=$mark", 'keep=60', 'say=b'))], [$mark, 'b'],
    'one whose child keeps the pipe has ended';
ok ends($mark), 'and that child is ended';
$mark = mark();
is_deeply [said(act("say=$mark", 'escape=60', 'say=b'))], [$mark, 'b'],
    'the same where the child is in a session of its own';
ok ends($mark), 'which does not save it';

# --- standard error

$mark = mark();
is_deeply [said(act("err=$mark \x1b[31m\"red\"", 'say=x'))], ['x'],
    'standard error is not sent';
like error_line(qr/\Q$mark\E/), qr{/act: \Q$mark\E \\x1b\[31m}i,
    'but logged, escaped';
$mark = mark();
my $from = time;
said(act("err=$mark", 'errors=5000', 'say=x'));
my $seconds = 2 + int(time - $from); # in which it has written, at most
my @lines;
ok eventually { @lines = error_lines(qr{/act: (?:\d+) more lines of its standard error}) },
    'what is too much is counted';
cmp_ok scalar(error_lines(qr{/act: error \d+})), '<=', 10 * $seconds,
    'and left out';
