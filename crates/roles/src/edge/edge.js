// Signatures: those of URLs, which are checked before anything is answered, and those of requests to the store, which are made.
//
// `signing` and `store` are the files that `edge-keys` writes: nginx reads them when it loads its configuration.

import crypto from 'crypto';

// Whether a request may be answered: '' if it may, otherwise why not.
//
//   ?expires=UNIX&signature=HEX               HMAC-SHA256 of "UNIX\nPATH"
//   ?expires=UNIX&prefix=PATH/&signature=HEX  HMAC-SHA256 of "UNIX\nPATH/", for all paths that begin so
//
// Paths are what a person reads, not percent-encoded: of the path that is looked up, after `..` and the like were resolved, so that
// what is judged is what is served.
function refused(r) {
    const path = r.uri;
    const variables = r.variables;
    const expires = variables.arg_expires;
    const signature = variables.arg_signature;
    const prefix = variables.arg_prefix;
    if (!expires || !signature) {
        return 'not signed';
    }
    if (!/^[1-9][0-9]{0,11}$/.test(expires) || !/^[0-9a-f]{64}$/.test(signature)) {
        return 'no signature';
    }
    let signed = path;
    if (prefix !== undefined) {
        signed = decoded(prefix);
        // It ends where a segment does, and a path that is signed by itself does not: neither can be taken for the other.
        if (!signed.endsWith('/') || !path.startsWith(signed)) {
            return 'another prefix';
        }
    } else if (path.endsWith('/')) {
        return 'no path of an object';
    }
    // What is not UTF-8 would be judged as something else than what is looked up.
    if (path.indexOf('\ufffd') >= 0) {
        return 'no text';
    }
    const now = Date.now() / 1000;
    if (now >= Number(expires)) {
        return 'expired';
    }
    const given = Buffer.from(signature, 'hex');
    const message = expires + '\n' + signed;
    for (let i = 0; i < signing.keys.length; i++) {
        const key = signing.keys[i];
        // The key before this one is good for a while: what it signed is in the hands of players.
        if ((key.until === undefined || now < key.until) && equal(hmac(key.key, message), given)) {
            return '';
        }
    }
    return 'another signature';
}

function decoded(text) {
    try {
        return decodeURIComponent(text);
    } catch (e) {
        return '';
    }
}

function hmac(base64, message) {
    return crypto.createHmac('sha256', Buffer.from(base64, 'base64')).update(message).digest();
}

// Of two times 32 bytes, in a time that does not tell where they differ.
function equal(a, b) {
    let difference = 0;
    for (let i = 0; i < 32; i += 4) {
        difference |= a.readInt32LE(i) ^ b.readInt32LE(i);
    }
    return difference === 0;
}

const SIGNED = 'host;x-amz-content-sha256;x-amz-date';

// The header by which the store knows the edge: AWS Signature Version 4 of a GET of the path that is looked up, without a body.
// It holds for a quarter of an hour, so each request to the store has its own. What it says of the time goes into
// `$store_date`.
function authorization(r) {
    const date = new Date().toISOString().replace(/[-:]|\.[0-9]*/g, '');
    r.variables.store_date = date;
    return signed_request(store, r.variables.store_host, r.variables.store_region, r.uri, date);
}

function signed_request(key, host, region, path, date) {
    const scope = date.substring(0, 8) + '/' + region + '/s3/aws4_request';
    const headers = 'host:' + host + '\nx-amz-content-sha256:UNSIGNED-PAYLOAD\nx-amz-date:' + date + '\n';
    const request = ['GET', encoded(path), '', headers, SIGNED, 'UNSIGNED-PAYLOAD'].join('\n');
    const hash = crypto.createHash('sha256').update(request).digest('hex');
    let derived = 'AWS4' + key.secret;
    scope.split('/').forEach((part) => {
        derived = crypto.createHmac('sha256', derived).update(part).digest();
    });
    const text = ['AWS4-HMAC-SHA256', date, scope, hash].join('\n');
    const hex = crypto.createHmac('sha256', derived).update(text).digest('hex');
    return 'AWS4-HMAC-SHA256 Credential=' + key.id + '/' + scope + ', SignedHeaders=' + SIGNED + ', Signature=' + hex;
}

// As S3 encodes the path of an object: all but the unreserved characters and slashes.
function encoded(path) {
    const more = (character) => '%' + character.charCodeAt(0).toString(16).toUpperCase();
    return path.split('/').map((part) => encodeURIComponent(part).replace(/[!'()*]/g, more)).join('/');
}

export default { refused, authorization, signed_request };
