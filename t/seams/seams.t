# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# A store provider, a format, a listener and a front end are added by adding
# files: the module is built from its own objects and those of t/seams.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestHttpd;
use SSETestWait ();

# The store is the memory of a single child.
my $numbers = "StartServers 1\nServerLimit 1\nThreadsPerChild 16\n"
    . "MinSpareThreads 1\nMaxSpareThreads 16\nMaxRequestWorkers 16\n";

my($module) = $ENV{SSE_MODULE} =~ m{\A(.*)/};
$module .= '/seams/mod_sse.so';

plan tests => 36, need need_module('mod_sse'),
    { 'one MPM is enough' => ($ENV{SSE_MPM} || 'event') eq 'event' };

my $httpd = SSETestHttpd->new(
    mpm => $numbers, module => $module,
    conf => "SSEStore seams\n<Location /seams/>\nSetHandler seams\n"
        . "</Location>\n");
my $port = $httpd->port;

# The next line of a stream in the format.
sub line_of {
    my($stream) = @_;

    my $end = SSETestWait::patience(5);
    1 while $stream->{body} !~ /\n/ && $stream->fill($end);
    return $stream->{body} =~ s/\A(.*?)\n// ? $1 : undef;
}

# Whether the log says so, once.
sub logs {
    my($re, $what) = @_;

    my @lines;
    eventually(sub { @lines = $httpd->lines($re) });
    ok t_cmp(scalar @lines, 1, $what);
}

ok t_cmp($httpd->start, 1, 'it starts');
logs(qr/the events of seams are in memory/, 'the store has its own remark');

# The front end opens a stream in the format, fed by the store.
my $stream = open_stream('/seams/a', port => $port);
my($status, $headers) = $stream->head;
ok t_cmp($status, 200, 'a stream of the front end');
ok t_cmp($headers->{'content-type'}, qr{^text/plain}, 'of the type of the format');
ok t_cmp($headers->{'x-seams'}, 'a format', 'with its headers');
ok t_cmp(line_of($stream), 'begin', 'and its first bytes');
logs(qr{seams: opened /seams/a$}, 'the listener is told that it has opened');
logs(qr{seams: first of /seams/a$}, 'and that the channel has a subscriber');

ok t_cmp(request('POST', '/seams/a?one', port => $port)->code, 204,
         'publishing by the front end');
ok t_cmp(line_of($stream), 'one', 'the event, in the format');
logs(qr/seams: published one$/, 'the listener is told of it');
ok t_cmp(request('POST', '/seams/b?other', port => $port)->code, 204,
         'to another channel');
ok t_cmp(request('POST', '/seams/a?two', port => $port)->code, 204,
         'to the first one');
ok t_cmp(line_of($stream), 'two', 'which alone reaches the stream');

# The store refuses in its own words, whoever publishes.
ok t_cmp(request('POST', '/seams/a?too-much', port => $port)->code, 507,
         'what the store refuses');
logs(qr/publishers are refused: .*publish less to seams/,
     'is logged with the advice of the store');
my $answer = publish('/c/x', 'too-much', port => $port);
ok t_cmp($answer->code >= 500, 1, 'the same by the front end sse');
ok t_cmp($answer->body, qr/seams has enough/, 'is answered in its words');
ok t_cmp((scalar $httpd->lines(qr/seams: published too-much/)), 0,
         'the listener is not told of it');

# The front end sse, with the same store and listener, and its own format.
my $sse = open_stream('/c/x', port => $port);
($status, $headers) = $sse->head;
ok t_cmp($status, 200, 'a stream of the front end sse');
ok t_cmp($headers->{'content-type'}, qr{^text/event-stream}, 'of its own type');
$answer = publish('/c/x', 'three', port => $port);
ok t_cmp($answer->code, 200, 'published');
my $event = $sse->next_event(5);
ok t_cmp($event && $event->{data}, 'three', 'and received');
ok t_cmp($event && $event->{id}, $answer->json->{id}, 'with the id of the store');
logs(qr/seams: published three$/, 'the listener is told of it');

# Ends.
ok t_cmp(request('DELETE', '/c/x', port => $port)->code, 200,
         'a channel is deleted');
ok t_cmp($sse->wait_end(5), 1, 'which ends its stream');
logs(qr{seams: closed /c/x$}, 'the listener is told of the end');
$stream->reset;
logs(qr{seams: closed /seams/a$}, 'also of one that its client has ended');
logs(qr{seams: last of /seams/a$}, 'and that the channel has no subscriber');

# A store that knows neither its size nor its channels.
my $status_json = request('GET', '/status', port => $port)->json;
ok t_cmp(exists $status_json->{store} && !defined $status_json->{store}, 1,
         'a size that is not known');
ok t_cmp(request('GET', '/status?format=metrics', port => $port)->body
             !~ /modsse_store_/, 1, 'is no metric');
ok t_cmp(request('GET', '/status?format=html', port => $port)->body,
         qr/data-of="store.bytes">\xe2\x80\x93</, 'and not on the page');
ok t_cmp(request('GET', '/status?channels=', port => $port)->code, 501,
         'channels are not listed');
my $on;
eventually {
    $on = request('GET', '/status?channel=/c/x', port => $port)->json;
    $on->{streams} == 0
};
ok t_cmp($on->{streams}, 0, 'but one can be asked for who is on it');

my @complaints = $httpd->complaints(qr/publishers are refused/);
ok t_cmp("@complaints", '', 'nothing else is logged');
