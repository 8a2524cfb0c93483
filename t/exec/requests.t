# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# sse-exec: what a program is given, and what requests are answered that get
# none.

use strict;
use warnings FATAL => 'all';

use File::Basename qw(dirname);
use JSON::PP ();

use Apache::Test qw(-withtestmore);

use lib dirname(__FILE__) . '/../lib';
use SSETest;
use SSETestExec;

plan tests => 54;

# What a program says of itself.
sub shown {
    my($path, %opt) = @_;

    my $stream = open_stream($path, %opt);
    my $event = $stream->next_event or return {};
    return JSON::PP->new->utf8->decode($event->{data});
}

# --- arguments: no shell

my $text = q{a "b" 'c'; $(id) `id` \\ | > x & * ~};
my $shown = shown('/exec/args?' . $text =~ s/(\W)/sprintf '%%%02X', ord $1/ger);
is_deeply $shown->{args},
    ['show=1', $text, 'a  b;c', q{'d' "e"}, '$HOME', '*', '`id`', '/exec/args|'],
    'each argument is one, whatever is in it';
$shown = shown("/exec/args?a%0Ab%0A");
is $shown->{args}[1], "a\nb\n", 'line ends too';
$shown = shown('/exec/args');
is $shown->{args}[1], '', 'or nothing at all';
my $answer = request('GET', '/exec/args?a%00b');
isnt $answer->code, 502, 'a NUL is decoded, or refused, but nothing breaks';

# --- environment

$shown = shown('/exec/act?show=1&x=1', headers =>
               { 'Last-Event-ID' => '42', 'X-Color' => 'red', Cookie => 'a=b',
                 Authorization => 'Basic eDp5', Proxy => 'http://evil/' });
my $env = $shown->{env};
my %wanted = (REQUEST_METHOD => 'GET', QUERY_STRING => 'show=1&x=1',
              REQUEST_URI => '/exec/act?show=1&x=1', REMOTE_ADDR => '127.0.0.1',
              HTTP_X_COLOR => 'red', HTTP_COOKIE => 'a=b',
              GATEWAY_INTERFACE => 'CGI/1.1', SSE_CHANNEL => '/exec/act',
              SSE_LAST_EVENT_ID => '42');
is $env->{$_}, $wanted{$_}, "the environment has $_" for sort keys %wanted;
ok !exists $env->{HTTP_AUTHORIZATION}, 'but not the client\'s password';
ok !exists $env->{HTTP_PROXY}, 'nor what looks like HTTP_PROXY';
ok $env->{PATH}, 'it has a PATH';
like $shown->{cwd}, qr{/exec/bin$}, 'the working directory is the program\'s';
is $shown->{group}, $shown->{pid}, 'it leads a process group';
is_deeply [sort keys %{ $shown->{fds} }], [0, 1, 2],
    'no descriptor but the first three';
is $shown->{fds}{0}, '/dev/null', 'and nothing to read';
like $shown->{fds}{1}, qr/^pipe:/, 'it writes to a pipe';
like $shown->{mask}, qr/^SigBlk:\s*0+\s*$/, 'no signal is blocked';
$shown = shown('/exec/act?show=1');
ok !exists $shown->{env}{SSE_LAST_EVENT_ID}, 'who has seen nothing has no id';
$shown = shown('/exec/channel?show=1');
is $shown->{env}{SSE_CHANNEL}, 'job one job-GET', 'SSEChannel names the channels';
$shown = shown('/exec/of_all?show=1');
is $shown->{env}{SSE_CHANNEL}, 'of all', 'one that is shared has its own alone';
$shown = shown('/exec/act?show=1&last-event-id=7');
is $shown->{env}{SSE_LAST_EVENT_ID}, 7, 'an id in the query';

# --- what cannot be run

for (['/exec/missing', qr/the program, or its interpreter, is not there/,
      qr{No such file or directory.*SSECommand /no/such/program: the program}],
     ['/exec/forbidden', qr/may not execute the program/,
      qr{Permission denied.*SSECommand \S*/exec\.conf\.in: }],
     ['/exec/no_interpreter', qr/a script begins with #!/,
      qr{SSECommand \S*/no_interpreter: the program is none}],
     ['/exec/none', qr/SSECommand in the server's configuration names one/,
      qr{this location has no SSECommand}],
     ['/exec/bad_argument', qr/argument 1 of the program could not be made/,
      qr{/no/such/file}]) {
    my($path, $said, $logged) = @$_;
    my $answer = request('GET', $path);
    is $answer->code, 500, "$path: 500";
    like $answer->json->{error}, $said, 'in words';
    ok error_line($logged), 'and the log says why';
}
$answer = request('GET', '/exec/args?' . 'x' x 7000, headers =>
                  { map { ("X-$_" => 'y' x 8000) } 1 .. 12 });
is $answer->code, 200, 'large arguments and headers are no trouble';

# --- methods and types

$answer = request('HEAD', '/exec/act?say=x');
is $answer->code, 200, 'HEAD: 200';
is $answer->header('content-type'), 'text/event-stream', 'of events';
for my $method (qw(POST DELETE PUT)) {
    $answer = request($method, '/exec/act');
    is $answer->code, 405, "$method: 405";
    is $answer->header('allow'), 'GET, HEAD, OPTIONS', 'and what is allowed';
}
is request('OPTIONS', '/exec/act')->code, 204, 'OPTIONS: 204';
for my $accept ('application/json', 'text/html') {
    $answer = request('GET', '/exec/act?say=x', headers => { Accept => $accept });
    is $answer->code, 406, "Accept: $accept: 406";
}
like $answer->json->{error}, qr/SSECommandShare On/, 'which says what can be polled';
