/** The front door of the environment under test, without a path. */
export const VEZA_URL = frontDoor();
export const CHROMIUM = process.env.CHROMIUM || "/usr/bin/chromium";

function frontDoor(): string {
  const url = process.env.VEZA_URL;
  if (!url) throw new Error("VEZA_URL is not set: name a running environment, e.g. VEZA_URL=http://10.99.0.10");
  if (!URL.canParse(url)) throw new Error(`VEZA_URL must be a URL like http://10.99.0.10; it is "${url}"`);
  return new URL(url).origin;
}
