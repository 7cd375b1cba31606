// @vitest-environment node

import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";

const COMMIT = "3333333333333333333333333333333333333333";
const OTHER = "4444444444444444444444444444444444444444";
let folder = "";

async function build(commit: string): Promise<string> {
  const out = await mkdtemp(join(folder, "site-"));
  const vite = join("node_modules", "vite", "bin", "vite.js");
  const env = { PATH: process.env.PATH, COMMIT: commit, NODE_ENV: "production" };
  await promisify(execFile)(process.execPath, [vite, "build", "--emptyOutDir", "--outDir", out], { env });
  return out;
}

/** Every file of the site with its bytes. */
async function filesOf(out: string): Promise<Map<string, Buffer>> {
  const entries = await readdir(out, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return new Map(
    await Promise.all(paths.sort().map(async (path) => [path.slice(out.length), await readFile(path)] as const)),
  );
}

let site: Map<string, Buffer>;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "veza-web-"));
  site = await filesOf(await build(COMMIT));
}, 120_000);
afterAll(() => rm(folder, { recursive: true }));

test("the release tells its commit in version.json and in the page", () => {
  expect(JSON.parse(String(site.get("/version.json")))).toEqual({ commit: COMMIT });
  expect(String(site.get("/index.html"))).toContain(`<meta name="commit" content="${COMMIT}">`);
});

test("the page has nothing inline and nothing from elsewhere, as its policy demands", () => {
  const page = String(site.get("/index.html"));
  expect(page).not.toMatch(/<style|style=|<script(?![^>]*\bsrc=)| on[a-z]+=/);
  for (const [name, bytes] of site) {
    if (/\.(html|css|js)$/.test(name)) expect(String(bytes), name).not.toMatch(/url\((["']?)(https?:|data:)/);
  }
  expect([...page.matchAll(/(?:src|href)="([^"]+)"/g)].every(([, link]) => link?.startsWith("/"))).toBe(true);
});

test("everything in assets is named by its content; what must stay fresh is not there", () => {
  const assets = [...site.keys()].filter((name) => name.startsWith("/assets/"));
  expect(assets.length).toBeGreaterThan(2);
  for (const name of assets) expect(name).toMatch(/-[\w-]{8}\.(js|css|woff2?)(\.gz|\.br)?$/);
  for (const name of [
    "/index.html",
    "/sw.js",
    "/manifest.webmanifest",
    "/version.json",
    "/icon.svg",
    "/offline.html",
  ]) {
    expect(site.has(name), name).toBe(true);
  }
});

test("precompressed files give back the very bytes beside them", () => {
  const compressed = [...site].filter(([name]) => /\.(gz|br)$/.test(name));
  expect(compressed.length).toBeGreaterThanOrEqual(6);
  for (const [name, bytes] of compressed) {
    const plain = site.get(name.slice(0, -3));
    const unpacked = name.endsWith(".gz") ? gunzipSync(bytes) : brotliDecompressSync(bytes);
    expect(plain?.equals(unpacked), name).toBe(true);
  }
});

test("the same source and commit give the same bytes, and another commit the same assets", async () => {
  expect(await filesOf(await build(COMMIT))).toEqual(site);
  const assets = (files: Map<string, Buffer>) => [...files].filter(([name]) => name.startsWith("/assets/"));
  const other = await filesOf(await build(OTHER));
  expect(assets(other)).toEqual(assets(site));
  expect(String(other.get("/sw.js"))).toContain(OTHER);
}, 120_000);
