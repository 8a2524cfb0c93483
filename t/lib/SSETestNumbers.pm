# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# What sse-status says, of an httpd of the test's own (SSETestHttpd).
#
#   my $before = numbers(port => $port);
#   ...
#   ok t_cmp(grown($before, 'delivered', port => $port), 50);

package SSETestNumbers;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use List::Util qw(sum0);
use Time::HiRes qw(time);

use SSETest;

our @EXPORT = qw(numbers numbers_when numbers_at_rest growth grown soon_grown
                 adds_up are_open);

# A child that is about to leave may not answer.
sub numbers {
    my @opt = @_;

    return eventually(sub {
        request('GET', '/status?format=json', @opt)->json
    }) // die 'no status';
}

# Those of one moment: of the first of which the block, given them as $_, is
# true; or after the time (10 s) as they then are.
sub numbers_when(&@) {
    my($block, @opt) = @_;

    my $now;
    eventually(sub {
        local $_ = $now = numbers(@opt);
        return $block->();
    });
    return $now;
}

# Likewise, and nothing has been opened or closed for three seconds: clients that
# leave at once are far ahead of the server, and a child may stand still.
sub numbers_at_rest(&@) {
    my($block, @opt) = @_;

    my($last, $since) = ('', 0);
    return numbers_when(sub {
        my $now = $_;
        my $moves = join ' ', map { value_of($now, $_) } qw(opened closed);
        ($last, $since) = ($moves, time) if $moves ne $last;
        return time - $since >= 3 && $block->();
    }, @opt);
}

# One of them by its name, or as "closed" (the sum), "closed/client",
# "refused_by/host", "delivery" (a histogram's count).
sub value_of {
    my($numbers, $name) = @_;

    my($group, $key) = split m{/}, $name;
    my $value = $numbers->{$group} // $numbers->{histograms}{$group}{count};
    return $value if !ref $value;
    return defined $key ? $value->{$key} : sum0 values %$value;
}

# By how much it is more than before.
sub growth {
    my($before, $now, $name) = @_;

    return value_of($now, $name) - value_of($before, $name);
}

sub grown {
    my($before, $name, @opt) = @_;

    return growth($before, numbers(@opt), $name);
}

# The same, as soon as it is so much; or after the time (10 s) as it then is.
sub soon_grown {
    my($before, $name, $n, @opt) = @_;

    my $grown;
    eventually(sub { ($grown = grown($before, $name, @opt)) == $n });
    return $grown;
}

# Whether so many streams are open, in all and by their drives, or will be soon:
# a client may have read the first bytes of one that is not counted yet.
sub are_open {
    my($n, @opt) = @_;

    return eventually(sub {
        my $now = numbers(@opt);
        return $now->{streams} == $n && value_of($now, 'drives') == $n;
    });
}

# Whether what was opened is closed or open.
sub adds_up {
    my $now = numbers(@_);

    return $now->{opened} == $now->{streams} + value_of($now, 'closed');
}

1;
