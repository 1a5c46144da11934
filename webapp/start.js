// Starts the page. A file of its own, since the page's security policy allows no script inside the document.
import init from "./clinlora-webapp.js";

await init();
