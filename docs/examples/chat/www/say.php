<?php
// SPDX-License-Identifier: Apache-2.0
// Publish what a user says.

session_start(['read_and_close' => true]);
$user = $_SESSION['user'] ?? null;
$room = $_POST['room'] ?? '';
if ($user === null || !preg_match('/^\w{1,30}$/', $room)) {
    http_response_code(403);
    exit("Log in first, and name a room.\n");
}
$request = [
    'method' => 'POST',
    'header' => 'Content-Type: application/json',
    'content' => json_encode(['event' => 'say', 'data' =>
        ['from' => $user, 'text' => $_POST['text'] ?? '']]),
    'timeout' => 5,
];
$answer = file_get_contents("$_SERVER[HUB]/room/$room", false,
    stream_context_create(['http' => $request]));
http_response_code($answer === false ? 502 : 204);
