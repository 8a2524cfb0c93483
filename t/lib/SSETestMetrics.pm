# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# A strict reader of OpenMetrics 1.0 and of the text format 0.0.4 that was before
# it, with the rules that "promtool check metrics" has for names.
#
#   my($families, @faults) = read_metrics($body);          # or ($body, 'classic')
#   $families->{modsse_opened}{type};                      # counter
#   metric($families, 'modsse_closed_total{reason="client"}');   # its value

package SSETestMetrics;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';

our @EXPORT = qw(read_metrics metric);

my $name_re = qr/[a-zA-Z_:][a-zA-Z0-9_:]*/;
my $number_re = qr/-?(?:[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?|Inf)|NaN|\+Inf/;
my %types = map { $_ => 1 } qw(counter gauge histogram info);
my %units = map { $_ => 1 } qw(bytes seconds);

# What a sample of a family may have behind the family's name.
my %suffixes = (
    open    => { counter => ['_total'], gauge => [''], info => ['_info'],
                 histogram => [qw(_bucket _sum _count)] },
    classic => { counter => [''], gauge => [''], info => [],
                 histogram => [qw(_bucket _sum _count)] },
);

# All families by name, and what is wrong, in words.
sub read_metrics {
    my($body, $form) = @_;

    my $self = { form => $form // 'open', families => {}, faults => [],
                 seen => {} };
    if ($self->{form} eq 'open') {
        $body =~ s/^# EOF\n\z//m or fault($self, 'there is no # EOF at the end');
        fault($self, 'there is more than one # EOF') if $body =~ /^# EOF/m;
    }
    fault($self, 'a carriage return') if $body =~ /\r/;
    fault($self, 'no line end at the end') if $body !~ /\n\z/;
    for my $line (split /\n/, $body, -1) {
        next if $line eq '' && $self->{done}; # behind the last line end
        $line =~ /^#/ ? take_meta($self, $line)
            : $line eq '' ? ($self->{done} = 1)
            : take_sample($self, $line);
    }
    check_family($self, $_) for sort keys %{ $self->{families} };
    return ($self->{families}, @{ $self->{faults} });
}

sub fault { push @{ $_[0]{faults} }, $_[1] }

# A family's lines stand together.
sub enter {
    my($self, $name) = @_;

    my $family = $self->{families}{$name};
    if (!$family) {
        $family = $self->{families}{$name} = { name => $name, samples => [] };
    }
    elsif ($self->{at} ne $name) {
        fault($self, "$name comes in two places");
    }
    $self->{at} = $name;
    return $family;
}

sub take_meta {
    my($self, $line) = @_;

    my($what, $name, $rest) = $line =~ /^# (TYPE|HELP|UNIT) ($name_re) (.+)\z/
        or return fault($self, "no line of metadata: $line");
    my $family = enter($self, $name);
    fault($self, "$name: $what twice") if defined $family->{lc $what};
    fault($self, "$name: $what behind a sample") if @{ $family->{samples} };
    fault($self, "$name: a backslash in HELP") if $rest =~ /\\(?![\\n"])/;
    $family->{lc $what} = $rest;
}

sub labels_of {
    my($self, $text) = @_;

    my %labels;
    while (length $text) {
        $text =~ s/\A([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,(?=.)|\z)//
            or return fault($self, "no labels: $text");
        fault($self, "the label $1 twice") if exists $labels{$1};
        fault($self, "the label $1") if $1 =~ /^__|[A-Z]/;
        $labels{$1} = $2;
    }
    return \%labels;
}

sub take_sample {
    my($self, $line) = @_;

    my($name, $labels, $value) =
        $line =~ /^($name_re)(?:\{([^}]*)\})? ($number_re)\z/
        or return fault($self, "no sample: $line");
    my $family = $self->{families}{ $self->{at} // '' };
    my $suffixes = $suffixes{ $self->{form} }{ $family->{type} // '' } // [];
    if (!grep { $name eq "$self->{at}$_" } @$suffixes) {
        return fault($self, "$name is not one of the family before it");
    }
    my $sample = { name => $name, labels => labels_of($self, $labels // ''),
                   value => $value };
    my $key = join ',', $name, map { "$_=$sample->{labels}{$_}" }
        sort keys %{ $sample->{labels} };
    fault($self, "$line twice") if $self->{seen}{$key}++;
    push @{ $family->{samples} }, $sample;
}

sub check_family {
    my($self, $name) = @_;

    my $family = $self->{families}{$name};
    my $type = $family->{type} // '';
    fault($self, "$name: no type that there is: $type")
        unless @{ $suffixes{ $self->{form} }{$type} // [] };
    fault($self, "$name: no HELP") unless length($family->{help} // '');
    fault($self, "$name: no sample") unless @{ $family->{samples} };
    check_unit($self, $family);
    check_name($self, $name, $type);
    check_values($self, $family) if $type ne 'histogram';
    check_histogram($self, $family) if $type eq 'histogram';
}

sub check_unit {
    my($self, $family) = @_;

    my $base = $family->{name};
    $base =~ s/_total\z//;
    if (defined(my $unit = $family->{unit})) {
        fault($self, "$base: UNIT in the old format") if $self->{form} ne 'open';
        fault($self, "$base: no base unit: $unit") unless $units{$unit};
        fault($self, "$base does not end in its unit") if $base !~ /_\Q$unit\E\z/;
    }
    elsif ($self->{form} eq 'open' && $base =~ /_(?:bytes|seconds)\z/) {
        fault($self, "$base has a unit that is not told");
    }
}

# What promtool says of names.
sub check_name {
    my($self, $name, $type) = @_;

    my $is_old = $self->{form} eq 'classic';
    fault($self, "$name: the prefix") if $name !~ /^modsse_/;
    fault($self, "$name: case") if $name =~ /[A-Z]/;
    fault($self, "$name: the type in the name")
        if $name =~ /_(?:counter|gauge|histogram)(?:_|\z)/;
    fault($self, "$name: an abbreviated unit")
        if $name =~ /_(?:s|ms|us|ns|sec|b|kb|mb|milliseconds|kilobytes)(?:_|\z)/;
    fault($self, "$name: a reserved end")
        if $name =~ /_(?:count|sum|bucket)\z/;
    fault($self, "$name: _total where it belongs, and nowhere else")
        if ($name =~ /_total\z/) != ($is_old && $type eq 'counter');
}

sub check_values {
    my($self, $family) = @_;

    for my $sample (@{ $family->{samples} }) {
        fault($self, "$sample->{name}: le") if exists $sample->{labels}{le};
        fault($self, "$sample->{name} below zero: $sample->{value}")
            if $sample->{value} !~ /^[0-9]/;
        fault($self, "$sample->{name} is not 1")
            if $family->{type} eq 'info' && $sample->{value} ne '1';
    }
}

# Buckets grow, the last one is all; there are a sum and a count.
sub check_histogram {
    my($self, $family) = @_;

    my $name = $family->{name};
    my($bound, $below, %one) = (-1, 0);
    for my $sample (@{ $family->{samples} }) {
        if ($sample->{name} ne "${name}_bucket") {
            $one{ $sample->{name} } = $sample->{value};
            next;
        }
        my $le = $sample->{labels}{le} // '';
        $le =~ /^(?:[0-9]+\.[0-9]+|\+Inf)\z/ or fault($self, "$name: le=$le");
        my $number = $le eq '+Inf' ? 9**9**9 : $le;
        fault($self, "$name: the bounds do not grow: $le") if $number <= $bound;
        fault($self, "$name: $le has fewer") if $sample->{value} < $below;
        ($bound, $below) = ($number, $sample->{value});
    }
    fault($self, "$name: no bucket +Inf") if $bound != 9**9**9;
    fault($self, "$name: the count is not that of +Inf")
        if ($one{"${name}_count"} // -1) != $below;
    fault($self, "$name: no sum") if ($one{"${name}_sum"} // '') !~ /^[0-9]/;
}

# The value of one sample, as it is written; undef where there is none.
sub metric {
    my($families, $wanted) = @_;

    for my $family (values %$families) {
        for my $sample (@{ $family->{samples} }) {
            my $labels = join ',', map { qq($_="$sample->{labels}{$_}") }
                sort keys %{ $sample->{labels} };
            my $name = $sample->{name} . ($labels ? "{$labels}" : '');
            return $sample->{value} if $name eq $wanted;
        }
    }
    return undef;
}

1;
