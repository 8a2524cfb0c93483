# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Counts the TAP that prove and Apache::Test left in the directory named by
# PERL_TEST_HARNESS_DUMP_TAP: prints "passed failed skipped".  A planned test that
# did not run has failed.  On stderr: the tests that were skipped, and those that
# failed, with their messages.

use strict;
use warnings FATAL => 'all';

use File::Find ();
use TAP::Parser ();

my($dir) = @ARGV;
my($passed, $failed, $skipped) = (0, 0, 0);

sub count {
    my $file = shift;

    open my $fh, '<', $file or die "open $file: $!";
    my $parser = TAP::Parser->new({ tap => do { local $/; <$fh> // '' } });
    (my $name = $file) =~ s{^\Q$dir\E/+}{};
    my($good, $bad) = (0, 0);
    my @said;
    while (my $result = $parser->next) {
        if (!$result->is_test) {
            push @said, $result->as_string if $result->is_comment;
            next;
        }
        if ($result->has_skip) {
            ++$skipped;
        }
        elsif ($result->is_ok) {
            ++$good;
        }
        else {
            ++$bad;
            splice @said, 0, -20;
            print STDERR join "\n", "failed: $name: " . $result->as_string,
                @said, '';
        }
        @said = ();
    }
    if (my $why = $parser->skip_all) {
        print STDERR "skipped: $name: $why\n";
        ++$skipped;
        return;
    }
    my $missing = ($parser->tests_planned // 0) - $parser->tests_run;
    $bad += $missing if $missing > 0;
    $bad ||= 1 if $parser->parse_errors;
    $passed += $good;
    $failed += $bad;
}

File::Find::find({ no_chdir => 1, wanted => sub { count($_) if -f } }, $dir)
    if -d $dir;
print "$passed $failed $skipped\n";
