<?php
// SPDX-License-Identifier: Apache-2.0
// mod_sse asks this page before it opens a stream: may they, and who are they?

session_start(['read_and_close' => true]);
$user = $_SESSION['user'] ?? null;
if ($user === null) {
    http_response_code(403);
    exit("Log in first.\n");
}
header('SSE-Channel: /user/' . rawurlencode($user));
header('SSE-User: ' . rawurlencode($user));
header('SSE-Max-Age: 900'); // after 15 minutes it is asked again
http_response_code(204);
