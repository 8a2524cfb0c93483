# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# The main job over HTTP/2: two streams and a publisher on one connection's
# protocol, by curl.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use IO::Select ();
use SSETest;
use Time::HiRes qw(time);

plan tests => 11, need need_module('mod_sse', 'mod_ssl', 'mod_http2'),
    { 'mod_http2 needs a threaded MPM' => ($ENV{SSE_MPM} // '') ne 'prefork' };

my $port = Apache::Test::config()->{vhosts}{mod_sse_ssl}{port};
my $url = "https://localhost:$port/events/http2-$$";
my @curl = qw(curl -skN --http2 --max-time 120);

# What the program has said up to $re, or all of it after the time.
sub read_until {
    my($curl, $re, $timeout) = @_;

    my $select = IO::Select->new($curl->{out});
    my $end = time + $timeout;
    while ($curl->{buf} !~ $re) {
        my $left = $end - time;
        last if $left <= 0 || !$select->can_read($left);
        last unless sysread $curl->{out}, $curl->{buf}, 8192,
            length $curl->{buf};
    }
    return $curl->{buf};
}

sub start_curl {
    my $pid = open my $out, '-|', @curl, @_ or die "curl: $!";
    return { pid => $pid, out => $out, buf => '' };
}

# One curl, one connection, two streams.
my $two = start_curl('-Z', "$url-a", "$url-b");
my $one = start_curl('-D', '-', "$url-a");
ok t_cmp(read_until($one, qr/\r\n\r\n.*?\n\n/s, 20), qr{^HTTP/2 200 },
         'a stream over HTTP/2');
ok t_cmp($one->{buf}, qr{^content-type: text/event-stream}m, 'its type');
ok t_cmp($one->{buf}, qr{\r\n\r\nretry: 2000\n\n},
         'the first bytes come at once');
ok t_cmp(read_until($two, qr/(?:retry.*?){2}/s, 20),
         qr/(?:retry: 2000\n\n){2}/,
         'two more on one connection');

my $answer = join '', do {
    open my $fh, '-|', @curl, '-d', 'data=first', '-w', ' %{http_version}',
        "$url-a" or die "curl: $!";
    <$fh>;
};
ok t_cmp($answer, qr/^\{"channel":.*,"id":"\d+"\}\s* 2$/,
         'publishing over HTTP/2');
ok t_cmp(read_until($one, qr/data: first\n\n/, 20), qr/\ndata: first\n\n/,
         'the event is there');
ok t_cmp(read_until($two, qr/data: first\n\n/, 20), qr/\ndata: first\n\n/,
         'also among two');
publish("/events/http2-$$-b", 'second', module => 'mod_sse');
ok t_cmp(read_until($two, qr/data: second\n\n/, 20), qr/\ndata: second\n\n/,
         'published over HTTP/1.1, received over HTTP/2');
ok t_cmp(read_until($one, qr/second/, 0.2), qr/first\n\n\z/,
         'by the subscribers of its channel alone');

kill TERM => $one->{pid};
close $one->{out};
ok t_cmp(access_line(qr/GET \S+http2-$$-a HTTP\/2/, 5),
         qr/close=(?:client|reset) .* events=1 /, 'its leaving is seen');
kill TERM => $two->{pid};
close $two->{out};
ok t_cmp(eventually {
    access_lines(qr/GET \S+http2-$$-[ab] HTTP\/2.*close=(?:client|reset) /) == 3
}, 1, 'and that of both on the other connection');
