<?php
// SPDX-License-Identifier: Apache-2.0
// mod_sse asks this page: may they, and who are they?  Users read, and speak by
// say.php, which gives their words their names.  Moderators may do all.

const MODERATORS = ['ann'];

session_start(['read_and_close' => true]);
$user = $_SESSION['user'] ?? null;
$reads = in_array($_SERVER['HTTP_SSE_METHOD'], ['GET', 'HEAD']);
if ($user === null || !$reads && !in_array($user, MODERATORS)) {
    http_response_code(403);
    exit("Not for you.\n");
}
header('SSE-User: ' . rawurlencode($user));
http_response_code(204);
