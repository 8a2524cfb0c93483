<?php
// SPDX-License-Identifier: Apache-2.0
// The front controller: every path that is no file comes here.

match (parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) {
    '/' => page(),
    '/login' => login(),
    '/sse/auth' => may_subscribe(),
    '/sse/ended' => has_ended(),
    default => http_response_code(404),
};

function page(): void
{
    session_start(['read_and_close' => true]);
    $user = htmlspecialchars($_SESSION['user'] ?? 'nobody');
    echo "<!DOCTYPE html>\n<title>Site</title>\n<p>You are $user.</p>\n";
}

function login(): void
{
    session_start();
    if (preg_match('/^\w{1,30}$/', $_POST['user'] ?? '')) {
        session_regenerate_id(true);
        $_SESSION['user'] = $_POST['user']; // after a look at the password
    }
    header('Location: /', true, 303);
}

// mod_sse asks: whose stream is it, and which channels are theirs?
function may_subscribe(): void
{
    session_start(['read_and_close' => true]);
    $user = $_SESSION['user'] ?? null;
    if ($user === null) {
        http_response_code(403);
        return;
    }
    header('SSE-Channel: /channel/everybody');
    header('SSE-Channel: /channel/user-' . rawurlencode($user), false);
    header('SSE-User: ' . rawurlencode($user));
    header('SSE-Session: ' . substr(hash('sha256', session_id()), 0, 16));
    header('SSE-Max-Age: 900');
    http_response_code(204);
}

// mod_sse tells that a stream has ended: when was this user last here?
function has_ended(): void
{
    $body = file_get_contents('php://input');
    $secret = trim(file_get_contents($_SERVER['HOOK_SECRET']));
    if (!is_genuine($_SERVER['HTTP_SSE_HOOK_SIGNATURE'] ?? '', $body, $secret)) {
        http_response_code(403);
        return;
    }
    $call = json_decode($body, true);
    if ($call['by_client'] && $call['channels']) { // none: it was ?presence
        error_log("$call[user] was last here at " . date('H:i:s'));
    }
    http_response_code(204);
}

function is_genuine(string $signature, string $body, string $secret): bool
{
    return preg_match('/^t=(\d+),v1=([0-9a-f]{64})$/D', $signature, $part)
        && abs(time() - (int) $part[1]) <= 300
        && hash_equals(hash_hmac('sha256', "$part[1].$body", $secret), $part[2]);
}
