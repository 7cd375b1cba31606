import { createHash, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";

/** The front door of the environment under test, without a path. */
export const VEZA_URL = frontDoor();
/** The front door's own certificate, where it is of an authority that no browser knows: a file, PEM. */
const CERTIFICATE = process.env.VEZA_CERTIFICATE;
export const CHROMIUM = process.env.CHROMIUM || "/usr/bin/chromium";

/** What makes the browser trust the key of that certificate, and no other. Node reads NODE_EXTRA_CA_CERTS itself. */
export function trust(): string[] {
  if (!CERTIFICATE) return [];
  const key = new X509Certificate(readFileSync(CERTIFICATE)).publicKey.export({ type: "spki", format: "der" });
  return [`--ignore-certificate-errors-spki-list=${createHash("sha256").update(key).digest("base64")}`];
}

function frontDoor(): string {
  const url = process.env.VEZA_URL;
  if (!url) throw new Error("VEZA_URL is not set: name a running environment, e.g. VEZA_URL=https://10.99.0.2");
  if (!URL.canParse(url)) throw new Error(`VEZA_URL must be a URL like https://10.99.0.2; it is "${url}"`);
  return new URL(url).origin;
}
