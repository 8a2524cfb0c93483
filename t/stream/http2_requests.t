# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Requests over HTTP/2 to locations of streams get what they would get over
# HTTP/1.1, whatever becomes of them, and one line in the access log each.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use IO::Select ();
use SSETest;
use Time::HiRes qw(time);

plan tests => 47, need need_module('mod_sse', 'mod_ssl', 'mod_http2',
                                   'mod_headers', 'mod_deflate'),
    { 'mod_http2 needs a threaded MPM' => ($ENV{SSE_MPM} // '') ne 'prefork' };

my $port = Apache::Test::config()->{vhosts}{mod_sse_ssl}{port};
my @curl = qw(curl -skNi --http2 --max-time 120);
my %logged;

$_->() for (\&stream, \&deflate, \&user, \&refused, \&head, \&poll, \&page,
            \&not_ours);
all_are_logged_once();

sub path { return "/stream/h2/$_[0]-$test_id" }

# Its line in the log is to have that.
sub logs {
    my($path, $re) = @_;

    $logged{$path} = $re;
}

sub start {
    my($path, @args) = @_;

    my $pid = open my $out, '-|', @curl, @args, "https://localhost:$port$path"
        or die "curl: $!";
    return { pid => $pid, out => $out, buf => '' };
}

sub answer {
    my $curl = start(@_);

    local $/;
    my $text = readline $curl->{out};
    close $curl->{out};
    return $text // '';
}

# All that a stream has sent when it has sent $re, or all of it after the time.
sub opened {
    my($path, $re, @args) = @_;

    my $curl = start($path, @args);
    my $select = IO::Select->new($curl->{out});
    my $end = SSETestWait::patience(20);
    while ($curl->{buf} !~ $re && $end > time) {
        next unless $select->can_read($end - time);
        last unless sysread $curl->{out}, $curl->{buf}, 8192,
            length $curl->{buf};
    }
    # It opens behind its first bytes.
    error_line(qr/ open on \Q$path\E$/m);
    kill TERM => $curl->{pid};
    close $curl->{out};
    return $curl->{buf};
}

sub stream {
    my $path = path('plain');
    my $text = opened($path, qr/\n\n/, '-H', 'X-Early: twice');

    ok t_cmp($text, qr{\AHTTP/2 200 .*^retry: \d+\n\n}ms, 'a stream');
    ok t_cmp($text, qr{^content-type: text/event-stream\r$}m, 'its type');
    ok t_cmp($text, qr{^date: .* GMT\r$}m, 'httpd\'s own headers');
    ok t_cmp($text, qr{^x-set: set\r$}m, 'Header');
    ok t_cmp($text, qr{^x-always: always\r$}m, 'Header always');
    ok t_cmp($text, qr{^x-env: on\r$}m, 'what mod_http2 tells by variables');
    ok t_cmp($text, qr{^x-early: twice, once\r$}m,
             'what is done to a request early is done once');
    logs($path, qr/ 200 \d+ close=(?:client|reset) /);
}

sub deflate {
    my $path = path('deflate/stream');
    my $text = opened($path, qr/\r\n\r\n.*\n\n/s, '--compressed');

    ok t_cmp($text, qr{^content-encoding: gzip\r$}m, 'DEFLATE');
    ok t_cmp($text, qr{\r\n\r\nretry: \d+\n\n}, 'is what it should be');
    logs($path, qr/ 200 \d+ close=(?:client|reset) /);
}

sub user {
    my($path, $open) = map { path("user/$_") } qw(nobody ann);
    my $text = answer($path);

    ok t_cmp($text, qr{\AHTTP/2 401 }, 'nobody');
    ok t_cmp($text, qr{^www-authenticate: Basic realm="stream"\r$}m,
             'is asked for a password');
    ok t_cmp($text, qr{^x-always: always\r$}m, 'with the header');
    ok t_cmp($text !~ /^x-set:/m, 1, 'and not the other');
    ok t_cmp($text, qr{<title>401 Unauthorized</title>}, 'and the page');
    logs($path, qr/ 401 \d+ close=- /);
    ok t_cmp(opened($open, qr/\n\n/, '-u', 'ann:secret'), qr/^retry:/m,
             'somebody comes in');
    logs($open, qr/ close=(?:client|reset) .* user=ann /);
}

sub refused {
    my($text, $page, $missing, $accept) =
        map { path("denied/$_") } qw(text page/x missing/x accept);

    my $got = answer($text);
    ok t_cmp($got, qr{\AHTTP/2 403 .*\r\n\r\nno entry\z}s, 'ErrorDocument');
    logs($text, qr/ 403 8 close=- /);
    $got = answer($page);
    ok t_cmp($got, qr{\AHTTP/2 403 }, 'as a page');
    ok t_cmp($got, qr{\r\n\r\n.*welcome}s, 'is that page');
    logs($page, qr/ 403 \d+ close=- /);
    $got = answer($missing);
    ok t_cmp($got, qr{\AHTTP/2 403 }, 'which is missing');
    ok t_cmp($got, qr{<title>403 Forbidden</title>}, 'is the first error');
    logs($missing, qr/ 404 - close=- /);
    $got = answer($accept, '-H', 'Accept: text/event-stream');
    ok t_cmp($got, qr{\AHTTP/2 403 .*\r\n\r\nno entry\z}s, 'to an EventSource');
    logs($accept, qr/ 403 8 close=- /);
    my $type = path('type');
    $got = answer($type, '-H', 'Accept: image/png');
    ok t_cmp($got, qr{\AHTTP/2 406 .*\r\n\r\n\{"error":}s, 'of a wrong type');
    logs($type, qr/ 406 \d+ close=complete /);
}

sub head {
    my $path = path('head');
    my $text = answer($path, '-I');

    ok t_cmp($text, qr{\AHTTP/2 200 .*\r\n\r\n\z}s, 'HEAD');
    ok t_cmp($text, qr{^content-type: text/event-stream\r$}m, 'has its type');
    ok t_cmp($text !~ /^content-length:/m, 1, 'and no length');
    logs($path, qr/^\S+ "HEAD .* 200 - close=complete /);
}

sub poll {
    my($path, $long) = map { path($_) } qw(look wait);
    my @json = ('-H', 'Accept: application/json', '-H');
    my $text = answer($path, @json, 'Prefer: wait=0');

    ok t_cmp($text, qr{\AHTTP/2 200 .*\r\n\r\n\{"events":\[\],.*\}\s*\z}s,
             'a look');
    ok t_cmp($text, qr{^content-type: application/json\r$}m, 'its type');
    logs($path, qr/ 200 \d+ close=poll /);
    $text = answer($long, @json, 'Prefer: wait=1');
    ok t_cmp($text, qr{\AHTTP/2 200 .*\r\n\r\n\{"events":\[\],.*\}\s*\z}s,
             'a long poll');
    logs($long, qr/ 200 \d+ close=poll /);
}

sub page {
    my $path = "/stream/status?$test_id";
    my $text = answer($path, '-H', 'Range: bytes=0-9',
                      '-H', 'Accept: application/json');
    my($length) = $text =~ /^content-length: (\d+)\r$/m;

    ok t_cmp($text, qr{\AHTTP/2 200 }, 'numbers');
    ok t_cmp(($text =~ /\r\n\r\n(.*)\z/s ? length $1 : 0), $length // 'none',
             'all of them');
    logs($path, qr/ 200 \d+ close=- /);
}

# A shadow of it would be dropped.
sub not_ours {
    my $path = path('other/missing');
    my @stream = ('-H', 'Accept: text/event-stream');

    ok t_cmp(answer($path, @stream), qr{\AHTTP/2 404 },
             'what asks for a stream where there is none');
    logs($path, qr/ 404 \d+ close=complete /);
    $path = "/index.html?$test_id";
    ok t_cmp(answer($path, @stream), qr{\AHTTP/2 200 },
             'or where there is a file');
    logs($path, qr/ 200 \d+ close=- /);
}

# Another line would have come by the time the last one has.
sub all_are_logged_once {
    for my $path (sort keys %logged) {
        my $re = qr{"(?:GET|HEAD) \Q$path\E HTTP/2\.0"};

        eventually { scalar access_lines($re) };
        my @lines = access_lines($re);
        ok t_cmp(scalar(@lines), 1, "one line for $path")
            && t_cmp($lines[0], $logged{$path}, 'which says so');
    }
}
