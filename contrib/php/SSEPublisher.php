<?php
// SPDX-License-Identifier: Apache-2.0
// mod_sse: Server-Sent Events for Apache httpd.

/**
 * Publish events to mod_sse. PHP 7.4 or newer, no extension that PHP itself does
 * not bring (https: needs openssl); allow_url_fopen must be on, as it is unless
 * somebody has turned it off.
 *
 *     require 'SSEPublisher.php';
 *
 *     $hub = new SSEPublisher('http://127.0.0.1:8081');
 *     $hub->publish('/user/ann', ['text' => 'Backup done'],
 *                   ['event' => 'notification']);
 *     $hub->publishBatch('/events/news', [['data' => 'one'],
 *                                         ['data' => 'two', 'event' => 'story']]);
 *     $hub->delete('/events/news');
 *
 * What fails for the moment (no connection, no answer, 408, 425, 429, 5xx) is
 * tried again until 'patience' seconds are over, each time with the same
 * idempotency key: an event whose answer was lost is not published a second
 * time. What then still fails, and what the server refuses, is an
 * SSEPublishError.
 */
final class SSEPublisher
{
    private string $url;
    private array $options;

    /**
     * $url is where the channels begin, 'http://127.0.0.1:8081', or
     * 'https://www.example.com/app' where each channel's URL begins with /app.
     * Options: 'user', 'password'; 'timeout' (5), in seconds, for one try;
     * 'patience' (10), for all of them, as somebody may be waiting for the page;
     * 'headers' (['Name: value']); 'ssl', as PHP's SSL context options.
     */
    public function __construct(string $url, array $options = [])
    {
        if (!preg_match('~^https?://[^/]~i', $url)) {
            throw new InvalidArgumentException("$url is no http: or https: URL");
        }
        $this->url = rtrim($url, '/');
        $this->options = $options + ['timeout' => 5, 'patience' => 10,
                                     'headers' => [], 'ssl' => []];
        if (isset($options['user'])) {
            $this->options['headers'][] = 'Authorization: Basic '
                . base64_encode("$options[user]:" . ($options['password'] ?? ''));
        }
    }

    /**
     * Publish one event, and return its id. Data that is no string is published
     * as JSON. Options: 'event', its type; 'key', its idempotency key, for
     * instance an order's number (without it one is made up); 'retry', in
     * milliseconds.
     *
     * @param mixed $data
     */
    public function publish(string $channel, $data, array $options = []): string
    {
        $answer = $this->call('POST', $channel, self::withKey([
            'data' => $data, 'event' => $options['event'] ?? null,
            'id' => $options['key'] ?? null,
            'retry' => $options['retry'] ?? null]));
        return $answer['id'] ?? end($answer['ids']);
    }

    /**
     * Publish all of the events or, where one is refused, none, and return their
     * ids. Each has 'data' and, if need be, 'event', 'retry', and as 'id' its
     * idempotency key.
     *
     * @return string[]
     */
    public function publishBatch(string $channel, array $events): array
    {
        if (!$events) {
            return [];
        }
        $answer = $this->call('POST', $channel,
            array_map([self::class, 'withKey'], array_values($events)));
        return $answer['ids'] ?? [$answer['id']];
    }

    /** End the channel's streams and forget its events. */
    public function delete(string $channel): void
    {
        $this->call('DELETE', $channel, null);
    }

    private static function withKey(array $event): array
    {
        // Without what it has not got; but data may be null.
        $event = array_filter($event, fn($value, $name) =>
            $value !== null || $name === 'data', ARRAY_FILTER_USE_BOTH);
        return $event + ['id' => bin2hex(random_bytes(16))];
    }

    private function call(string $method, string $channel, ?array $value): array
    {
        $url = $this->url . str_replace('%2F', '/', rawurlencode($channel));
        $body = $value === null ? '' : json_encode($value, JSON_THROW_ON_ERROR
            | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE
            | JSON_PRESERVE_ZERO_FRACTION);
        $end = microtime(true) + $this->options['patience'];
        $delay = 0.25;
        for ($attempts = 1; ; ++$attempts) {
            [$status, $said, $after] = $this->try($url, $method, $body);
            if (is_array($said)) {
                return $said;
            }
            $pause = max($after, $delay * (1 + mt_rand() / mt_getrandmax()) / 2);
            $delay = min(2 * $delay, 10);
            $passing = in_array($status, [0, 408, 425, 429], true)
                || $status >= 500;
            if (!$passing || microtime(true) + $pause > $end) {
                throw new SSEPublishError($status, $said, $attempts);
            }
            usleep((int) ($pause * 1e6));
        }
    }

    /**
     * Its status, 0 where there is none; the answer, an array, or what is wrong;
     * after how many seconds the server wants to be asked again.
     */
    private function try(string $url, string $method, string $body): array
    {
        $context = stream_context_create([
            'http' => [
                'method' => $method, 'content' => $body,
                'header' => array_merge(['Content-Type: application/json',
                    'Connection: close'], $this->options['headers']),
                'protocol_version' => 1.1, 'follow_location' => 0,
                'ignore_errors' => true,
                'timeout' => (float) $this->options['timeout']],
            'ssl' => $this->options['ssl']]);
        error_clear_last();
        $stream = @fopen($url, 'r', false, $context);
        if (!$stream) {
            $words = error_get_last()['message'] ?? 'no answer';
            return [0, preg_replace('/^.*: /', '', $words), 0];
        }
        $text = (string) @stream_get_contents($stream);
        $meta = stream_get_meta_data($stream);
        fclose($stream);
        return $meta['timed_out'] ? [0, 'no answer in time', 0]
            : self::read($meta['wrapper_data'] ?? [], $text);
    }

    /** Of the last answer's head (those of 1xx are before it), and its body. */
    private static function read(array $head, string $text): array
    {
        [$status, $reason, $after, $length] = [0, 'no answer', 0, 0];
        foreach ($head as $line) {
            if (preg_match('~^HTTP/\S+ (\d+) ?(.*)~', $line, $part)) {
                [$status, $reason] = [(int) $part[1], $part[2]];
                [$after, $length] = [0, 0];
            } elseif (preg_match('/^Content-Length: *(\d+)$/i', $line, $part)) {
                $length = (int) $part[1];
            } elseif (preg_match('/^Retry-After: *(\d{1,6})$/i', $line, $part)) {
                $after = (int) $part[1];
            }
        }
        if (strlen($text) < $length) {
            return [0, 'the answer was cut off', 0];
        }
        $said = json_decode($text, true);
        if ($status !== 200) {
            return [$status, $said['error'] ?? $reason, $after];
        }
        if (is_array($said) && isset($said['channel'])) {
            return [200, $said, 0];
        }
        return [200, 'what answers there is no channel', 0];
    }
}

final class SSEPublishError extends RuntimeException
{
    /** Of the answer; 0 where there was none. */
    public int $status;
    /** How often the server was asked. */
    public int $attempts;

    public function __construct(int $status, string $message, int $attempts)
    {
        parent::__construct($message, $status);
        [$this->status, $this->attempts] = [$status, $attempts];
    }
}
