import type { Plugin } from "vite";

/**
 * Writes the commit where it can be read without entering any hashed asset: `version.json`, a meta tag, the service
 * worker. So two releases of the same page share their assets in every cache, and a build has no clock in it.
 */
export function stamp(commit: string): Plugin {
  return {
    name: "veza-stamp",
    config: () => ({ define: { __COMMIT__: JSON.stringify(commit) } }),
    transformIndexHtml: () => [{ tag: "meta", attrs: { name: "commit", content: commit }, injectTo: "head" }],
    configureServer: (server) => {
      server.middlewares.use("/version.json", (_request, response) => {
        response.setHeader("Content-Type", "application/json").end(JSON.stringify({ commit }));
      });
    },
    generateBundle() {
      this.emitFile({ type: "asset", fileName: "version.json", source: `${JSON.stringify({ commit })}\n` });
    },
  };
}
