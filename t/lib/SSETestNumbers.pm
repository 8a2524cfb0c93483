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

use SSETest;

our @EXPORT = qw(numbers grown value_of adds_up are_open);

# A child that is about to leave may not answer.
sub numbers {
    my @opt = @_;

    return eventually(sub {
        request('GET', '/status?format=json', @opt)->json
    }) // die 'no status';
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

sub grown {
    my($before, $name, @opt) = @_;

    return value_of(numbers(@opt), $name) - value_of($before, $name);
}

# Whether so many streams are open, or will be soon: a client may have read the
# first bytes of one that is not counted yet.
sub are_open {
    my($n, @opt) = @_;

    return eventually(sub { numbers(@opt)->{streams} == $n });
}

# Whether what was opened is closed or open.
sub adds_up {
    my $now = numbers(@_);

    return $now->{opened} == $now->{streams} + value_of($now, 'closed');
}

1;
