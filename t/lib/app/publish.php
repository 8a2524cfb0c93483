<?php
// SPDX-License-Identifier: Apache-2.0
// mod_sse: Server-Sent Events for Apache httpd.
//
// publish.php CONTRIB URL OPTIONS <CALLS: see publish.py

require "$argv[1]/php/SSEPublisher.php";

$hub = new SSEPublisher($argv[2], json_decode($argv[3], true));
$names = ['publish' => 'publish', 'batch' => 'publishBatch',
          'delete' => 'delete'];
while (($line = fgets(STDIN)) !== false) {
    $args = json_decode($line, true);
    $method = $names[array_shift($args)];
    try {
        $said = [$hub->$method(...$args)];
    } catch (SSEPublishError $error) {
        $said = ['status' => $error->status, 'message' => $error->getMessage(),
                 'attempts' => $error->attempts];
    }
    echo json_encode($said), "\n";
}
