# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Output filters that wait: a stream through one takes a thread, and no other
# stream of the child waits for it.  Who is known not to wait takes none.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestClose qw(slowly);
use SSETestHttpd;
use SSETestNumbers qw(numbers);
use Time::HiRes qw(sleep time);

use constant LIMITED => 10;

# One child, so that all streams are in it.
my %mpm = (
    event => "StartServers 1\nServerLimit 1\nThreadsPerChild 32\n"
        . "MinSpareThreads 1\nMaxSpareThreads 32\nMaxRequestWorkers 32\n"
        . "AsyncRequestWorkerFactor 20\n",
    worker => "StartServers 1\nServerLimit 1\nThreadsPerChild 48\n"
        . "MinSpareThreads 1\nMaxSpareThreads 48\nMaxRequestWorkers 48\n",
);
my $is_event = ($ENV{SSE_MPM} || 'event') eq 'event';

plan tests => 32, need_module('mod_sse', 'mod_deflate', 'mod_filter',
                              'mod_ratelimit', 'mod_ext_filter');

# Not the suite's.
my $others = join '', map { "LoadModule ${_}_module $ENV{LIBEXECDIR}/mod_$_.so\n" }
    qw(brotli buffer substitute charset_lite xml2enc);

# 4 KB a second; a program that says nothing for a while.
my $httpd = SSETestHttpd->new(
    mpm => $mpm{ $ENV{SSE_MPM} || 'event' },
    modules => [qw(deflate filter ratelimit ext_filter)],
    conf => $others . <<'EOI');
Timeout 30
ExtFilterDefine deaf mode=output cmd="/bin/sleep 14"
FilterDeclare ours
FilterProvider ours DEFLATE "true"
FilterDeclare deflate
FilterProvider deflate RATE_LIMIT "true"
<LocationMatch "^/to/(?<NAME>.+)$">
    SetHandler sse
    SSEPublish On
    SSEChannel "%{env:MATCH_NAME}"
</LocationMatch>
<Location "/c/limited">
    SetOutputFilter RATE_LIMIT
    SetEnv rate-limit 4
</Location>
<Location "/c/off">
    SetOutputFilter RATE_LIMIT
</Location>
<Location "/c/deaf">
    SetOutputFilter deaf
</Location>
<Location "/c/deflate">
    SetOutputFilter DEFLATE
</Location>
<Location "/c/brotli">
    SetOutputFilter BROTLI_COMPRESS
</Location>
<Location "/c/inflate">
    SetOutputFilter DEFLATE;INFLATE
</Location>
<Location "/c/buffer">
    SetOutputFilter BUFFER
</Location>
<Location "/c/substitute">
    SetOutputFilter SUBSTITUTE
    Substitute s/foo/bar/
</Location>
<Location "/c/charset">
    CharsetSourceEnc ISO-8859-1
    CharsetDefault UTF-8
    CharsetOptions ImplicitAdd
</Location>
<Location "/c/xml2enc">
    SetOutputFilter xml2enc
</Location>
<Location "/c/type-deflate">
    AddOutputFilterByType DEFLATE text/event-stream
</Location>
<Location "/c/type-limit">
    AddOutputFilterByType RATE_LIMIT text/event-stream
    SetEnv rate-limit 1000
</Location>
<Location "/c/type-other">
    AddOutputFilterByType RATE_LIMIT text/html
    SetEnv rate-limit 1000
</Location>
<Location "/c/declared">
    FilterChain ours
</Location>
<Location "/c/trusted">
    FilterChain ours
    SSETrustFilter other ours
</Location>
<Location "/c/same-name">
    FilterChain deflate
    SetEnv rate-limit 1000
</Location>
EOI
ok $httpd->start;

limited();
deaf();
who_takes_a_thread();
my @complaints = $httpd->complaints(qr/ext_filter/);
ok t_cmp("@complaints", '', 'nothing is wrong in the log');
ok t_cmp($httpd->stop, 1, 'it stops');

sub stream {
    my $stream = open_stream("/c/$_[0]", port => $httpd->port, @_[1 .. $#_]);
    $stream->next_block(slowly(5)) or die "no stream begins at $_[0]";
    return $stream;
}

# By a way without filters.
sub send_to {
    my($channel, $text) = @_;
    return publish("/to/$channel", $text, port => $httpd->port)->code;
}

# What another stream gets while those are waiting, and how it ends.
sub is_undisturbed {
    my($name, $other) = @_;

    my $began = time;
    ok t_cmp(send_to('free', $name), 200, "$name: an event for another stream");
    ok t_cmp(($other->next_event(slowly(10)) // {})->{data}, $name,
             "$name: is delivered meanwhile");
    my $new = stream('free');
    $new->close;
    ok t_cmp(time - $began < slowly(10), 1, "$name: a new one begins");
}

# 60 KB take 15 s.
sub limited {
    my $other = stream('free');
    my @limited = map { stream('limited') } 1 .. LIMITED;
    my $text = 'x' x 60_000;
    my $began = time;
    ok t_cmp(send_to('limited', $text), 200, 'RATE_LIMIT: a large event');
    is_undisturbed('RATE_LIMIT', $other);
    my @had = map { ($_->next_event(slowly(25)) // {})->{data} // '' } @limited;
    my $took = time - $began;
    ok t_cmp((grep { $_ eq $text } @had) + 0, LIMITED,
             'RATE_LIMIT: all have it in the end');
    ok t_cmp($took > 13, 1, "RATE_LIMIT: at the rate they may: $took s");
    $_->close for @limited, $other;
    ok t_cmp(ends_are_told(), 1, 'RATE_LIMIT: their ends are told');
}

# At the response's end mod_ext_filter waits for what its program still writes.
sub deaf {
    my $other = stream('free');
    my $deaf = open_stream('/c/deaf', port => $httpd->port);
    eventually(sub { status()->{streams} == 2 }) or die 'no stream';
    ok t_cmp(request('DELETE', '/to/deaf', port => $httpd->port)->code, 200,
             'a program: its stream ends');
    is_undisturbed('a program', $other);
    $_->close for $deaf, $other;
    ok t_cmp(ends_are_told(), 1, 'a program: their ends are told');
}

sub status { return numbers(port => $httpd->port) }

sub ends_are_told { return eventually(sub { status()->{streams} == 0 }, 30) }

# The filter for which a stream takes a thread, as the log has it.
sub takes_thread {
    my $channel = shift;

    my $re = qr/occupies a thread, as its output filter (\S+) may block/;
    my $before = () = $httpd->lines($re);
    # mod_xml2enc keeps the first bytes back.
    my $stream = open_stream("/c/$channel", port => $httpd->port,
                             headers => { 'Accept-Encoding' => 'gzip' });
    eventually(sub { status()->{streams} == 1 }) or die 'no stream';
    my @lines = $httpd->lines($re);
    $stream->close;
    ends_are_told();
    return @lines > $before && $lines[-1] =~ $re ? $1 : 'none';
}

sub who_takes_a_thread {
    my @notices = $httpd->lines(qr/sse:notice.*occupies a thread.*rate_limit/);
    ok t_cmp(scalar @notices, $is_event ? 1 : 0, 'a notice, once in a child');
    my @lines = $httpd->lines(qr/occupies a thread.*SSETrustFilter/);
    ok t_cmp(scalar @lines, $is_event ? LIMITED + 1 : 0,
             'and a line for each stream');

    my %filter = (free => 'none', off => 'none', deflate => 'none',
                  'type-deflate' => 'none', 'type-other' => 'none',
                  trusted => 'none', 'type-limit' => 'BYTYPE:RATE_LIMIT',
                  declared => 'ours', 'same-name' => 'deflate',
                  (map { $_ => 'none' }
                       qw(brotli inflate buffer substitute charset)),
                  xml2enc => 'xml2enc');
    for my $channel (sort keys %filter) {
        ok t_cmp(takes_thread($channel), $is_event ? $filter{$channel} : 'none',
                 "$channel: what takes a thread");
    }
}
