// Keeps the page and its programs for a start without network. Models are not its business: the worker stores them.
//
// The network comes first, so that a page is never older than its server; what a server does not give in time comes from
// the last visit. A page and a worker of two versions notice it by the version of their protocol.
const CACHE = "clinlora";
const SHELL = [
  "./",
  "start.js",
  "base.css",
  "model.css",
  "note.css",
  "outcomes.css",
  "why.css",
  "trust.css",
  "print.css",
  "icon.svg",
  "manifest.webmanifest",
  "clinlora-webapp.js",
  "clinlora-webapp_bg.wasm",
  "worker_loader.js",
  "worker.js",
  "worker_bg.wasm",
];
const PATIENCE_MS = 3000;
const paths = new Set(SHELL.map((path) => new URL(path, registration.scope).pathname));

addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(SHELL)).then(() => skipWaiting()));
});

addEventListener("activate", (event) => event.waitUntil(clients.claim()));

addEventListener("fetch", (event) => {
  const { pathname, origin } = new URL(event.request.url);
  if (event.request.method !== "GET" || origin !== location.origin || !paths.has(pathname)) return;
  event.respondWith(fromNetworkOrCache(event.request, pathname));
});

async function fromNetworkOrCache(request, pathname) {
  const cache = await caches.open(CACHE);
  const patience = new AbortController();
  const timer = setTimeout(() => patience.abort(), PATIENCE_MS);
  try {
    const answer = await fetch(request, { signal: patience.signal });
    clearTimeout(timer); // it answers: a large file may take its time
    if (answer.ok) await cache.put(pathname, answer.clone());
    return answer;
  } catch (error) {
    // Whatever stood behind the address's question mark is the page's to read, not the server's.
    const kept = await cache.match(pathname);
    if (kept) return kept;
    throw error;
  }
}
