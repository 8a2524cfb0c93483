<?php
/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 *
 * An application that answers what the query says: see t/lib/SSETestApp.pm.
 * It counts the requests of each session where the query says session=1. */

$text = json_encode(['by' => 'php', 'env' => $_SERVER],
                    JSON_INVALID_UTF8_SUBSTITUTE);
file_put_contents(getenv('APP_LOG'), "$text\n", FILE_APPEND);
usleep((int)(1e6 * ($_GET['wait'] ?? 0)));
http_response_code((int)($_GET['status'] ?? 200));
if ($_GET['session'] ?? '') {
    session_start();
    $_SESSION['count'] = ($_SESSION['count'] ?? 0) + 1;
    header('SSE-User: visit-' . $_SESSION['count']);
}
foreach ($_GET['h'] ?? [] as $line) {
    header($line, false);
}
echo $_GET['body'] ?? str_repeat('x', (int)($_GET['size'] ?? 0));
