# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# As much of an HTTP/2 client (RFC 9113) as the tests need: many streams on one
# connection, over TLS or (by prior knowledge) not, and each reset alone.
#
#   my $h2 = SSETestH2->new('mod_sse_ssl');
#   my $id = $h2->get('/events/a');
#   $h2->wait_for($id, qr/data: 1\n\n/, 5);
#   $h2->reset_stream($id);
#   $h2->close;

package SSETestH2;

use strict;
use warnings FATAL => 'all';

use IO::Select ();
use IO::Socket::INET ();
use IO::Socket::SSL ();
use Socket qw(IPPROTO_TCP SOL_SOCKET SO_LINGER TCP_NODELAY);
use Time::HiRes qw(time);

use Apache::Test ();
use SSETestWait ();

use constant { DATA => 0, HEADERS => 1, RST_STREAM => 3, SETTINGS => 4,
               PING => 6, GOAWAY => 7, WINDOW_UPDATE => 8 };
use constant { END_STREAM => 1, ACK => 1, END_HEADERS => 4 };
use constant CANCEL => 8;

# A virtual host by its name in t/conf; or "address:port".  Options: plain (no
# TLS), name (the host's, for TLS), window (bytes: what is added to that of the
# connection at once, by default as much as browsers do), holds (no window is given back), settings
# (a text of them), raw (instead of all that a client begins with).
sub new {
    my($class, $module, %opt) = @_;

    my($addr, $port) = $module =~ /^(.+):(\d+)$/;
    if (!$port) {
        my $config = Apache::Test::config();
        $addr = $config->{vars}{remote_addr} || '127.0.0.1';
        $port = $config->{vhosts}{$module}{port} or die "no host $module";
    }
    my $sock = IO::Socket::INET->new(PeerAddr => $addr, PeerPort => $port,
                                     Timeout => patience())
        or die "connect to $addr:$port: $@";
    setsockopt $sock, IPPROTO_TCP, TCP_NODELAY, 1;
    start_tls($sock, $opt{name} // 'localhost') unless $opt{plain};
    my $window = $opt{window} // 10 << 20;
    my $self = bless { sock => $sock, port => $port, in => '', next => 1,
                       tls => !$opt{plain}, streams => {},
                       holds => $opt{holds} }, $class;
    $self->write_bytes($opt{raw} // "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                       . frame(SETTINGS, 0, 0, $opt{settings} // '')
                       . ($window ? frame(WINDOW_UPDATE, 0, 0, pack 'N', $window)
                          : ''));
    $sock->blocking(0);
    return $self;
}

# In seconds from now.
sub patience { return SSETestWait::patience() - time }

sub start_tls {
    my($sock, $name) = @_;

    IO::Socket::SSL->start_SSL($sock, SSL_verify_mode => 0,
                               Timeout => patience(), SSL_hostname => $name,
                               SSL_alpn_protocols => ['h2'])
        or die 'TLS: ' . IO::Socket::SSL::errstr();
    die 'the server does not speak HTTP/2'
        if ($sock->alpn_selected // '') ne 'h2';
}

sub frame {
    my($type, $flags, $id, $payload) = @_;

    return substr(pack('N', length $payload), 1)
        . pack('CCN', $type, $flags, $id) . $payload;
}

# A header field that neither side remembers, without Huffman coding (RFC 7541,
# 6.2.2).
sub field {
    my($name, $value) = @_;

    return "\0" . hpack_string($name) . hpack_string($value);
}

sub hpack_string {
    my $text = shift;

    my $n = length $text;
    return pack('C', $n) . $text if $n < 127;
    my $bytes = pack 'C', 127;
    for ($n -= 127; $n > 127; $n >>= 7) {
        $bytes .= pack 'C', $n & 127 | 128;
    }
    return $bytes . pack('C', $n) . $text;
}

sub write_bytes {
    my($self, $bytes) = @_;

    local $SIG{PIPE} = 'IGNORE';
    my $select = IO::Select->new($self->{sock});
    my $end = SSETestWait::patience();
    while (length $bytes && time < $end && !$self->{is_broken}) {
        my $n = syswrite $self->{sock}, $bytes;
        if ($n) {
            substr $bytes, 0, $n, '';
        }
        elsif (!defined $n && !$!{EAGAIN} && !$!{EWOULDBLOCK}) {
            $self->{is_broken} = 1; # what has come can be read all the same
        }
        else {
            $select->can_write(0.1);
        }
    }
    return !length $bytes;
}

# A GET's stream id.  Headers as name, value, ...; ":host" is the host's name,
# ":method" the method, ":open" 1 that a body follows.
sub get {
    my($self, $path, @headers) = @_;

    my %own = (':host' => 'localhost', ':method' => 'GET', ':open' => 0);
    while (@headers && exists $own{$headers[0]}) {
        my($name, $value) = splice @headers, 0, 2;
        $own{$name} = $value;
    }
    my $id = $self->{next};
    $self->{next} += 2;
    my $block = field(':method', $own{':method'})
        . field(':scheme', $self->{tls} ? 'https' : 'http')
        . field(':path', $path)
        . field(':authority', "$own{':host'}:$self->{port}");
    while (my($name, $value) = splice @headers, 0, 2) {
        $block .= field($name, $value);
    }
    $self->{streams}{$id} = { body => '', head => 0, ended => 0, reset => 0 };
    $self->write_bytes(frame(HEADERS, END_HEADERS
                             | ($own{':open'} ? 0 : END_STREAM), $id, $block));
    return $id;
}

# Of any type, as it is.
sub send_frame {
    my($self, @frame) = @_;
    return $self->write_bytes(frame(@frame));
}

# mod_http2 lets the end of a request whose thread comes late wait, with its log
# line, for the connection's next frame.  For $SSETest::meanwhile.
sub nudge {
    my $self = shift;

    return if !$self->{sock} || $self->{closed} || $self->{is_broken}
        || time < ($self->{nudged} // 0) + 0.2;
    $self->{nudged} = time;
    $self->send_frame(PING, 0, 0, 'a nudge.');
    $self->read_ready;
}

# Several come at once.
sub reset_stream {
    my($self, @ids) = @_;

    $self->write_bytes(join '', map {
        frame(RST_STREAM, 0, $_, pack 'N', CANCEL)
    } @ids);
}

# No window is opened for that stream any more.
sub hold { $_[0]{streams}{$_[1]}{hold} = 1 }

# What has come on a stream.
sub body { return $_[0]{streams}{$_[1]}{body} }
sub is_ended { return $_[0]{streams}{$_[1]}{ended} }
sub is_reset { return $_[0]{streams}{$_[1]}{reset} }

# The server's codes for the stream, and for the connection; undef: none.
sub reset_code { return $_[0]{streams}{$_[1]}{code} }
sub goaway { return $_[0]{goaway} }

# What the last answer to a PING has; '' before that.
sub ponged { return $_[0]{ponged} // '' }

# Whether the server has closed the connection, as far as has been read.
sub is_closed { return $_[0]{closed} }

# Read until the stream's body has that.  False after the time.
sub wait_for {
    my($self, $id, $re, $timeout) = @_;

    return $self->read_until(sub { $self->body($id) =~ $re }, $timeout);
}

# The same of a long body's last bytes, so many.
sub wait_for_tail {
    my($self, $id, $bytes, $re, $timeout) = @_;

    my $stream = $self->{streams}{$id};
    return $self->read_until(sub {
        my $body = \$stream->{body};
        substr($$body, length $$body > $bytes ? -$bytes : 0) =~ $re;
    }, $timeout);
}

sub wait_end {
    my($self, $id, $timeout) = @_;

    return $self->read_until(sub { $self->is_ended($id) }, $timeout);
}

# Whether the server closes the connection.
sub wait_closed {
    my($self, $timeout) = @_;

    $self->read_until(sub { 0 }, $timeout);
    return !!$self->{closed};
}

sub read_until {
    my($self, $done, $timeout) = @_;

    my $end = SSETestWait::patience($timeout);
    while (!$done->()) {
        my $left = $end - time;
        return 0 if $left <= 0 || $self->{closed};
        $self->read_some if $self->can_read($left);
    }
    return 1;
}

# What has come by now.
sub read_ready {
    my $self = shift;

    $self->read_some while !$self->{closed} && $self->can_read(0);
}

sub can_read {
    my($self, $seconds) = @_;

    return $self->{tls} && $self->{sock}->pending
        || IO::Select->new($self->{sock})->can_read($seconds);
}

sub read_some {
    my $self = shift;

    my $n = sysread $self->{sock}, $self->{in}, 65536, length $self->{in};
    if ($n) {
        $self->take_frames;
    }
    elsif (defined $n || !$!{EAGAIN} && !$!{EWOULDBLOCK}) {
        $self->{closed} = 1;
    }
}

sub take_frames {
    my $self = shift;

    while (length $self->{in} >= 9) {
        my($high, $low, $type, $flags, $id) = unpack 'CnCCN', $self->{in};
        my $n = $high << 16 | $low;
        return if length $self->{in} < 9 + $n;
        my $payload = substr $self->{in}, 9, $n;
        substr $self->{in}, 0, 9 + $n, '';
        $self->on_frame($type, $flags, $id, $payload);
    }
}

sub on_frame {
    my($self, $type, $flags, $id, $payload) = @_;

    my $stream = $self->{streams}{$id};
    if ($type == SETTINGS && !($flags & ACK)) {
        $self->write_bytes(frame(SETTINGS, ACK, 0, ''));
    }
    elsif ($type == PING && !($flags & ACK)) {
        $self->write_bytes(frame(PING, ACK, 0, $payload));
    }
    elsif ($type == DATA && $stream) {
        $stream->{body} .= $payload;
        my $size = pack 'N', length $payload;
        my $gives = length $payload && !$self->{holds};
        $self->write_bytes(frame(WINDOW_UPDATE, 0, 0, $size)) if $gives;
        $self->write_bytes(frame(WINDOW_UPDATE, 0, $id, $size))
            if $gives && !$stream->{hold};
    }
    elsif ($type == HEADERS && $stream) {
        $stream->{head} = 1;
    }
    elsif ($type == RST_STREAM && $stream) {
        $stream->{ended} = $stream->{reset} = 1;
        $stream->{code} = unpack 'N', $payload;
    }
    elsif ($type == GOAWAY) {
        $self->{goaway} = unpack 'x4 N', $payload;
    }
    elsif ($type == PING) {
        $self->{ponged} = $payload;
    }
    $stream->{ended} = 1
        if $stream && ($type == DATA || $type == HEADERS)
        && $flags & END_STREAM;
}

# An orderly end: close_notify and FIN.
sub close {
    my $sock = delete $_[0]{sock} or return;
    $sock->blocking(1);
    $sock->close;
}

# RST, without a word of TLS.
sub reset {
    my $self = shift;

    my $sock = delete $self->{sock} or return;
    setsockopt $sock, SOL_SOCKET, SO_LINGER, pack 'll', 1, 0;
    $self->{tls} ? $sock->close(SSL_no_shutdown => 1) : $sock->close;
}

1;
