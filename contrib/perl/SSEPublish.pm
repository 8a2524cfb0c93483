# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.

package SSEPublish;

use strict;
use warnings;

use HTTP::Tiny ();
use JSON::PP ();
use Socket ();
use Time::HiRes ();

=encoding utf8

=head1 NAME

SSEPublish - publish events to mod_sse; needs nothing but Perl 5.14 or newer

=head1 SYNOPSIS

    use SSEPublish;

    my $hub = SSEPublish->new('http://127.0.0.1:8081');
    $hub->publish('/user/ann', { text => 'Backup done' },
                  event => 'notification');
    $hub->publish_batch('/events/news', { data => 'one' },
                        { data => 'two', event => 'story' });
    $hub->delete('/events/news');

    eval { $hub->publish('/events/news', 'Hello', key => 'order-7'); 1 }
        or warn "$@";       # "403 Forbidden"; $@->status is 403

=head1 DESCRIPTION

What fails for the moment (no connection, no answer, 408, 425, 429, 5xx) is
tried again until the time C<patience> is over, each time with the same
idempotency key: an event whose answer was lost is not published a second time.
What then still fails, and what the server refuses, dies with an
SSEPublish::Error, an object with status (0: there was no answer), message (what
the server said), and attempts (how often it was asked).

Texts are strings of characters, not of bytes: decode what you have read.
An object keeps its connection.  After a fork each process needs its own.

=head2 new($url, %options)

$url is where the channels begin, C<http://127.0.0.1:8081>, or
C<https://www.example.com/app> where each channel's URL begins with /app.
Options: user, password; timeout (5), in seconds, for one try; patience (30),
for all of them; headers, a reference to a hash; http, an HTTP::Tiny to be used.

=cut

sub new {
    my($class, $url, %opt) = @_;

    $url =~ m{^https?://[^/]}i or die "'$url' is no http: or https: URL\n";
    $url =~ s{/+$}{};
    my %headers = ('Content-Type' => 'application/json',
                   %{ $opt{headers} || {} });
    if (defined $opt{user}) {
        my $login = "$opt{user}:" . (defined $opt{password} ? $opt{password}
                                                            : '');
        utf8::encode($login);
        require MIME::Base64;
        $headers{Authorization} =
            'Basic ' . MIME::Base64::encode_base64($login, '');
    }
    my $timeout = $opt{timeout} || 5;
    return bless {
        base => $url, headers => \%headers,
        patience => defined $opt{patience} ? $opt{patience} : 30,
        http => $opt{http} || HTTP::Tiny->new(
            timeout => $timeout, max_redirect => 0, verify_SSL => 1,
            agent => 'SSEPublish '),
    }, $class;
}

=head2 publish($channel, $data, %options)

Publishes one event, and returns its id.  Data that is a reference is published
as JSON.  Options: event, its type; key, its idempotency key, for instance an
order's number (without it one is made up); retry, in milliseconds.

=cut

sub publish {
    my($self, $channel, $data, %opt) = @_;

    my $answer = $self->_call('POST', $channel, _event(
        { data => $data, event => $opt{event}, id => $opt{key},
          retry => $opt{retry} }));
    return defined $answer->{id} ? $answer->{id} : $answer->{ids}[-1];
}

=head2 publish_batch($channel, $event, ...)

Publishes all of the events or, where one is refused, none, and returns their
ids.  Each is a reference to a hash with data and, if need be, event, retry, and
as id its idempotency key.

=cut

sub publish_batch {
    my($self, $channel, @events) = @_;

    return unless @events;
    my $answer = $self->_call('POST', $channel, [map { _event($_) } @events]);
    return @{ $answer->{ids} || [$answer->{id}] };
}

=head2 delete($channel)

Ends the channel's streams and forgets its events.

=cut

sub delete {
    my($self, $channel) = @_;

    $self->_call('DELETE', $channel);
    return;
}

# It, with a key, and without what it has not got.
sub _event {
    my $event = shift;

    my %event = map { ($_ => $event->{$_}) }
        grep { defined $event->{$_} || $_ eq 'data' } keys %$event;
    # For JSON a scalar is what it was last used as.
    for my $name (qw(data event id)) {
        $event{$name} = "$event{$name}"
            if defined $event{$name} && !ref $event{$name};
    }
    $event{retry} += 0 if defined $event{retry};
    $event{id} = _key() unless defined $event{id};
    return \%event;
}

my $keys = 0;

sub _key {
    my $bytes = '';
    if (open my $fh, '<:raw', '/dev/urandom') {
        sysread $fh, $bytes, 16;
    }
    return unpack 'H*', $bytes if length $bytes == 16;
    return join '-', Time::HiRes::time(), $$, ++$keys, int rand 1e9;
}

sub _call {
    my($self, $method, $channel, $value) = @_;

    utf8::encode($channel);
    $channel =~ s/([^A-Za-z0-9_.~\/-])/sprintf '%%%02X', ord $1/ge;
    my %request = (headers => $self->{headers});
    $request{content} = JSON::PP->new->utf8->canonical->encode($value)
        if $value;
    my $end = Time::HiRes::time() + $self->{patience};
    my $delay = 0.25;
    for (my $attempts = 1; ; ++$attempts) {
        my($status, $said, $after) = _read($self->{http}->request(
            $method, "$self->{base}$channel", \%request));
        _hurry($self->{http});
        return $said if ref $said;
        my $pause = $delay / 2 + rand $delay / 2;
        $pause = $after if $after > $pause;
        $delay = $delay < 5 ? 2 * $delay : 10;
        die SSEPublish::Error->new($status, $said, $attempts)
            if $status !~ /^(?:0|408|425|429|5\d\d)$/
                || Time::HiRes::time() + $pause > $end;
        Time::HiRes::sleep($pause);
    }
}

# HTTP::Tiny writes head and body by themselves: on a connection that is kept,
# the body would wait 40 ms for the acknowledgement of the head.
sub _hurry {
    my $http = shift;

    my $handle = $http->{handle} or return;
    eval {
        setsockopt $handle->{fh}, Socket::IPPROTO_TCP(), Socket::TCP_NODELAY(), 1;
    };
    return;
}

# Its status, 0 where there is none; the answer, a reference, or what is wrong;
# after how many seconds the server wants to be asked again.
sub _read {
    my $answer = shift;

    my($status, $text) = @$answer{qw(status content)};
    if ($status == 599) { # HTTP::Tiny's own
        $text =~ s/\s+\z//;
        return(0, $text, 0);
    }
    my $after = $answer->{headers}{'retry-after'};
    $after = 0 unless defined $after && $after =~ /^[0-9]{1,6}$/;
    my $said = eval { JSON::PP->new->utf8->decode($text) };
    $said = {} unless ref $said eq 'HASH';
    if ($status == 200) {
        return defined $said->{channel} ? (200, $said, 0)
            : (200, 'what answers there is no channel', 0);
    }
    return($status, defined $said->{error} ? $said->{error}
                                           : $answer->{reason}, $after);
}

package SSEPublish::Error;

use overload '""' => sub {
    ($_[0]{status} ? "$_[0]{status} " : '') . "$_[0]{message}\n"
}, fallback => 1;

sub new {
    my($class, $status, $message, $attempts) = @_;

    return bless { status => $status, message => $message,
                   attempts => $attempts }, $class;
}

sub status { return $_[0]{status} }
sub message { return $_[0]{message} }
sub attempts { return $_[0]{attempts} }

1;
