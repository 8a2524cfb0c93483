<?php
// SPDX-License-Identifier: Apache-2.0
// verify.php SECRET-FILE SIGNATURE <BODY: exits with 0 where it is genuine.

function is_genuine(string $signature, string $body, string $secret): bool
{
    return preg_match('/^t=(\d+),v1=([0-9a-f]{64})$/D', $signature, $part)
        && abs(time() - (int) $part[1]) <= 300
        && hash_equals(hash_hmac('sha256', "$part[1].$body", $secret), $part[2]);
}

// In a page: $_SERVER['HTTP_SSE_HOOK_SIGNATURE'], file_get_contents('php://input')
$secret = rtrim(file_get_contents($argv[1]), "\r\n");
exit(is_genuine($argv[2], stream_get_contents(STDIN), $secret) ? 0 : 1);
