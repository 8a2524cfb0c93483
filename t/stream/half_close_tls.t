# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# 15, 17: SSEHalfClose over TLS.  close_notify alone shuts down the sending side
# since TLS 1.3, and both before; a FIN without it is an end in any case.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestClose qw(slowly);
use SSETestServer;

my @tls = (module => 'mod_sse_ssl');
my @kept = (['close_notify', sub { $_[0]->close_notify }],
            ['close_notify and FIN', sub { $_[0]->close_notify;
                                           $_[0]->half_close }]);
my @ways = (@kept, ['FIN', sub { $_[0]->half_close }]);
plan tests => 4 * @kept + 1 + @ways + @ways + 2 + 3 + 1,
    need_module('mod_sse', 'mod_ssl');

my $count;
keeps(@$_) for @kept;
# The client has failed.
ends('keep', 'TLSv1_3', @{ $ways[2] });
ends('keep', 'TLSv1_2', @$_) for @ways;
ends('close', 'TLSv1_3', @$_) for @ways;
reset_is_seen();
later_request();
ok t_cmp(no_streams(slowly(10)), 1, 'no stream is left');

sub path { return "/stream/$_[0]/tls-$$-" . ++$count }

sub begun {
    my($path, $version) = @_;

    my $stream = open_stream($path, @tls, tls => $version);
    $stream->next_block(slowly(5)) or die 'no stream begins';
    error_line(qr/open on \Q$path\E$/m) or die 'no stream opens';
    return $stream;
}

sub log_of { return access_line(qr/close=\w+\S* .*channel=\Q$_[0]\E /, $_[1]) }

sub keeps {
    my($name, $how) = @_;

    my $path = path('keep');
    my $stream = begun($path, 'TLSv1_3');
    $how->($stream);
    publish($path, $_) for 1 .. 3;
    ok t_cmp([map { ($stream->next_event(slowly(5)) // {})->{data} } 1 .. 3],
             [1 .. 3], "keep: events still come after $name");
    ok t_cmp(log_of($path, 0.1) // '', '', "keep: no end for $name");
    publish($path, 'more');
    ok t_cmp(($stream->next_event(slowly(5)) // {})->{data}, 'more',
             "keep: and more after $name");
    $stream->sock->close(SSL_no_shutdown => 1);
    my $line = eventually(sub { publish($path, 'x'); log_of($path, 0.05) },
                          slowly(5));
    ok t_cmp($line // '', qr/close=(?:reset|write-error) /,
             "keep: the end after $name is seen");
}

sub ends {
    my($policy, $version, $name, $how) = @_;

    my $path = path($policy eq 'keep' ? 'keep' : 'x');
    my $stream = begun($path, $version);
    $how->($stream);
    ok t_cmp(log_of($path) // '', qr/close=client /,
             "$policy, $version: $name is the end");
    $stream->sock->close(SSL_no_shutdown => 1);
}

sub reset_is_seen {
    my $path = path('keep');
    my $stream = begun($path, 'TLSv1_3');
    $stream->close_notify;
    publish($path, 1);
    ok t_cmp(($stream->next_event(slowly(5)) // {})->{data}, 1,
             'keep: after close_notify');
    $stream->reset;
    ok t_cmp(log_of($path) // '', qr/close=reset /, 'keep: RST is an end at once');
}

# What came before close_notify is served when the stream is over.
sub later_request {
    my $path = path('keep-short');
    my $stream = begun($path, 'TLSv1_3');
    $stream->send_bytes("GET /stream/status HTTP/1.1\r\nHost: localhost\r\n\r\n");
    $stream->close_notify;
    ok t_cmp($stream->wait_end(slowly(10)), 1, 'keep: the stream ends by its age');
    ok t_cmp(log_of($path) // '', qr/close=max-age /, 'keep: is logged so');
    $stream->again(undef);
    ok t_cmp($stream->status, 200, 'keep: a request before close_notify is served');
    $stream->close;
}
