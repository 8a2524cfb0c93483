# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# What the C test modules of close notification have seen, and how to have them
# see it.
#
#   my $k = key();
#   my $stream = app($k, reg => 2, rn => 20);      # GET /close/app/?k=...
#   $stream->close;
#   my $close = told($k, 'close');                 # waits for it
#   ok $close->{reason} eq 'client';
#   ok seen($k, 'cb') == 2;

package SSETestClose;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use Time::HiRes qw(CLOCK_MONOTONIC clock_gettime sleep time);

use Apache::Test qw(ok);
use Apache::TestUtil qw(t_cmp);
use SSETest;
use SSETestServer;

our @EXPORT = qw(key app opened url seen told names count_seen monotonic
                 write_files slowly closed_streams how_many in_all
                 ends_match both_end ends);

my $count = 0;
my($offset, %seen);
my $log = Apache::Test::config()->{vars}{t_logs} . '/closes';

# How much longer things may take under a sanitizer.
sub slowly { return $_[0] * ($ENV{SSE_SAN} ? 4 : 1) }

sub key { return "$test_id-" . ++$count }

sub monotonic { return clock_gettime(CLOCK_MONOTONIC) * 1e6 }

sub url {
    my($path, $k, %args) = @_;

    return join '&', "$path?k=$k", map { "$_=$args{$_}" } sort keys %args;
}

# A stream that mod_sse_close starts, or what else answers there.  Options of
# open_stream() in a leading array.
sub app {
    my @opt = ref $_[0] ? @{ +shift } : ();
    my($k, %args) = @_;

    return open_stream(url(delete $args{path} // '/close/app/x', $k, %args),
                       @opt);
}

# The same, once it is open: its first bytes come before that.
sub opened {
    my $stream = app(@_);
    $stream->next_block(slowly(5)) or die 'no stream begins';
    told(ref $_[0] ? $_[1] : $_[0], 'open')->{id} // die 'no stream opens';
    return $stream;
}

sub read_log {
    $offset //= 0;
    return if (-s $log // 0) <= $offset;
    open my $fh, '<', $log or die "open $log: $!";
    seek $fh, $offset, 0;
    while (my $line = <$fh>) {
        last if $line !~ /\n\z/;
        $offset += length $line;
        my($usec, $pid, $k, $what, $rest) = split ' ', $line, 5;
        my %values = map { /^(\w+)=(.*)/s ? ($1, $2) : () }
            split ' ', $rest // '';
        push @{ $seen{$k} },
            { usec => $usec, pid => $pid, what => $what, %values };
    }
}

# All lines of a key, in order; or those that are about this.
sub seen {
    my($k, $what) = @_;

    read_log();
    my @all = @{ $seen{$k} // [] };
    return $what ? grep { $_->{what} eq $what } @all : @all;
}

sub count_seen { return scalar(my @all = seen(@_)) }

# The first such line, once it is there; {} after the time (5 s).
sub told {
    my($k, $what, $timeout) = @_;

    return eventually(sub { (seen($k, $what))[0] }, $timeout // slowly(5))
        // {};
}

# The names of the callbacks that ran, in order, once there are so many.
sub names {
    my($k, $n, $timeout) = @_;

    eventually(sub { count_seen($k, 'cb') >= $n }, $timeout // slowly(5));
    return join ' ', map { $_->{name} } seen($k, 'cb');
}

# What was told of it: "open close reason", once each.
sub ends {
    my $k = shift;

    my $close = told($k, 'close');
    sleep 0.02;
    return join ' ', count_seen($k, 'open'), count_seen($k, 'close'),
        $close->{reason} // 'none';
}

# Of how many of these, each as $_, the block is true.
sub how_many(&@) {
    my($block, @keys) = @_;

    return scalar grep { $block->() } @keys;
}

# How many of these have it.
sub in_all {
    my($keys, $want, $name, $has) = @_;
    ok t_cmp((how_many { $has->($_) } @$keys) + 0, $want, $name);
}

# As many ends as openings; a request that came so far as to register is told
# of its end, stream or not.  Clients that leave at once are far ahead of the
# server: some of their requests may begin only while this looks, so it looks
# until nothing has changed for a second, and judges what it then saw.
sub ends_match {
    my($name, @keys) = @_;

    my(%n, $since);
    my $last = '';
    my $done = eventually(sub {
        %n = counts(@keys);
        my $now = join ' ', map { "@{$n{$_}}{qw(open close registered cb)}" }
            @keys;
        ($last, $since) = ($now, time) if $now ne $last;
        return time - $since >= 1 && !grep {
            $_->{open} != $_->{close} || $_->{registered} != $_->{cb}
        } values %n;
    }, slowly(10));
    ok t_cmp($done, 1, "$name: all have ended");
    in_all(\@keys, scalar @keys, "$name: opens equal closes", sub {
        $n{$_}{open} == $n{$_}{close} && $n{$_}{open} <= 1
    });
    in_all(\@keys, scalar @keys, "$name: each callback runs once", sub {
        $n{$_}{registered} == $n{$_}{cb} && $n{$_}{cb} <= 1
    });
}

# How often each of these keys has been told of, by what, at one moment.
sub counts {
    my @keys = @_;

    read_log();
    my %n;
    for my $k (@keys) {
        $n{$k} = { map { $_ => 0 } qw(open close registered cb) };
        $n{$k}{$_->{what}}++ for @{ $seen{$k} // [] };
    }
    return %n;
}

# 1, 10: sse_end and the client's close at the same moment.
sub both_end {
    my($name, $n, @opt) = @_;

    my @keys;
    for my $i (1 .. $n) {
        push @keys, key();
        my $stream = app(\@opt, $keys[-1], reg => 1, rend => 1,
                         rusec => int 2 ** rand 15);
        $stream->head;
        $i % 2 ? $stream->close : $stream->reset;
    }
    ends_match($name, @keys);
    my %reasons;
    $reasons{$_->{reason}}++ for map { seen($_, 'close') } @keys;
    my $by_client = ($reasons{client} // 0) + ($reasons{reset} // 0);
    ok t_cmp(($reasons{server} // 0) > 0 && $by_client > 0, 1,
             "$name: it was a race: "
             . join ', ', map { "$_ $reasons{$_}" } sort keys %reasons);
}

# The ids of what is told of as that.
sub ids {
    my($what, $told) = @_;

    return join ' ', sort map { $_->{id} } grep { $_->{what} eq $what } @$told;
}

# Whether no stream is open and no opening is without its one end.  One whose
# client has left at once may be opened only while this looks.
sub closed_streams {
    my $are_closed = no_streams(slowly(10)) && eventually {
        read_log();
        !grep { ids('open', $_) ne ids('close', $_) } values %seen;
    };
    return $are_closed ? 1 : 0;
}

# Files to be served, by their path below the document root.
sub write_files {
    my %files = @_;

    my $root = Apache::Test::vars('documentroot');
    for my $path (sort keys %files) {
        require File::Basename;
        require File::Path;
        File::Path::make_path(File::Basename::dirname("$root/$path"));
        open my $fh, '>', "$root/$path" or die "open $root/$path: $!";
        print $fh $files{$path};
        close $fh or die "close: $!";
        chmod 0644, "$root/$path";
    }
}

1;
