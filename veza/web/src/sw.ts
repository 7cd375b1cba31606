/**
 * The service worker. It keeps one thing: a small page for when the network is away. Every navigation goes to the
 * network, so nobody is ever shown the page of an old release; hashed assets are left to the browser's own cache.
 */
declare const self: ServiceWorkerGlobalScope;
declare const __COMMIT__: string;

const CACHE = `veza-offline-${__COMMIT__}`;
const OFFLINE = ["/offline.html", "/offline.css", "/icon.svg"];

self.addEventListener("install", (event) => {
  // Past the HTTP cache: the worker of a release must not keep files of the one before.
  const requests = OFFLINE.map((path) => new Request(path, { cache: "reload" }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(requests)));
  void self.skipWaiting();
});

self.addEventListener("activate", (event) => {
  event.waitUntil(dropOthers().then(() => self.clients.claim()));
});

self.addEventListener("fetch", (event) => {
  if (event.request.mode === "navigate") {
    event.respondWith(fetch(event.request).catch(() => kept("/offline.html")));
  } else if (OFFLINE.includes(new URL(event.request.url).pathname)) {
    event.respondWith(fetch(event.request).catch(() => kept(event.request.url)));
  }
});

async function kept(path: string): Promise<Response> {
  return (await caches.match(path)) ?? Response.error();
}

async function dropOthers(): Promise<void> {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name !== CACHE).map((name) => caches.delete(name)));
}

export {};
