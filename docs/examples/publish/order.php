<?php
// SPDX-License-Identifier: Apache-2.0
// order.php HUB NUMBER
require __DIR__ . '/SSEPublisher.php';

[, $url, $number] = $argv;
$hub = new SSEPublisher($url);
try {
    // The order's number is the key: however often this runs, it is one event.
    $id = $hub->publish('/events/orders', ['number' => (int) $number],
                        ['event' => 'order', 'key' => "order-$number"]);
    echo "published as $id\n";
} catch (SSEPublishError $error) {
    error_log("order $number: " . $error->getMessage()); // the shop goes on
    exit(1);
}
