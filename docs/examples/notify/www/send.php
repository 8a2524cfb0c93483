<?php
// SPDX-License-Identifier: Apache-2.0
// Tell a user something, in all tabs and on all devices where that user is.

function notify(string $user, array $what): bool
{
    $url = $_SERVER['HUB'] . '/user/' . rawurlencode($user);
    $request = [
        'method' => 'POST',
        'header' => 'Content-Type: application/json',
        'content' => json_encode(['event' => 'notification', 'data' => $what]),
        'timeout' => 5,
    ];
    return file_get_contents($url, false,
        stream_context_create(['http' => $request])) !== false;
}

session_start(['read_and_close' => true]);
$from = $_SESSION['user'] ?? null;
if ($from === null || !preg_match('/^\w{1,30}$/', $_POST['to'] ?? '')) {
    http_response_code(403);
    exit("Log in first, and name a user.\n");
}
notify($_POST['to'], ['from' => $from, 'text' => $_POST['text'] ?? '']);
header('Location: /', true, 303);
