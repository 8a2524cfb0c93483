# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# What the tests of streams over HTTP/2 without threads share: an httpd of their
# own with few threads, its connections, its numbers, what it takes.
#
#   my $server = SSETestSplice->new(threads => 8, conf => '...');
#   my $h2 = $server->connect(plain => 1);             # an SSETestH2Strict
#   my $raw = $server->raw;                            # an SSETestH2
#   $server->publish('/c/a', 'x');
#   $server->are_spliced(3);
#
# It speaks HTTP/2 without TLS on its own port, and over TLS on the next one. In
# its document root is "big", of 3 MB, and once more as "limited".

package SSETestSplice;

use strict;
use warnings FATAL => 'all';

use Digest::MD5 qw(md5_hex);
use Exporter 'import';
use Time::HiRes qw(time);

use Apache::Test ();
use SSETest qw(eventually request $test_id);
use SSETestClose qw(slowly);
use SSETestH2;
use SSETestH2Strict;
use SSETestHttpd;
use SSETestNumbers ();

our @EXPORT = qw(is_spliced opened why_not $first);

use constant BIG => 3_000_000;

# What a stream begins with.
our $first = qr/\Aretry: 200\n\n/;

sub mpm { return $ENV{SSE_MPM} || 'event' }

# Whether streams over HTTP/2 take no thread here.
sub is_spliced { return mpm() eq 'event' }

# The streams of these paths, which have begun.
sub opened {
    my($h2, @paths) = @_;

    my @ids = map { $h2->get($_) } @paths;
    for my $n (0 .. $#ids) {
        $h2->wait_for($ids[$n], $first, slowly(5))
            or die "no stream begins on $paths[$n]";
    }
    return @ids;
}

# For plan: what these tests need beside modules.
sub why_not {
    return { 'mod_http2 needs a threaded MPM' => mpm() ne 'prefork',
             'python3-h2 is missing' => SSETestH2Strict->is_there };
}

# Options: threads (of the one child, with event), children (1), conf, modules,
# c_modules.
sub new {
    my($class, %opt) = @_;

    my $vars = Apache::Test::vars();
    my $self = bless {
        tls_port => $vars->{port} + 46,
        root => "$vars->{t_state}/splice-$test_id",
    }, $class;
    $self->write_big;
    my $certs = "$vars->{sslca}/$vars->{sslcaorg}";
    my $numbers = numbers_of_threads(%opt);
    $self->{httpd} = SSETestHttpd->new(
        mpm => $numbers, c_modules => $opt{c_modules},
        modules => ['http2', 'ssl', 'socache_shmcb', @{ $opt{modules} // [] }],
        conf => <<"EOI");
LogLevel info sse:debug http2:warn
LogFormat "%r close=%{sse-close}n events=%{sse-events}n port=%{remote}p" splice
CustomLog "@{[requests_log()]}" splice
KeepAliveTimeout 120
Timeout 120
DocumentRoot "$self->{root}"
Protocols h2c http/1.1
<IfModule mod_http2.c>
    H2Direct On
    H2MaxSessionStreams 200
</IfModule>
SSLSessionCache none
Listen 127.0.0.1:$self->{tls_port}
<VirtualHost *:$self->{tls_port}>
    ServerName localhost
    Protocols h2 http/1.1
    SSLEngine On
    SSLCertificateFile "$certs/certs/server.crt"
    SSLCertificateKeyFile "$certs/keys/server.pem"
</VirtualHost>
$opt{conf}
EOI
    unlink requests_log();
    $self->{httpd}->start or die 'the server does not start';
    return $self;
}

sub requests_log { return Apache::Test::vars('t_logs') . '/splice_requests' }

# Without the splice, a stream takes a thread of each kind: there are many.
sub numbers_of_threads {
    my %opt = @_;

    my $children = $opt{children} // 1;
    my $threads = is_spliced() ? $opt{threads} // 8 : 100;
    my($all, $limit) = ($children * $threads, $children + 1);
    return "StartServers $children\nServerLimit $limit\n"
        . "ThreadLimit $threads\nThreadsPerChild $threads\n"
        . "MinSpareThreads $threads\nMaxSpareThreads $all\n"
        . "MaxRequestWorkers $all\n"
        . (is_spliced() ? "AsyncRequestWorkerFactor 400\n" : '');
}

sub write_big {
    my $self = shift;

    my $text = substr join('', map { sprintf '%08d ', $_ } 0 .. BIG / 9), 0, BIG;
    mkdir $self->{root} or die "$self->{root}: $!";
    chmod 0755, $self->{root};
    open my $fh, '>', "$self->{root}/big" or die "$self->{root}/big: $!";
    print $fh $text;
    close $fh or die "$self->{root}/big: $!";
    chmod 0644, "$self->{root}/big";
    link "$self->{root}/big", "$self->{root}/limited" or die "link: $!";
    $self->{md5} = md5_hex($text);
}

sub httpd { return $_[0]{httpd} }
sub port { return $_[0]{httpd}->port }

sub address {
    my($self, %opt) = @_;
    return '127.0.0.1:' . ($opt{plain} ? $self->port : $self->{tls_port});
}

# The strict client, and the one that can break the rules.
sub connect {
    my($self, %opt) = @_;
    return SSETestH2Strict->new($self->address(%opt), %opt);
}

sub raw {
    my($self, %opt) = @_;
    return SSETestH2->new($self->address(%opt), %opt);
}

# The id of what is published, over HTTP/1.1.
sub publish {
    my($self, $path, $text, @args) = @_;

    my $answer = SSETest::publish($path, $text, port => $self->port, @args);
    return ($answer->json // {})->{id};
}

sub delete {
    my($self, $path) = @_;
    return request('DELETE', $path, port => $self->port)->code;
}

sub numbers { return SSETestNumbers::numbers(port => $_[0]->port) }

# Whether so many streams are open, and how they are written: here without a
# thread, elsewhere with one.
sub are_open {
    my($self, $n, $timeout) = @_;

    my $last = '';
    eventually(sub {
        my $now = $self->numbers;
        my $threads = is_spliced() ? 0 : $n;
        my %drives = %{ $now->{drives} };
        my $waiting = $drives{waiting_http2};
        my $async = $drives{async_http2};
        $last = "$now->{streams} open, $async without a thread,"
            . " $waiting with one, $now->{threads} threads";
        return $now->{streams} == $n && $waiting == $threads
            && (!is_spliced() || $async == $n && $now->{threads} == 0);
    }, $timeout // slowly(10)) and return 1;
    return $last;
}

# Whether all of the numbers that go up and down are where they began.
sub is_at_rest {
    my($self, $timeout) = @_;

    my $last = '';
    eventually(sub {
        my $now = $self->numbers;
        my %n = (streams => $now->{streams}, threads => $now->{threads},
                 queue => $now->{queue_bytes}, commands => $now->{commands},
                 map { ("drive $_" => $now->{drives}{$_}) }
                     keys %{ $now->{drives} });
        $last = join ', ', map { "$_ $n{$_}" } grep { $n{$_} } sort keys %n;
        return $last eq '';
    }, $timeout // slowly(15)) and return 1;
    return $last;
}

# How the streams of a channel have ended, as the log of requests says:
# "client 2, reset 1".
sub closes {
    my($self, $path) = @_;

    open my $fh, '<', requests_log() or return '';
    my %n;
    /\n\z/ && m{^GET \Q$path\E[ ?].* close=(\S+)} && $n{$1}++ while <$fh>;
    return join ', ', map { "$_ $n{$_}" } sort keys %n;
}

# Whether that is so within some seconds: 1, or how it is.  Where streams hold
# threads, mod_http2 lets a request's end, and its log line, wait for the next
# frame of a connection that has no open request: $h2 is one that stays open.
sub closes_are {
    my($self, $path, $want, $h2) = @_;

    my $has = '';
    eventually(sub {
        $h2->ping if $h2;
        return ($has = $self->closes($path)) =~ /\A(?:$want)\z/;
    }, slowly(10)) and return 1;
    return $has;
}

# The ports that the requests of that path came from, one for each request.
sub ports {
    my($self, $path) = @_;

    open my $fh, '<', requests_log() or return ();
    return map { m{^GET \Q$path\E[ ?].* port=(\d+)$} ? $1 : () } <$fh>;
}

# Whether a page comes over this connection: how long it took, or undef.
sub page {
    my($self, $h2, $timeout) = @_;

    my $began = time;
    my $id = $h2->get('/status');
    return $h2->wait_for($id, qr/"streams"/, $timeout // slowly(5))
        && $h2->wait_end($id, slowly(5)) ? time - $began : undef;
}

# A download of 3 MB, begun; and whether it has come whole.
sub begin_big { return $_[1]->get($_[2] // '/big', ':keep' => 0) }

sub has_big {
    my($self, $h2, $id, $timeout) = @_;

    $h2->wait_end($id, $timeout // slowly(20)) or return 'it does not end';
    my $stream = $h2->look($id);
    return $stream->{status} != 200 ? "answered $stream->{status}"
        : $stream->{length} != BIG ? "$stream->{length} bytes"
        : $stream->{md5} ne $self->{md5} ? 'other bytes' : 'all of it';
}

# Of its children: threads, kB of their own, descriptors.
sub resources {
    my $self = shift;

    my %sum = (threads => 0, memory => 0, descriptors => 0);
    for my $pid ($self->{httpd}->children) {
        open my $fh, '<', "/proc/$pid/status" or next;
        while (<$fh>) {
            $sum{threads} += $1 if /^Threads:\s+(\d+)/;
            $sum{memory} += $1 if /^RssAnon:\s+(\d+)/;
        }
        $sum{descriptors} += () = glob "/proc/$pid/fd/*";
    }
    return \%sum;
}

# The log's complaints, but for those that are expected.
sub complaints {
    my($self, $expected) = @_;

    my $own = qr/HTTP\/2 is on for|SSEMaxThreads/;
    return join '', $self->{httpd}->complaints(
        $expected ? qr/$own|$expected/ : $own);
}

sub DESTROY {
    my $self = shift;

    return unless $self->{httpd} && $self->{httpd}{stops} == $$;
    local($?, $@);
    unlink "$self->{root}/big", "$self->{root}/limited";
    rmdir $self->{root};
}

1;
