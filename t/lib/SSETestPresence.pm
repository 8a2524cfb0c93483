# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# What the tests of presence share: a server of their own, and who is there.
#
#   my $httpd = presence_httpd($conf);     # more configuration
#   my $look = look_on('/p/x');            # ?presence
#   my $ann = visit('/p/x', 'ann');        # a stream of that user
#   my $event = told($look, 'join');       # { ..., json => { ... } }
#   my $doc = who_is_on('/p/x');           # of sse-status

package SSETestPresence;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use JSON::PP ();
use MIME::Base64 qw(encode_base64);

use SSETest;
use SSETestHttpd;

our @EXPORT = qw(presence_httpd look_on visit told who_is_on names);

my $httpd;

# Channels: /p/ for anybody, /u/ for users of any name, whatever their password.
sub presence_httpd {
    my($conf, %opt) = @_;

    $httpd = SSETestHttpd->new(
        %opt,
        modules => [qw(auth_basic authn_core authn_anon authz_user),
                    @{ $opt{modules} // [] }],
        conf => <<"EOI");
<LocationMatch "^/(p|u)/">
    SetHandler sse
    SSEPublish On
    SSEPresence On
    SSEPresenceGrace 6s
</LocationMatch>
<LocationMatch "^/(u|users)/">
    AuthType Basic
    AuthName anybody
    AuthBasicProvider anon
    Anonymous *
    Anonymous_MustGiveEmail Off
    Anonymous_VerifyEmail Off
    Require valid-user
</LocationMatch>
$conf
EOI
    $httpd->start or die 'it does not start';
    return $httpd;
}

sub headers_of {
    my($user) = @_;

    return defined $user
        ? (Authorization => 'Basic ' . encode_base64("$user:x", '')) : ();
}

# Options: those of open_stream, and user.
sub look_on {
    my($path, %opt) = @_;

    my %headers = (%{ $opt{headers} // {} }, headers_of($opt{user}));
    my $look = open_stream("$path?presence", port => $httpd->port, %opt,
                           headers => \%headers);
    $look->head;
    return $look;
}

sub visit {
    my($path, $user, %opt) = @_;

    my $stream = open_stream($path, port => $httpd->port, %opt,
                             headers => { headers_of($user),
                                          %{ $opt{headers} // {} } });
    ($stream->status // 0) == 200 or die "$path: " . ($stream->status // 'none');
    return $stream;
}

# The next event, which is one of that name; undef if it is another one, or none
# comes.
sub told {
    my($look, $name, $timeout) = @_;

    my $event = $look->next_event($timeout) or return undef;
    $event->{json} = eval { JSON::PP->new->utf8->decode($event->{data}) };
    return $event->{event} eq $name ? $event : undef;
}

sub who_is_on {
    my($path) = @_;

    return request('GET', "/status?channel=$path", port => $httpd->port)->json;
}

# The users of a document, in the order of their coming.
sub names { return join ' ', map { $_->{user} // '-' } @{ $_[0]{members} } }

1;
