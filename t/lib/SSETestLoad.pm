# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Publishers and subscribers as processes of their own, at work while the test
# does things to the server.
#
#   my $publishers = publishers(4, \@paths, port => $port, repeat => 1);
#   my $subscribers = subscribers(8, '/all', after => $id, port => $port);
#   ...
#   my $published = $publishers->stop;     # events, failed, slowest
#   my @got = $subscribers->finish($published->{events}[-1]{id}, 20);

package SSETestLoad;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use IO::Select ();
use JSON::PP ();
use POSIX ();
use Time::HiRes qw(sleep time);

use SSETest qw(open_stream publish);

our @EXPORT = qw(publishers subscribers wrong_ones);

# Each runs $work->($number, $told) and what that returns is its result, as JSON.
# $told->() is what finish() or stop() has said, or undef before.
sub start {
    my($class, $count, $work) = @_;

    my $self = bless { all => [] }, $class;
    for my $number (1 .. $count) {
        pipe my $in, my $in_end or die "pipe: $!";
        pipe my $out, my $out_end or die "pipe: $!";
        my $pid = fork // die "fork: $!";
        if (!$pid) {
            close $_->{in} for @{ $self->{all} };
            close $in_end;
            my $select = IO::Select->new($in);
            my $said;
            my $result = eval {
                $work->($number, sub {
                    $said //= readline($in) // '' if $select->can_read(0);
                    return $said;
                });
            } // { died => "$@" };
            print $out_end JSON::PP::encode_json($result);
            close $out_end;
            POSIX::_exit(0);
        }
        push @{ $self->{all} }, { pid => $pid, in => $in_end, out => $out };
    }
    return $self;
}

# Their results, in their order.
sub results {
    my($self, $say) = @_;

    local $SIG{PIPE} = 'IGNORE';
    for my $one (@{ $self->{all} }) {
        syswrite $one->{in}, "$say\n";
        close $one->{in};
    }
    return map {
        local $/;
        my $text = readline $_->{out};
        waitpid $_->{pid}, 0;
        my $result = JSON::PP::decode_json($text);
        die $result->{died} if ref $result eq 'HASH' && $result->{died};
        $result;
    } @{ $self->{all} };
}

# -- Publishers ---------------------------------------------------------------

# One event after the other, each over a connection of its own, by turns to each
# of the paths.  Options:
#   port
#   repeat  1: with a key, and again until it is answered
#   pause   between two, 2 ms
#   size    of the data
sub publishers {
    my($count, $paths, %opt) = @_;

    my $padding = ' ' . 'x' x ($opt{size} // 0);
    my @port = $opt{port} ? (port => $opt{port}) : ();
    return SSETestLoad::Publishers->start($count, sub {
        my($number, $told) = @_;
        my %result = (events => [], failed => [], slowest => 0, repeats => 0);
        for (my $n = 1; !defined $told->(); ++$n) {
            my $path = $paths->[($number + $n) % @$paths];
            my $key = "$$-$number-$n";
            my @key = $opt{repeat} ? ('Idempotency-Key' => $key)
                : (timeout => 30);
            my $began = time;
            my $end = $began + 30;
            my $id;
            while (!defined $id && time < $end) {
                my $answer = eval { publish($path, "$key$padding", @port, @key) };
                my $code = $answer ? $answer->code // 'no answer' : "$@";
                $id = $code eq '200' ? ($answer->json // {})->{id} : undef;
                last if defined $id;
                if (!$opt{repeat}) {
                    push @{ $result{failed} }, "$key: $code";
                    last;
                }
                # One whose store stands still for a moment is to come again.
                push @{ $result{failed} }, "$key: $code" if $code =~ /^[45]/
                    && !($code eq '503' && $answer->header('Retry-After'));
                ++$result{repeats};
                sleep 0.02;
            }
            my $took = time - $began;
            $result{slowest} = $took if $took > $result{slowest};
            if (defined $id) {
                push @{ $result{events} },
                    { id => $id, key => $key, path => $path };
            }
            elsif ($opt{repeat}) {
                push @{ $result{failed} }, "$key: never answered";
            }
            sleep $opt{pause} // 0.002;
        }
        return \%result;
    });
}

package SSETestLoad::Publishers;

our @ISA = ('SSETestLoad');

# All together: events by their ids, failed, repeats, and the slowest's time.
sub stop {
    my $self = shift;

    my %all = (events => [], failed => [], slowest => 0, repeats => 0);
    for my $result ($self->results('stop')) {
        push @{ $all{events} }, @{ $result->{events} };
        push @{ $all{failed} }, @{ $result->{failed} };
        $all{repeats} += $result->{repeats};
        $all{slowest} = $result->{slowest}
            if $result->{slowest} > $all{slowest};
    }
    $all{events} = [sort { $a->{id} <=> $b->{id} } @{ $all{events} }];
    return \%all;
}

package SSETestLoad;

# -- Subscribers --------------------------------------------------------------

# Each reads on and on, comes back with its last id whenever its stream has
# ended, and leaves by itself now and then.  Options:
#   port
#   after  the id it begins after
#   stay   how long it stays on average, 1 s; 0: until the server ends it
#   away   how long it is away then, at most
#   marks  1: "open" among what it got, where a stream begins
sub subscribers {
    my($count, $path, %opt) = @_;

    my @port = $opt{port} ? (port => $opt{port}) : ();
    my $stay = $opt{stay} // 1;
    return SSETestLoad::Subscribers->start($count, sub {
        my($number, $told) = @_;
        srand $$;
        my %result = (got => [], retries => [], streams => 0, refused => []);
        my $last = $opt{after};
        my($stream, $leave, $end);
        while (1) {
            my $upto = $told->();
            if (defined $upto) {
                my($id, $seconds) = split ' ', $upto;
                $end //= time + ($seconds // 20);
                last if $last >= $id || time > $end;
                $leave = 9e9; # it may need longer than it has stayed so far
            }
            if (!$stream) {
                $stream = eval { open_stream($path, @port, timeout => 5,
                    headers => { 'Last-Event-ID' => $last }) };
                $leave = $stay && !defined $upto
                    ? time - $stay * log(1 - rand) : 9e9;
                my $status = $stream ? $stream->status // 200 : 200;
                push @{ $result{refused} }, $status if is_refused($status);
                ++$result{streams};
                push @{ $result{got} }, 'open' if $opt{marks};
            }
            while ($stream && (my $block = $stream->next_block(0.05))) {
                push @{ $result{retries} }, $block->{retry}
                    if defined $block->{retry};
                next unless defined $block->{data};
                my $event = $block->{event} // 'none';
                push @{ $result{got} }, $event eq 'sse-gap' ? $event
                    : $block->{id} // $event;
                $last = $block->{id} if defined $block->{id};
                last if time > $leave;
            }
            if (!$stream || $stream->is_ended || time > $leave) {
                my $left = $stream && !$stream->is_ended;
                $stream->${\(rand() < 0.5 ? 'close' : 'reset')} if $left;
                undef $stream;
                sleep 0.01 + ($left ? rand($opt{away} // 0.05) : 0);
            }
        }
        return \%result;
    });
}

# A sanitizer lets a child be late for a store that another one opens.
sub is_refused {
    my $status = shift;
    return $status != 200 && !($status == 503 && $ENV{SSE_SAN});
}

package SSETestLoad::Subscribers;

our @ISA = ('SSETestLoad');

# Once they have all up to that id, or after so many seconds: for each got (ids,
# or names of events without one), retries, streams (so many), refused.
sub finish {
    my($self, $last, $seconds) = @_;

    return $self->results("$last $seconds");
}

package SSETestLoad;

# Of the results of subscribers those that do not have exactly these ids, in
# words.
sub wrong_ones {
    my($ids, @results) = @_;

    my @wrong;
    for my $number (0 .. $#results) {
        my @got = @{ $results[$number]{got} };
        next if "@got" eq "@$ids";
        my $i = 0;
        ++$i while $i < @got && $i < @$ids && $got[$i] eq $ids->[$i];
        my($has, $wants) = map { join ' ', grep { defined } @$_[$i .. $i + 2] }
            (\@got, $ids);
        push @wrong, "subscriber $number, event $i of " . @$ids
            . ": has [$has] and should have [$wants]";
    }
    return @wrong;
}

1;
