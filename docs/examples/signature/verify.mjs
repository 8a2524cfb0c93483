// SPDX-License-Identifier: Apache-2.0
// verify.mjs SECRET-FILE SIGNATURE <BODY: exits with 0 where it is genuine.
import { createHmac, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";

function isGenuine(signature, body, secret) {
    const part = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(signature);
    if (!part || Math.abs(Date.now() / 1000 - part[1]) > 300) {
        return false;
    }
    const mac = createHmac("sha256", secret).update(`${part[1]}.`).update(body);
    return timingSafeEqual(mac.digest(), Buffer.from(part[2], "hex"));
}

const secret = readFileSync(process.argv[2], "latin1").replace(/[\r\n]+$/, "");
process.exit(isGenuine(process.argv[3], readFileSync(0),
                       Buffer.from(secret, "latin1")) ? 0 : 1);
