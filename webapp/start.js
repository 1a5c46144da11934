// Starts the page. A file of its own, since the page's security policy allows no script inside the document.
import init from "./clinlora-webapp.js";

await init();
// Afterwards, so that it takes nothing from the first drawing. Without it the page works, but not without a network.
navigator.serviceWorker?.register("service-worker.js").catch(() => {});
