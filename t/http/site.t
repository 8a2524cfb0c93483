# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# A hub beside an application that takes every path which is no file: rules in
# .htaccess, in the server's configuration, FallbackResource.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestClose;

# What WordPress writes when its permalinks are set.
my $wordpress = <<'EOI';
RewriteEngine On
RewriteRule .* - [E=HTTP_AUTHORIZATION:%{HTTP:Authorization}]
RewriteBase /
RewriteRule ^index\.php$ - [L]
RewriteCond %{REQUEST_FILENAME} !-f
RewriteCond %{REQUEST_FILENAME} !-d
RewriteRule . /index.php [L]
EOI

# What Laravel comes with, in public/.htaccess.
my $laravel = <<'EOI';
<IfModule mod_negotiation.c>
    Options -MultiViews -Indexes
</IfModule>
RewriteEngine On
RewriteCond %{HTTP:Authorization} .
RewriteRule .* - [E=HTTP_AUTHORIZATION:%{HTTP:Authorization}]
RewriteCond %{HTTP:x-xsrf-token} .
RewriteRule .* - [E=HTTP_X_XSRF_TOKEN:%{HTTP:X-XSRF-Token}]
RewriteCond %{REQUEST_FILENAME} !-d
RewriteCond %{REQUEST_URI} (.+)/$
RewriteRule ^ %1 [L,R=301]
RewriteCond %{REQUEST_FILENAME} !-d
RewriteCond %{REQUEST_FILENAME} !-f
RewriteRule ^ index.php [L]
EOI

my $port = Apache::Test::vars('port');
my @apps = (
    ['WordPress', $wordpress],
    ['Laravel', $laravel],
    ['a query of its own', "RewriteEngine On\n"
         . "RewriteCond %{REQUEST_FILENAME} !-f\n"
         . "RewriteRule ^(.*)\$ /index.php?q=\$1\n"],
    ['FallbackResource', "FallbackResource /index.php\n"],
    ['[P]', "RewriteEngine On\nRewriteCond %{REQUEST_FILENAME} !-f\n"
         . "RewriteRule ^(.*)\$ http://127.0.0.1:$port/site/index.php [P]\n"],
    ['no rules', '', 404],
);

plan tests => 12 * @apps + 6 + 7 + 5 + 3 + 9,
    need_module('mod_sse', 'mod_rewrite', 'mod_dir', 'mod_proxy_http');

my $k = 0;
write_files('site/index.php' => "the application\n");
for my $app (@apps) {
    htaccess($app->[1]);
    hub('sse_site', @$app);
}
rules_of_the_server();
what_a_rule_refuses();
directories();
what_mod_proxy_takes();
directives();

sub htaccess {
    write_files('site/.htaccess' => $_[0]);
}

sub channel {
    return "/events/site-$$-" . ++$k;
}

# All that a hub does, and an ordinary page.
sub hub {
    my($module, $name, undef, $page) = @_;

    my $path = channel();
    my $stream = open_stream($path, module => $module);
    ok t_cmp($stream->status, 200, "$name: a subscriber");
    ok t_cmp($stream->header('content-type'), qr{^text/event-stream\b},
             'has a stream');
    my $answer = publish("$path?event=named", 'hello', module => $module);
    ok t_cmp($answer->code, 200, "$name: a publisher");
    ok t_cmp($answer->json && $answer->json->{channel}, $path,
             'the channel is the path that the client sent');
    my $event = $stream->next_event(5);
    ok t_cmp($event && "$event->{event} $event->{data}", 'named hello',
             'the query is the client\'s');
    $stream->close;
    my $id = $event->{id};
    publish($path, 'second', module => $module);
    $stream = open_stream("$path?last-event-id=$id", module => $module);
    ok t_cmp(($stream->next_event(5) // {})->{data}, 'second', 'and is read');
    $stream->close;
    ok t_cmp(request('HEAD', $path, module => $module)
                 ->header('content-type'), qr{^text/event-stream\b}, 'HEAD');
    ok t_cmp(request('DELETE', $path, module => $module)->code, 200, 'DELETE');
    ok t_cmp(request('PUT', $path, module => $module)->code, 405, 'PUT');
    my $status = request('GET', '/sse-status', module => $module);
    ok t_cmp($status->json && $status->json->{published}, qr/^\d+$/,
             "$name: sse-status");
    my $expr = request('HEAD', '/by-expression/x', module => $module);
    ok t_cmp($expr->header('content-type'), qr{^text/event-stream\b},
             'a handler that an expression names');
    my $other = request('GET', '/plain/page', module => $module);
    ok t_cmp($page ? $other->code : $other->body,
             $page // "the application\n", "$name: a page");
}

# They are done before any location is looked at, and change no handler.
sub rules_of_the_server {
    htaccess('');
    my @opt = (module => 'sse_site_rules');
    my $path = channel();
    my $stream = open_stream("$path?x=1", @opt);
    ok t_cmp($stream->status, 200, 'rules of a virtual host: a subscriber');
    ok t_cmp($stream->header('content-type'), qr{^text/event-stream\b},
             'has a stream');
    my $answer = publish("$path?event=named", 'hello', @opt);
    ok t_cmp($answer->json && $answer->json->{channel}, $path, 'published');
    my $event = $stream->next_event(5);
    ok t_cmp($event && "$event->{event} $event->{data}", 'named hello',
             'the event');
    ok t_cmp(request('GET', '/page', @opt)->body, "the application\n",
             'a page');
    ok t_cmp(scalar(error_lines(qr/sse:debug.*keeps\ 'SetHandler\ sse'.*
                                   redirect:\/index\.php/x)) > 0, 1,
             'the log tells where a rule of a directory was passed over');
}

# A rule that forbids or redirects is no front controller.
sub what_a_rule_refuses {
    my $on = "RewriteEngine On\n";
    my %want = ('^events/secret - [F]' => 403, '^events/ - [G]' => 410,
                '^events/ /elsewhere [R=302,L]' => 302,
                '^events/ /elsewhere [R=302]' => 200);
    for my $rule (sort keys %want) {
        htaccess("${on}RewriteRule $rule\n$wordpress");
        ok t_cmp(request('HEAD', '/events/secret', module => 'sse_site')->code,
                 $want{$rule}, $rule);
    }
    htaccess("${on}RewriteCond %{REMOTE_ADDR} ^127\nRewriteRule ^ - [F]\n");
    ok t_cmp(publish(channel(), 'x', module => 'sse_site')->code, 403,
             'by the client\'s address');
    htaccess("Require all denied\n");
    ok t_cmp(request('GET', channel(), module => 'sse_site')->code, 403,
             'Require in .htaccess');
    htaccess($laravel);
    my $slash = request('GET', channel() . '/', module => 'sse_site');
    ok t_cmp($slash->code, 301, 'Laravel\'s redirect of a slash at the end');
}

# What stands in the file system at a channel's path is not asked for.
sub directories {
    my $name = "dir-$$";
    write_files("site/events/$name/index.php" => "an index\n",
                "site/events/$name/file" => "a file\n");
    htaccess("FallbackResource /index.php\n");
    for my $path ("/events/$name", "/events/$name/", "/events/$name/file") {
        ok t_cmp(publish($path, 'hello', module => 'sse_site')->code, 200,
                 "published to $path");
    }
    htaccess($wordpress);
    for my $path ("/events/$name/", "/events/$name/file") {
        my $stream = open_stream($path, module => 'sse_site');
        ok t_cmp(($stream->next_event(5) // {})->{data}, 'hello',
                 "the event of $path");
    }
}

# A ProxyPass is not passed over, but the log tells.
sub what_mod_proxy_takes {
    my $answer = request('GET', '/events/proxied/site/index.php',
                         module => 'sse_site');
    ok t_cmp($answer->code, 200, 'proxied');
    ok t_cmp($answer->body, "the application\n", 'by mod_proxy');
    ok t_cmp(!!error_line(qr/sse:warn.*SetHandler\ sse'\ has\ no\ effect.*
                             mod_proxy.*ProxyPass/x), 1, 'the log tells');
}

# The module's own directives in .htaccess
sub directives {
    my $get = sub { request('GET', "/$_[0]/x", module => 'sse_site')->code };

    write_files('site/.htaccess' => '',
                map { ("site/$_/.htaccess" => "SSERetry 3s\n",
                       "site/$_/x" => "x\n") }
                qw(all one-class listed lenient));
    for my $dir (qw(all one-class)) {
        ok t_cmp($get->($dir), 500, "AllowOverride of $dir: refused");
        ok t_cmp(!!error_line(qr{$dir/\.htaccess:\ SSERetry\ not\ allowed\ here:.*
                                 'AllowOverrideList\ SSERetry'}x), 1,
                 'with what to do');
    }
    ok t_cmp($get->('listed'), 200, 'AllowOverrideList names it');
    ok t_cmp($get->('lenient'), 200, 'Nonfatal: it is ignored');
    ok t_cmp(!!error_line(qr/sse:warn\].*SSERetry in \.htaccess is ignored/), 1,
             'with a warning');
    # A filter that is trusted where it may not be said is not
    write_files('site/all/.htaccess' => "SSETrustFilter x\n",
                'site/listed/.htaccess' => "SSETrustFilter x y\nSSERetry 3\n");
    ok t_cmp($get->('all'), 500, 'SSETrustFilter');
    ok t_cmp($get->('listed'), 200, 'where it is named');
}
