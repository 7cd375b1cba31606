import { beforeAll, expect, test } from "vitest";
import { VEZA_URL } from "./environment.ts";

/** The hashed files that the page is made of, fonts of its styles included. */
let assets: string[] = [];

beforeAll(async () => {
  const page = await body("/");
  const own = [...page.matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)].map(([, path]) => String(path));
  const styles = await Promise.all(own.filter((path) => path.endsWith(".css")).map(body));
  const fonts = [...styles.join().matchAll(/url\(["']?(\/assets\/[^"')]+)/g)].map(([, path]) => String(path));
  assets = [...new Set([...own, ...fonts])];
  for (const kind of [".js", ".css", ".woff2"])
    expect(
      assets.some((path) => path.endsWith(kind)),
      kind,
    ).toBe(true);
});

test("hashed assets are kept for a year and never asked for again", async () => {
  for (const path of assets) {
    const response = await get(path);
    expect(response.status, path).toBe(200);
    expect(directives(response), path).toEqual(expect.arrayContaining(["public", "max-age=31536000", "immutable"]));
  }
});

test("what keeps its name over releases is never used stale", async () => {
  for (const [path, type] of [
    ["/", "text/html"],
    ["/rooms/kitchen", "text/html"],
    ["/sw.js", "text/javascript"],
    ["/manifest.webmanifest", "application/manifest+json"],
    ["/version.json", "application/json"],
    ["/offline.html", "text/html"],
    ["/icon.svg", "image/svg+xml"],
    ["/api/v1/status", "application/json"],
  ] as const) {
    const response = await get(path);
    expect(response.status, path).toBe(200);
    expect(mediaType(response).replace("application/javascript", "text/javascript"), path).toBe(type);
    const kept = directives(response);
    expect(kept.includes("no-cache") || kept.includes("no-store"), `${path}: ${kept}`).toBe(true);
    expect(
      kept.some((directive) => /^(s-maxage|max-age)=[1-9]|^immutable$/.test(directive)),
      `${path}: ${kept}`,
    ).toBe(false);
  }
});

test("a missing file is a 404 that nobody keeps, and never the page", async () => {
  for (const path of ["/assets/index-00000000.js", "/nothing.css", "/.env", "/.git/config", "/assets/"]) {
    const response = await get(path);
    expect(response.status, path).toBe(404);
    expect(directives(response), path).toEqual(["no-store"]);
    expect(await response.text(), path).not.toContain('id="root"');
  }
});

test("every answer of the site carries its defences", async () => {
  for (const path of ["/", "/rooms/kitchen", "/sw.js", "/nothing.js", assets[0] ?? ""]) {
    const { headers } = await get(path);
    const policy = (headers.get("content-security-policy") ?? "").split("; ");
    const musts = ["default-src 'self'", "object-src 'none'", "frame-ancestors 'none'"];
    expect(policy, path).toEqual(expect.arrayContaining(musts));
    expect(policy.join(), path).not.toMatch(/unsafe-|\*|https?:/);
    expect(headers.get("x-content-type-options"), path).toBe("nosniff");
    expect(headers.get("x-frame-options"), path).toBe("DENY");
    expect(headers.get("referrer-policy"), path).toBe("strict-origin-when-cross-origin");
    expect(headers.get("cross-origin-opener-policy"), path).toBe("same-origin");
    expect(headers.get("permissions-policy"), path).toContain("microphone=()");
    expect(headers.get("server") ?? "", path).not.toMatch(/\d/);
  }
});

test("texts come as brotli to those who can read it, with the same content", async () => {
  for (const path of ["/", ...assets.filter((path) => /\.(js|css)$/.test(path))]) {
    const plain = await get(path, "identity");
    const packed = await get(path, "br");
    expect(plain.headers.get("content-encoding"), path).toBeNull();
    expect(packed.headers.get("content-encoding"), path).toBe("br");
    expect(packed.headers.get("vary")?.toLowerCase(), path).toContain("accept-encoding");
    expect(Number(packed.headers.get("content-length")), path).toBeLessThan(
      Number(plain.headers.get("content-length")),
    );
    expect(await packed.text(), path).toBe(await plain.text());
  }
});

test("the app can be installed: its manifest names it, where it starts, and icons that are there", async () => {
  const manifest = JSON.parse(await body("/manifest.webmanifest"));
  expect(manifest).toMatchObject({ name: "Veza", start_url: "/", display: "standalone" });
  expect(manifest.icons.length).toBeGreaterThan(0);
  for (const { src, type } of manifest.icons) {
    const icon = await get(src);
    expect([icon.status, mediaType(icon)], src).toEqual([200, type]);
  }
});

function get(path: string, encoding = "identity"): Promise<Response> {
  return fetch(VEZA_URL + path, { headers: { "Accept-Encoding": encoding } });
}

async function body(path: string): Promise<string> {
  const response = await get(path);
  expect(response.status, path).toBe(200);
  return response.text();
}

function directives({ headers }: Response): string[] {
  return (headers.get("cache-control") ?? "").split(/,\s*/);
}

function mediaType({ headers }: Response): string {
  return headers.get("content-type")?.split(";")[0] ?? "";
}
