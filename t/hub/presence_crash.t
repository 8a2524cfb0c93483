# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Who is on a channel is exact over a graceful restart, a killed child, a stop
# and a crash of the whole server: who comes back in time never left, all others
# leave, once, with the reason.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestPresence;
use SSETestServer qw(stream_pid);

my $users = have_apache_mpm('prefork') ? 6 : 8;

plan tests => 29, need_module('mod_sse', 'mod_authn_anon');

# Two ways to one channel: those who come back take their time, of the others
# nothing is heard again.
my $httpd = presence_httpd(join '', map { <<"EOI" } [stay => '60s'], [go => '200ms']);
<Location "/users/$_->[0]">
    SetHandler sse
    SSEChannel crash
    SSEPresence On
    SSEPresenceGrace $_->[1]
</Location>
EOI

my %streams;           # by user
my %seen;              # stream => user, as was told
my @left;              # "user reason"
my $look;
my $id;                # the last one that it was sent
my $wrong = '';

look(10);
come($_) for map { ("stay$_", "go$_") } 1 .. $users / 2;
ok t_cmp(follow(sub { keys %seen == $users }), 1, 'all are there');
my %was = reverse %seen;

killed_child();
come("go$_") for grep { !$streams{"go$_"} } 1 .. $users / 2;
follow(sub { keys %seen == $users });
restarted();
stopped();
come("go$_") for 1 .. $users / 2;
follow(sub { keys %seen == $users });
crashed();
ok t_cmp($wrong, '', 'nobody came or left twice');
# A child of the generation before the stop may still wait for a client.
ok t_cmp(join('', $httpd->complaints(qr/exit signal Killed|AH00046/)), '',
         'nothing is logged');

# Look on, after the last id if there is one: a stream ends with its child.
sub look {
    my($timeout) = @_;

    $look = eventually(sub {
        my $new = eval {
            look_on('/users/stay', user => 'looker',
                    headers => { $id ? ('Last-Event-ID' => $id) : () });
        };
        $new && ($new->status // 0) == 200 ? $new : undef;
    }, $timeout);
}

# Take in what is told until the condition holds.
sub follow {
    my($is_done) = @_;

    return eventually(sub {
        while (my $event = $look && $look->next_event(0.05)) {
            take($event);
        }
        look(1) if !$look || $look->is_ended;
        return $is_done->() ? 1 : 0;
    }, 20);
}

sub take {
    my($event) = @_;

    my $json = JSON::PP->new->utf8->decode($event->{data});
    $id = $event->{id} // $id;
    if ($event->{event} eq 'presence') {
        $wrong .= "a second snapshot " if %seen;
        $seen{$_->{stream}} = $_->{user} for @{ $json->{members} };
    }
    elsif ($event->{event} eq 'join') {
        $wrong .= "$json->{user} came twice " if $seen{$json->{stream}};
        $seen{$json->{stream}} = $json->{user};
    }
    elsif ($event->{event} eq 'leave') {
        my $user = delete $seen{$json->{stream}};
        $wrong .= "$json->{user} was not there " unless $user;
        push @left, "$json->{user} $json->{reason}";
    }
    else {
        $wrong .= "$event->{event} ";
    }
}

sub come {
    my($user) = @_;

    my($way) = $user =~ /^(\D+)/;
    $streams{$user} = eventually(sub {
        my $stream = eval { visit("/users/$way", $user) };
        return $stream;
    }, 20) or die "$user cannot come";
}

# Those whose streams have ended.
sub ended { return grep { $streams{$_}->wait_end(0) } sort keys %streams }

# Those of them who come back do, and the others leave, for that reason.
sub come_back {
    my($reason, @ended) = @_;

    delete @streams{@ended};
    my @gone = grep { /^go/ } @ended;
    my $expected = join ' ', map { "$_ (?:$reason)" } sort @gone;
    come($_) for grep { /^stay/ } @ended;
    ok t_cmp(follow(sub { @left >= @gone }), 1, "$reason: those who do not come back leave");
    ok t_cmp(join(' ', sort @left), qr/^$expected$/, 'each once');
    @left = ();
    my $doc = who_is_on('crash');
    ok t_cmp(join(' ', sort map { $_->{stream} } @{ $doc->{members} }),
             join(' ', sort keys %seen), 'which is what sse-status says');
    my %now = reverse %seen;
    ok t_cmp(join(' ', map { $now{$_} // '' } grep { /^stay/ } sort keys %was),
             join(' ', map { $was{$_} } grep { /^stay/ } sort keys %was),
             'those who came back never left');
    ok t_cmp(eventually(sub {
                 !grep { $_->{away} } @{ who_is_on('crash')->{members} }
             }), 1, 'and are not away');
    %was = %now;
}

# A client that has been told to come back takes its time, in which the store
# learns of it.
sub are_away {
    my(@users) = @_;

    return eventually(sub {
        my %away = map { $_->{user} => 1 }
            grep { $_->{away} } @{ (who_is_on('crash') // {})->{members} };
        return !grep { /^stay/ && !$away{$_} } @users;
    }, 20);
}

# Its clients may be back before httpd's parent has noticed.
sub killed_child {
    my %of;
    push @{ $of{ stream_pid($was{$_}) } }, $_ for sort keys %streams;
    my($pid) = sort { @{ $of{$b} } <=> @{ $of{$a} } } keys %of;
    my @lost = @{ $of{$pid} };
    kill KILL => $pid or die "kill: $!";
    ok t_cmp(eventually(sub { @lost == ended() }), 1,
             'a child is killed with ' . @lost . ' streams');
    come_back('crash', @lost);
}

sub restarted {
    ok t_cmp($httpd->new_generation, 1, 'a graceful restart');
    ok t_cmp(eventually(sub { keys %streams == ended() }, 20), 1,
             'ends all streams');
    ok t_cmp(are_away(ended()), 1, 'which are missed');
    come_back('shutdown', ended());
}

sub stopped {
    come("go$_") for 1 .. $users / 2;
    follow(sub { keys %seen == $users });
    %was = reverse %seen;
    ok t_cmp($httpd->stop, 1, 'a stop');
    $httpd->start;
    # A sanitizer makes a child miss the time that a stop gives it.
    come_back($ENV{SSE_SAN} ? 'stop|crash' : 'stop', sort keys %streams);
}

sub crashed {
    %was = reverse %seen;
    ok t_cmp($httpd->kill_all, 1, 'a crash of everything');
    $httpd->start;
    come_back('crash', sort keys %streams);
}
