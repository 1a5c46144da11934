// The worker's protocol from a test: starts a worker in the page and asks it.
import { test as base, expect } from "@playwright/test";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { startServer } from "./server.mjs";

const PAGE = required("CLINLORA_PAGE");
export const BUNDLES = required("CLINLORA_BUNDLES");

function required(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run the browser suite by \`cargo xtask test\``);
  return resolve(value);
}

/** A document without anything in it, of the page's origin. */
const BLANK = "suite/blank.html";

export const test = base.extend({
  /** A server of the built page, and of the bundles of the suite below `/bundles/`. */
  server: async ({}, use) => {
    const folders = [["/bundles/", BUNDLES], ["/suite/", resolve(import.meta.dirname, "pages")], ["/", PAGE]];
    const server = await startServer(folders);
    await use(server);
    await server.close();
  },
  /** Asks a worker of its own: `engine.ask(command, files)` gives its events. */
  engine: async ({ page, server }, use) => {
    await use(await startEngine(page, server));
  },
});

/** Opens an empty document of the server in `page` and starts a worker there. */
export async function startEngine(page, server) {
  await page.goto(server.url + BLANK);
  await page.evaluate(async () => {
    const worker = new Worker("/worker_loader.js", { type: "module" });
    const listeners = new Map();
    let ready;
    const started = new Promise((resolve) => (ready = resolve));
    worker.onmessage = ({ data }) => {
      const { id, event } = JSON.parse(data);
      if (event.is === "ready") ready();
      else if (id === 0) for (const listener of listeners.values()) listener(event);
      else listeners.get(id)?.(event);
    };
    worker.onerror = (event) => {
      for (const listener of listeners.values()) listener({ is: "failed", why: "crashed", reason: event.message });
    };
    await started;
    let last = 0;
    const requests = new Map();
    window.engine = {
      worker,
      start(command, files = []) {
        const id = ++last;
        const request = { events: [] };
        request.ended = new Promise((resolve) => {
          listeners.set(id, (event) => {
            request.events.push(event);
            if (event.is !== "done" && event.is !== "failed") return;
            listeners.delete(id);
            resolve(request.events);
          });
        });
        requests.set(id, request);
        const [paths, contents] = [files.map(([path]) => path), files.map(([, file]) => file)];
        worker.postMessage({ json: JSON.stringify({ id, command }), paths, files: contents });
        return id;
      },
      ended: (id) => requests.get(id).ended,
      has: (id, kind) => requests.get(id).events.some((event) => event.is === kind),
    };
  });
  const start = (command) => page.evaluate((command) => window.engine.start(command), command);
  const ended = (id) => page.evaluate((id) => window.engine.ended(id), id);
  const ask = async (command) => ended(await start(command));
  const opening = (bundle, options = {}) => {
    const address = new URL(`bundles/${bundle}`, server.url).href;
    return { do: "open", bundle: { url: address }, device: "cpu", ...options };
  };
  return {
    page,
    start,
    ended,
    ask,
    /** Waits until a request that was started has had an event of a kind. */
    until: (id, kind) => page.waitForFunction(([id, kind]) => window.engine.has(id, kind), [id, kind]),
    opening,
    open: (bundle, options) => ask(opening(bundle, options)),
    /** Opens files of this machine: `[path, bytes]` each, as a dropped folder gives them. */
    openFiles: async (files, options = {}) => {
      const encoded = files.map(([path, bytes]) => [path, bytes.toString("base64")]);
      const command = { do: "open", bundle: "files", device: "cpu", ...options };
      return page.evaluate(async ([command, encoded]) => {
        const file = ([path, base64]) => {
          const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
          return [path, new File([bytes], path.split("/").at(-1))];
        };
        return window.engine.ended(window.engine.start(command, encoded.map(file)));
      }, [command, encoded]);
    },
    predict: (note, options = {}) => ask({ do: "predict", note, ...options }),
    end: () => page.evaluate(() => window.engine.worker.terminate()),
  };
}

/** Expects that a request was done. */
export function expectDone(events) {
  expect(events.at(-1), JSON.stringify(events)).toEqual({ is: "done" });
}

/** Expects that a request failed for this reason, and returns the failure. */
export function expectFailed(events, why) {
  expect(events.at(-1), JSON.stringify(events)).toMatchObject({ is: "failed", why });
  return events.at(-1);
}

/** The one event of a kind. */
export function only(events, kind) {
  const found = events.filter((event) => event.is === kind);
  expect(found, `events of kind ${kind} among ${JSON.stringify(events)}`).toHaveLength(1);
  return found[0];
}

/** Requests of the log for files of bundles, since the log was last emptied. */
export const asked = (server) => server.log.filter(({ path }) => path.startsWith("/bundles/"));

/** The manifest of a bundle of the suite. */
export const manifest = (bundle) => JSON.parse(readFileSync(join(BUNDLES, bundle, "manifest.json"), "utf8"));

/** Every file of a bundle beside its manifest: name and size. */
export function filesOf(bundle) {
  const { shards, base } = manifest(bundle);
  return base ? [...shards, base.tokenizer] : shards;
}

export { expect };
