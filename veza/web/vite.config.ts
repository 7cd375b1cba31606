import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";
import { precompress } from "./build/precompress.ts";
import { contentSecurityPolicy } from "./build/security.ts";
import { stamp } from "./build/stamp.ts";

const commit = process.env.COMMIT || "unknown";
if (commit !== "unknown" && !/^[0-9a-f]{40}$/.test(commit)) {
  throw new Error(`COMMIT must be 40 lower-case hex digits, or unset; it is "${commit}"`);
}

const api = { "/api": { target: process.env.VEZA_API || "http://127.0.0.1:8080", ws: true } };

export default defineConfig({
  plugins: [react(), stamp(commit), precompress()],
  server: { proxy: api },
  // The preview is as strict as production, so that a breach of the policy is seen here first.
  preview: { proxy: api, headers: { "Content-Security-Policy": contentSecurityPolicy } },
  build: {
    // Inlined assets and the preload polyfill would need exceptions from the policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2022",
    rolldownOptions: {
      input: { index: "index.html", sw: "src/sw.ts" },
      output: { entryFileNames: (chunk) => (chunk.name === "sw" ? "sw.js" : "assets/[name]-[hash].js") },
    },
  },
  test: {
    environment: "happy-dom",
    include: ["tests/**/*.test.{ts,tsx}"],
    setupFiles: ["tests/setup.ts"],
    css: { modules: { classNameStrategy: "non-scoped" } },
  },
});
