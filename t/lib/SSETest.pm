# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# What the tests talk to the server with.  A stream's client is a raw socket:
# LWP would wait for the end.
#
#   my $stream = open_stream('/events/a', module => 'mod_sse_ssl', tls => 1,
#                            headers => { 'Last-Event-ID' => 5 });
#   my($status, $headers) = $stream->head;
#   my $event = $stream->next_event(5);       # { id, event, data, retry, ... }
#   my $answer = publish('/events/a', 'hello', 'Content-Type' => 'text/plain');
#   $answer->code; $answer->json->{id};
#   $stream->reset;
#   ok access_line(qr/close=reset .*channel=\/events\/a /, 5);

package SSETest;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use Time::HiRes qw(time sleep);

use Apache::Test ();
use Apache::TestConfig ();
use SSETestWait ();

our @EXPORT = qw(open_stream request publish access_line access_lines
                 error_line error_lines whole_log eventually $test_id);

# For names that no other test file of the run has.  One that comes later may
# have the same process id.
our $test_id = sprintf '%x-%d', time * 1000, $$;

# Log lines older than the test file are none of its business.
my %log_start;
for my $log (qw(sse_access_log error_log)) {
    $log_start{$log} = -s log_file($log) || 0;
}

sub log_file {
    return Apache::Test::config()->{vars}{t_logs} . "/$_[0]";
}

# A connection that has sent a request.  Options:
#   method   GET
#   module   a virtual host by its name in t/conf ("mod_sse_ssl")
#   tls      1: speak TLS (on where the module's name ends in _ssl); or as a
#            version, 'TLSv1_2'
#   host     the Host header; the port of the server is added
#   headers  { Name => value }, or [ Name => value, ... ]
#   body     sent with a Content-Length
#   raw      this instead of a request: nothing else is sent
#   http     the version, "1.1"
#   port     instead of the module's
#   timeout  the longest any wait here lasts unless told otherwise, 10 s
#   rcvbuf   the size of the socket's receive buffer
#   maxseg   the largest segment it takes
#   from     the address to connect from, "127.0.0.2"
sub open_stream {
    my($path, %opt) = @_;

    return SSETest::Stream->new(path => $path, %opt);
}

# A whole request and its answer: an object with code, headers, header, body
# and json.  Options as above.
sub request {
    my($method, $path, %opt) = @_;

    my $stream = open_stream($path, %opt, method => $method, close => 1);
    my $answer = SSETest::Answer->new($stream);
    $stream->close;
    return $answer;
}

# POST a body.  Names with a capital are headers, others are options as above.
sub publish {
    my($path, $body, %args) = @_;

    my(%headers, %opt);
    for my $name (keys %args) {
        ($name =~ /^[A-Z]/ ? \%headers : \%opt)->{$name} = $args{$name};
    }
    $headers{'Content-Type'} //= 'text/plain';
    return request('POST', $path, %opt, body => $body, headers => \%headers);
}

# The lines a log has got since the test file began.
sub lines_of {
    my($log, $re) = @_;

    open my $fh, '<', log_file($log) or return ();
    seek $fh, $log_start{$log}, 0;
    # One that is being written may be there in part.
    return grep { /\n\z/ && $_ =~ $re } <$fh>;
}

sub access_lines { return lines_of('sse_access_log', @_) }
sub error_lines { return lines_of('error_log', @_) }

# All that the error log has: what is said once a minute may have been said
# before the test file began.
sub whole_log {
    open my $fh, '<', log_file('error_log') or return '';
    local $/;
    return <$fh> // '';
}

# The first such line, once it is there; undef after the time (10 s).
sub wait_for_line {
    my($log, $re, $timeout) = @_;

    return eventually(sub { (lines_of($log, $re))[0] }, $timeout);
}

sub access_line { return wait_for_line('sse_access_log', @_) }
sub error_line { return wait_for_line('error_log', @_) }

our $meanwhile; # what to do again and again while a test waits

# What the block returns as soon as that is true; its last value after the
# time (10 s).
sub eventually(&;$) {
    my($block, $timeout) = @_;

    my $end = SSETestWait::patience($timeout);
    while (1) {
        $meanwhile->() if $meanwhile;
        my $value = $block->();
        return $value if $value || time >= $end;
        sleep 0.02;
    }
}

package SSETest::Answer;

sub new {
    my($class, $stream) = @_;

    my($code, $headers) = $stream->head;
    my $self = bless { code => $code, headers => $headers }, $class;
    $self->{complete} = $stream->wait_end($stream->{timeout});
    $self->{body} = $stream->{body};
    return $self;
}

sub code { return $_[0]{code} }
sub headers { return $_[0]{headers} }
sub header { return $_[0]{headers}{lc $_[1]} }
sub body { return $_[0]{body} }
sub is_complete { return $_[0]{complete} }

# The body as a structure; undef where it is no JSON.
sub json {
    my $self = shift;

    require JSON::PP;
    return eval { JSON::PP->new->utf8->allow_nonref->decode($self->{body}) };
}

package SSETest::Stream;

use Errno qw(EAGAIN EWOULDBLOCK EINTR);
use IO::Select ();
use IO::Socket::INET ();
use Socket qw(inet_aton pack_sockaddr_in
              IPPROTO_TCP SOL_SOCKET SO_LINGER SO_RCVBUF TCP_MAXSEG);
use Time::HiRes qw(time);

sub new {
    my($class, %opt) = @_;

    my $config = Apache::Test::config();
    my $module = $opt{module} // '';
    my $port = $opt{port} // ($module ? $config->{vhosts}{$module}{port}
                                      : $config->{vars}{port});
    die "no virtual host $module" unless $port;

    my $self = bless {
        timeout => $opt{timeout} // 10,
        method  => $opt{method} // 'GET',
        in      => '',        # as it came
        body    => '',        # without chunks and compression, not yet parsed
        blocks  => [],        # parsed, not yet asked for
    }, $class;
    $self->{port} = $port;
    $self->{rcvbuf} = $opt{rcvbuf};
    $self->{maxseg} = $opt{maxseg};
    $self->{from} = $opt{from};
    $self->{sock} = $self->connect_to($port, $opt{tls} // $module =~ /_ssl$/);
    $self->send_bytes($opt{raw} // $self->request_text($port, \%opt));
    return $self;
}

my %tls_contexts;

sub connect_to {
    my($self, $port, $tls) = @_;

    my $addr = Apache::Test::vars('remote_addr') || '127.0.0.1';
    my $wait = SSETestWait::patience($self->{timeout}) - time;
    my $sock = IO::Socket::INET->new(Proto => 'tcp',
                                     LocalAddr => $self->{from},
                                     Timeout => $wait)
        or die "a socket: $@";
    # Both are told to the other side as the connection begins.
    setsockopt($sock, SOL_SOCKET, SO_RCVBUF, pack "l", $self->{rcvbuf})
        or die "SO_RCVBUF: $!" if $self->{rcvbuf};
    setsockopt($sock, IPPROTO_TCP, TCP_MAXSEG, pack "l", $self->{maxseg})
        or die "TCP_MAXSEG: $!" if $self->{maxseg};
    $sock->connect(pack_sockaddr_in($port, inet_aton($addr)))
        or die "connect to $addr:$port: $@";
    if ($tls) {
        require IO::Socket::SSL;
        # Reading the system's certificates for each takes 20 ms.
        $tls_contexts{$tls} //= IO::Socket::SSL::SSL_Context->new(
            SSL_verify_mode => 0,
            $tls eq '1' ? () : (SSL_version => $tls));
        IO::Socket::SSL->start_SSL($sock, SSL_reuse_ctx => $tls_contexts{$tls},
                                   SSL_hostname => 'localhost',
                                   Timeout => $wait)
            or die "TLS to $addr:$port: " . IO::Socket::SSL::errstr();
        $self->{tls} = 1;
    }
    $sock->blocking(0);
    return $sock;
}

sub request_text {
    my($self, $port, $opt) = @_;

    my $headers = $opt->{headers} // {};
    my @headers = ref $headers eq 'HASH'
        ? map { $_ => $headers->{$_} } sort keys %$headers : @$headers;
    my $version = $opt->{http} // '1.1';
    my $text = "$self->{method} $opt->{path} HTTP/$version\r\n";
    $text .= 'Host: ' . ($opt->{host} // 'localhost') . ":$port\r\n";
    $text .= "Connection: close\r\n" if $opt->{close};
    $text .= 'Content-Length: ' . length($opt->{body}) . "\r\n"
        if defined $opt->{body};
    while (my($name, $value) = splice @headers, 0, 2) {
        $text .= "$name: $value\r\n";
    }
    return "$text\r\n" . ($opt->{body} // '');
}

# The next response on the same connection, to a request that is sent now, or
# was sent before where the path is undef.  Options as above.
sub again {
    my($self, $path, %opt) = @_;

    $self->{method} = $opt{method} // 'GET';
    $self->{body} = '';
    $self->{blocks} = [];
    delete @$self{qw(status headers framing left after_chunk last_chunk ended
                     complete inflate block parsed_any)};
    $self->send_bytes($self->request_text($self->{port},
                                          { %opt, path => $path }))
        if defined $path;
    $self->take if length $self->{in};
    return $self;
}

# The first line's status and the headers, names in lower case.  Empty when
# there is no answer in time.
sub head {
    my $self = shift;

    my $end = SSETestWait::patience($self->{timeout});
    1 while !$self->{status} && $self->fill($end);
    return $self->{status} ? ($self->{status}, $self->{headers}) : ();
}

sub status { return (shift->head)[0] }

sub header {
    my($self, $name) = @_;

    my(undef, $headers) = $self->head;
    return $headers && $headers->{lc $name};
}

# The next event with data, as a browser would dispatch it: event is "message"
# when it names none.  Blocks without data (heartbeats, retry) are passed by.
# undef when the time is over or the stream is at its end.
sub next_event {
    my($self, $timeout) = @_;

    my $end = SSETestWait::patience($timeout // $self->{timeout});
    while (my $block = $self->block_until($end)) {
        next unless defined $block->{data};
        $block->{event} = 'message' unless length $block->{event};
        return $block;
    }
    return undef;
}

# The events up to a new one, whose id the function returns that publishes it.
# It is called again every two seconds: behind what the kernels have, even what
# was new may wait for so long that it is left out.
sub upto_new {
    my($self, $publish) = @_;

    my($id, $when, @events) = ('', 0);
    my $end = SSETestWait::patience(40);
    while (!$self->{ended} && time < $end) {
        ($id, $when) = ($publish->(), time) if time - $when > 2;
        my $event = $self->next_event(1) or next;
        push @events, $event;
        last if $event->{event} ne 'sse-gap' && ($event->{id} // '') eq $id;
    }
    return @events;
}

# The next block whatever it has: { id, event, data, retry, comment, raw },
# undef where a field is not in it.
sub next_block {
    my($self, $timeout) = @_;

    return $self->block_until(
        SSETestWait::patience($timeout // $self->{timeout}));
}

sub block_until {
    my($self, $end) = @_;

    while (1) {
        $self->parse;
        return shift @{ $self->{blocks} } if @{ $self->{blocks} };
        return undef unless $self->fill($end);
    }
}

# Whether the response is over, as far as has been read; and read on until it
# is, for that long at most.
sub is_ended { return !!shift->{ended} }

sub wait_end {
    my($self, $timeout) = @_;

    my $end = SSETestWait::patience($timeout // $self->{timeout});
    1 while !$self->{ended} && $self->fill($end);
    return !!$self->{ended};
}

# Whether the response came to its own end: a last chunk, all of its
# Content-Length; or the connection's end where HTTP has no other.
sub is_complete { return !!shift->{complete} }

sub sock { return shift->{sock} }
sub bytes { return shift->{in_total} // 0 }

sub close {
    my $self = shift;

    return unless my $sock = delete $self->{sock};
    $sock->close;
}

# RST instead of FIN, and over TLS nothing in front of it.
sub reset {
    my $self = shift;

    return unless my $sock = delete $self->{sock};
    setsockopt $sock, SOL_SOCKET, SO_LINGER, pack 'll', 1, 0;
    $self->{tls} ? $sock->close(SSL_no_shutdown => 1) : $sock->close;
}

# TLS says that it is over, TCP does not.
sub close_notify {
    my $self = shift;

    Net::SSLeay::shutdown($self->{sock}->_get_ssl_object);
}

# FIN, and still reading.
sub half_close {
    shutdown shift->{sock}, 1;
}

# More bytes on the same connection (a pipelined request, a stray byte).
sub send_bytes {
    my($self, $bytes) = @_;

    my $select = IO::Select->new($self->{sock});
    my $end = SSETestWait::patience($self->{timeout});
    local $SIG{PIPE} = 'IGNORE';
    while (length $bytes) {
        my $n = syswrite $self->{sock}, $bytes;
        if ($n) {
            substr $bytes, 0, $n, '';
        }
        elsif (!$!{EAGAIN} && !$!{EWOULDBLOCK} && !$!{EINTR}) {
            return 0;
        }
        elsif (time >= $end || !$select->can_write($end - time)) {
            return 0;
        }
    }
    return 1;
}

# Read what is there, waiting for it until $end.  False: nothing came, or
# there is nothing more to come.
sub fill {
    my($self, $end) = @_;

    return 0 if $self->{ended} || !$self->{sock};
    my $select = IO::Select->new($self->{sock});
    while (1) {
        # TLS may hold decrypted bytes that select() does not see.
        if (!$self->{tls} || !$self->{sock}->pending) {
            my $left = $end - time;
            return 0 unless $select->can_read($left > 0 ? $left : 0);
        }
        my $n = sysread $self->{sock}, my $bytes, 65536;
        if ($n) {
            $self->{in} .= $bytes;
            $self->{in_total} += $n;
            $self->take;
            return 1;
        }
        if (defined $n || !$!{EAGAIN} && !$!{EWOULDBLOCK} && !$!{EINTR}) {
            $self->{error} = $! unless defined $n;
            $self->at_eof;
            return 0;
        }
        return 0 if time >= $end;
    }
}

# Bytes that the caller has taken from the socket come first.
sub unread {
    my($self, $bytes) = @_;

    $self->{in} .= $bytes;
    $self->take;
}

sub at_eof {
    my $self = shift;

    $self->{complete} = 1
        if $self->{status} && $self->{framing} eq 'eof' && !$self->{error};
    $self->{ended} = 1;
}

# From the bytes that came to the body's.
sub take {
    my $self = shift;

    if (!$self->{status}) {
        $self->take_head or return;
    }
    my $framing = $self->{framing};
    if ($framing eq 'chunked') {
        $self->take_chunks;
    }
    elsif ($framing eq 'length') {
        my $bytes = substr $self->{in}, 0, $self->{left}, '';
        $self->{left} -= length $bytes;
        $self->add_body($bytes);
        $self->{ended} = $self->{complete} = 1 unless $self->{left};
    }
    else {
        $self->add_body($self->{in});
        $self->{in} = '';
    }
}

sub take_head {
    my $self = shift;

    while ($self->{in} =~ s/\AHTTP\/\d\.\d (\d+)[^\r\n]*\r\n(.*?\r\n)?\r\n//s) {
        my($status, $lines) = ($1, $2 // '');
        next if $status =~ /^1/;
        my %headers;
        while ($lines =~ /^([^:\r\n]+):[ \t]*(.*?)[ \t]*\r\n/mg) {
            my($name, $value) = (lc $1, $2);
            $headers{$name} = exists $headers{$name}
                ? "$headers{$name}, $value" : $value;
        }
        @$self{qw(status headers)} = ($status, \%headers);
        $self->choose_framing;
        return 1;
    }
    return 0;
}

sub choose_framing {
    my $self = shift;

    my $headers = $self->{headers};
    if (($headers->{'transfer-encoding'} // '') =~ /chunked/i) {
        $self->{framing} = 'chunked';
    }
    elsif (defined $headers->{'content-length'}) {
        $self->{framing} = 'length';
        $self->{left} = $headers->{'content-length'};
    }
    else {
        $self->{framing} = 'eof';
    }
    if ($self->{method} eq 'HEAD' || $self->{status} =~ /^(?:204|304)$/) {
        @$self{qw(framing left)} = ('length', 0);
    }
    if (($headers->{'content-encoding'} // '') eq 'gzip') {
        require Compress::Raw::Zlib;
        $self->{inflate} = Compress::Raw::Zlib::Inflate->new(
            -WindowBits => Compress::Raw::Zlib::WANT_GZIP());
    }
}

sub take_chunks {
    my $self = shift;

    while (1) {
        if ($self->{left}) {
            my $bytes = substr $self->{in}, 0, $self->{left}, '';
            $self->{left} -= length $bytes;
            $self->add_body($bytes);
            return if $self->{left};
            $self->{after_chunk} = 1;
        }
        if ($self->{after_chunk}) {
            return if length $self->{in} < 2;
            $self->{in} =~ s/\A\r\n// or die 'a chunk has no end';
            $self->{after_chunk} = 0;
        }
        if ($self->{last_chunk}) {
            return unless $self->{in} =~ s/\A(?:[^\r\n]+\r\n)*\r\n//;
            $self->{ended} = $self->{complete} = 1;
            return;
        }
        $self->{in} =~ /\A[0-9a-fA-F]+[^\r\n]*\r\n/ or return;
        my($size) = substr($self->{in}, 0, $+[0], '') =~ /\A([0-9a-fA-F]+)/;
        $self->{left} = hex $size;
        $self->{last_chunk} = 1 unless $self->{left};
    }
}

sub add_body {
    my($self, $bytes) = @_;

    if ($self->{inflate}) {
        my $status = $self->{inflate}->inflate($bytes, my $plain);
        die "inflate: $status" if $status < 0;
        $bytes = $plain;
    }
    $self->{body} .= $bytes;
}

# From the body's bytes to blocks, as the HTML standard reads them (9.2.6).
sub parse {
    my $self = shift;

    $self->{body} =~ s/\A\xEF\xBB\xBF// unless $self->{parsed_any};
    # A group in the pattern would copy all of the body, for each line.
    while ($self->{body} =~ /\r\n|\n|\r(?!\z)/) {
        my $line = substr $self->{body}, 0, $+[0], '';
        $self->{parsed_any} = 1;
        $self->{block}{raw} .= $line;
        $line =~ s/[\r\n]+\z//;
        if (length $line) {
            $self->parse_line($line);
            next;
        }
        my $block = delete $self->{block};
        chop $block->{data} if defined $block->{data};
        push @{ $self->{blocks} }, $block if keys %$block > 1;
    }
}

sub parse_line {
    my($self, $line) = @_;

    my $block = $self->{block};
    my($name, $value) = $line =~ /\A([^:]*)(?:: ?(.*))?\z/s;
    $value //= '';
    if ($name eq '') {
        $block->{comment} =
            defined $block->{comment} ? "$block->{comment}\n$value" : $value;
    }
    elsif ($name eq 'data') {
        $block->{data} .= "$value\n";
    }
    elsif ($name eq 'event') {
        $block->{event} = $value;
    }
    elsif ($name eq 'id') {
        $block->{id} = $value unless $value =~ /\0/;
    }
    elsif ($name eq 'retry') {
        $block->{retry} = $value if $value =~ /\A[0-9]+\z/;
    }
}

1;
