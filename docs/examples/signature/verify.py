#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""verify.py SECRET-FILE SIGNATURE <BODY: exits with 0 where it is genuine."""
import hashlib, hmac, re, sys, time


def is_genuine(signature: str, body: bytes, secret: bytes) -> bool:
    part = re.fullmatch(r"t=([0-9]+),v1=([0-9a-f]{64})", signature)
    if not part or abs(time.time() - int(part[1])) > 300:
        return False
    mac = hmac.new(secret, part[1].encode() + b"." + body, hashlib.sha256)
    return hmac.compare_digest(mac.hexdigest(), part[2])


secret = open(sys.argv[1], "rb").read().rstrip(b"\r\n")
sys.exit(0 if is_genuine(sys.argv[2], sys.stdin.buffer.read(), secret) else 1)
