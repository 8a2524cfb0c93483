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
                 ends_match both_end ends hold let_go);

my $count = 0;
my %seen;
my $logs = Apache::Test::config()->{vars}{t_logs};
my $log = "$logs/closes";
my $offset = -s $log || 0; # older lines are none of the test's business
my $grown = time;          # when there were new ones last
my $hold = "$logs/close-hold";
my $test = $$;

END { let_go() if $$ == $test }

# What waits while held does so until let_go().
sub hold {
    open my $fh, '>', $hold or die "$hold: $!";
}

sub let_go { unlink $hold }

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
    return if (-s $log // 0) <= $offset;
    open my $fh, '<', $log or die "open $log: $!";
    seek $fh, $offset, 0;
    $grown = time;
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

# Whether nobody has been told anything for a second.  Clients that leave at once
# are far ahead of the server: some of their requests may begin only while the
# test looks.
sub is_quiet {
    read_log();
    return time - $grown >= 1;
}

# As many ends as openings; a request that came so far as to register is told
# of its end, stream or not.
sub ends_match {
    my($name, @keys) = @_;

    my %n;
    my $done = eventually(sub {
        my $is_quiet = is_quiet();
        %n = counts(@keys);
        return $is_quiet && !grep {
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

    my %n;
    for my $k (@keys) {
        $n{$k} = { map { $_ => 0 } qw(open close registered cb) };
        $n{$k}{$_->{what}}++ for @{ $seen{$k} // [] };
    }
    return %n;
}

# 1, 10: sse_end and the client's close at the same moment: so many times, and on
# until each has been first.
sub both_end {
    my($name, $n, @opt) = @_;

    my(@keys, %reasons);
    my $was_race = sub {
        %reasons = ();
        $reasons{$_->{reason}}++ for map { seen($_, 'close') } @keys;
        return $reasons{server} && ($reasons{client} || $reasons{reset});
    };
    while (@keys < $n || @keys < 5 * $n && !$was_race->()) {
        # Up to 30 ms; where that was too short for one, up to 500 ms for both.
        my $bits = 15 + int(@keys / $n);
        push @keys, my $k = key();
        my $stream = app(\@opt, $k, reg => 1, rend => 1,
                         rusec => int(2 ** rand($bits)));
        $stream->head;
        sleep 2 ** rand($bits) / 1e6 if @keys > $n;
        @keys % 2 ? $stream->close : $stream->reset;
    }
    ends_match($name, @keys);
    ok t_cmp(!!$was_race->(), 1, "$name: it was a race: "
             . join ', ', map { "$_ $reasons{$_}" } sort keys %reasons);
}

# The streams of this test's keys that are told of, as ids.
sub ids_of {
    my $what = shift;

    return join ' ', sort map { $_->{id} } grep { $_->{what} eq $what }
        map { @{ $seen{$_} } } grep { /^\Q$test_id\E-/ } keys %seen;
}

# Whether no stream is open and no opening is without its one end.
sub closed_streams {
    return eventually(sub {
        return is_quiet() && no_streams(0) && ids_of('open') eq ids_of('close')
            ? 1 : 0;
    }, slowly(10));
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
