#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# What "make lint" checks of the tree as a whole.  Prints what is wrong.
#
#   scripts/tree.pl references   files that docs and comments name are there
#   scripts/tree.pl private      a *_private.h is included in its own folder, and
#                                those below it, only
#   scripts/tree.pl order        a folder of src/ includes those before it only,
#                                in the order of docs/design.md's file map
#   scripts/tree.pl map          that map names every file of src/, once
#   scripts/tree.pl provider     a store provider's name stands in its folder
#                                and in its row of the table, nowhere else

use strict;
use warnings FATAL => 'all';

use File::Basename qw(basename dirname);
use File::Find ();

chdir dirname(__FILE__) . '/..' or die "chdir: $!";

my %file; # every file of the tree, and every folder
File::Find::find({ no_chdir => 1, wanted => sub {
    $File::Find::prune = scalar
        m{^\./(?:\.git|build)$|^\./t/(?:logs|state|htdocs)$|/node_modules$};
    (my $name = $_) =~ s{^\./}{};
    $file{$name} = -d $_ ? 'folder' : 'file' unless $File::Find::prune;
} }, '.');
my @sources = sort grep { m{^src/.*\.[ch]$} } keys %file;
my %base = map { basename($_) => 1 } keys %file;

sub read_file {
    my $name = shift;

    open my $in, '<', $name or die "$name: $!";
    local $/;
    return scalar <$in>;
}

# Calls back with each line of a file and where that is.
sub each_line {
    my($name, $on_line) = @_;

    my $n = 0;
    $on_line->($_, "$name:" . ++$n) for split /\n/, read_file($name), -1;
}

# Whether a pattern as in a shell, of a path or a file's name, matches any.
sub is_there {
    my($pattern, $among) = @_;

    $pattern =~ s{/$}{};
    return 1 if exists $among->{$pattern};
    return exists $among->{"$pattern.c"} unless $pattern =~ /[*\[{]/;
    my $regex = quotemeta $pattern;
    $regex =~ s/\\\*/[^\/]*/g;
    $regex =~ s/\\\[(\w+)\\\]/[$1]/g;
    $regex =~ s/\\\{([\w\\,]+)\\\}/'(?:' . join('|', split m{\\,}, $1) . ')'/ge;
    return scalar grep { m{^$regex$} } keys %$among;
}

# -- references ---------------------------------------------------------------

# A run makes these.
my $made = qr{^t/(?:TEST|logs|state|htdocs|conf/(?:[\w.]+\.conf|ssl/ca))(?:/|$)
              |^c-modules/.*/\.libs/}x;
# Stands for a name.
my $any = qr{/X/|/X$|NAME|TOPIC};
my $top = qr{src|t|docs|scripts|bench|support|conf|contrib|c-modules|htdocs|\.ci};
my $path = qr~(?<![\w./\\\$\@}"-])((?:$top)/[\w./*\[\]{},-]+)~;
my $ours = qr{(?:sse|test|fuzz|load|client|soak|mod_sse|mod_bench|bench)_};
my $ends = qr{\.(?:\[ch\]|[cht]|pl|pm|sh)};

sub references {
    for my $name (sort grep { $file{$_} eq 'file' } keys %file) {
        next if $name =~ m{^(?:LICENSE|CHANGES)$|/corpus|package-lock
                     |^scripts/(?:tree\.pl|clang-tidy\.yaml)$}x;
        each_line($name, sub {
            my($line, $at) = @_;
            while ($line =~ /$path/g) {
                (my $to = $1) =~ s/[.,]+$//;
                $to =~ s/[\]}]$// if $to !~ /[\[{]/;
                next if $to =~ $made || $to =~ $any;
                print "$at: $to is not there\n" unless is_there($to, \%file);
            }
            while ($line =~ m{(?<![\w./*-])($ours[\w*]*$ends)(?!\w)}g) {
                print "$at: $1 is not there\n"
                    unless $1 =~ $any || is_there($1, \%base);
            }
            if ($line =~ /^ \* \@file (\S+)$/ && $1 ne basename($name)) {
                print "$at: the file is " . basename($name) . ", not $1\n";
            }
        });
        links($name) if $name =~ /\.md$/;
    }
}

# A document's headings, as GitHub and others make anchors of them.
sub anchors {
    my @headings = read_file(shift) =~ /^#+ +(.*?) *$/mg;

    for (@headings) {
        s/\[([^\]]*)\]\([^)]*\)/$1/g;
        $_ = lc;
        s/[^\w -]//g;
        tr/ /-/;
    }
    return map { $_ => 1 } @headings;
}

# Links of a document, and the names of ours in it: files, or words of the code.
sub links {
    my $name = shift;

    our %code;
    %code = map { $_ => 1 } map { read_file($_) =~ /\b(\w+)\b/g } 'mod_sse.h',
        grep { /\.[ch]$|\.conf/ } keys %file unless %code;
    each_line($name, sub {
        my($line, $at) = @_;
        while ($line =~ /\]\(([^)#\s]*)(?:#([^)\s]+))?\)/g) {
            my($to, $anchor) = ($1, $2);
            next if $to =~ /^\w+:/;
            my $path = $to eq '' ? $name : dirname($name) . "/$to";
            1 while $path =~ s{[^/.]+/\.\./}{};
            $path =~ s{^(?:\./)+}{};
            if (!$file{$path =~ s{/$}{}r}) {
                print "$at: the link's $path is not there\n";
            }
            elsif (defined $anchor && !{ anchors($path) }->{$anchor}) {
                print "$at: $path has no heading #$anchor\n";
            }
        }
        while ($line =~ /`(sse_\w+)(?:\(\))?`/g) {
            print "$at: $1 is neither a file nor in the code\n"
                unless $code{$1} || $base{"$1.c"} || $base{"$1.h"};
        }
    });
}

# -- includes -----------------------------------------------------------------

# Calls back with each file of src/ and each other one that it includes.
sub each_include {
    my $on_include = shift;

    for my $name (@sources) {
        each_line($name, sub {
            my($line, $at) = @_;
            return unless $line =~ /^\s*#\s*include "([^"]+)"/;
            my $to = $1;
            my($path) = grep { $file{$_} } "src/$to", dirname($name) . "/$to";
            $on_include->($at, $name, $path) if $path;
        });
    }
}

sub private {
    each_include(sub {
        my($at, $from, $to) = @_;
        print "$at: $to is private to " . dirname($to) . "\n"
            if $to =~ /_private\.h$/
                && index(dirname($from) . '/', dirname($to) . '/') != 0;
    });
}

# The map: folders in their order, each with what its files are.  A line is a
# folder ("src/loop/  what"), or, indented, a file's name or pattern.
sub read_map {
    my($block) = read_file('docs/design.md') =~ /^```map\n(.*?)^```/ms;
    my(@folders, @entries);

    die "docs/design.md has no map\n" unless $block;
    for (split /\n/, $block) {
        if (m{^(src(?:/\w+)*)/?(?:  |$)}) {
            push @folders, $1;
        }
        elsif (/^ +(\S+)/) {
            push @entries, "$folders[-1]/$1";
        }
    }
    return(\@folders, \@entries);
}

sub order {
    my($folders) = read_map();
    my %rank = map { $folders->[$_] => $_ } 0 .. $#$folders;

    each_include(sub {
        my($at, $from, $to) = @_;
        my($a, $b) = map { $rank{+dirname($_)} // die "$_ is on no map\n" }
            $from, $to;
        print "$at: " . dirname($from) . ' stands before ' . dirname($to)
            . " and must not include it\n" if $b > $a;
    });
}

sub map_of_files {
    my($folders, $entries) = read_map();
    my %left = map { $_ => 1 } @sources;

    for my $entry (@$entries) {
        my @found = grep { is_there($entry, { $_ => 1 }) } @sources;
        print "docs/design.md: the map's $entry is not there\n" unless @found;
        for (@found) {
            print "docs/design.md: the map has $_ twice\n"
                unless delete $left{$_};
        }
    }
    print "docs/design.md: the map lacks $_\n" for sort keys %left;
}

# -- providers ----------------------------------------------------------------

sub provider {
    my @providers = map { m{^src/store/(\w+)$} ? $1 : () } sort keys %file;

    for my $name (grep { $_ ne 'src/store/sse_store_providers.h' } @sources) {
        for my $provider (@providers) {
            next if $name =~ m{^src/store/$provider/};
            each_line($name, sub {
                my($line, $at) = @_;
                print "$at: says $provider\n" if $line =~ /$provider/i;
            });
        }
    }
}

my %check = (references => \&references, private => \&private,
             order => \&order, map => \&map_of_files, provider => \&provider);
my $check = $check{$ARGV[0] // ''}
    or die 'usage: tree.pl ' . join('|', sort keys %check) . "\n";
$check->();
