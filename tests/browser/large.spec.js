// LLaMA-7B's size in a browser: loaded, cut off in the middle, loaded on, run. Slow on a software adapter; `--large` asks for it.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "@playwright/test";
import { expect, expectDone, filesOf, only, startEngine, test as base } from "./engine.mjs";

/** Fourteen bytes and what begins a text: 16 tokens of a tokenizer that knows bytes alone. */
const NOTE = "82M, intubated";

/** Most bytes of wasm memory. */
const MEMORY_BYTES = 300e6;

const test = base.extend({
  /** With a profile on the disk: a private window would keep its files in memory. */
  context: async ({ launchOptions }, use) => {
    const profile = mkdtempSync(join(tmpdir(), "clinlora-large-"));
    const context = await chromium.launchPersistentContext(profile, { headless: true, ...launchOptions });
    await use(context);
    await context.close();
    rmSync(profile, { recursive: true, force: true });
  },
  page: async ({ context }, use) => use(await context.newPage()),
});

/** Has the worker answer how large its memory is. It never shrinks: what it is now is the most it was. */
const MEMORY = `
  const instantiate = WebAssembly.instantiateStreaming;
  WebAssembly.instantiateStreaming = async (...of) => {
    const made = await instantiate.apply(WebAssembly, of);
    self.wasmMemory = made.instance.exports.memory;
    return made;
  };
  const asked = new BroadcastChannel("memory");
  asked.onmessage = () => new BroadcastChannel("memory bytes").postMessage(self.wasmMemory.buffer.byteLength);
`;

const memoryBytes = (page) =>
  page.evaluate(() => {
    const answer = new Promise((resolve) => {
      new BroadcastChannel("memory bytes").onmessage = ({ data }) => resolve(data);
    });
    new BroadcastChannel("memory").postMessage("");
    return answer;
  });

test("a bundle of LLaMA-7B's shape is loaded, cut, loaded on and run", async ({ page, server }) => {
  test.setTimeout(4 * 3600_000);
  const total = filesOf("large").reduce((sum, { bytes }) => sum + bytes, 0);
  const say = (what) => console.log(`${new Date().toISOString().slice(11, 19)} ${what}`);
  const seconds = (since) => ((Date.now() - since) / 1000).toFixed(0);
  const faults = { cut: false };
  server.fault = (path) => {
    if (path === "/worker_loader.js") return { before: MEMORY };
    // The network is gone once half of the shards have been asked for: an answer that brings something would be continued.
    return faults.cut && path.includes("shard-") ? { dropAfter: 0 } : undefined;
  };
  let engine = await startEngine(page, server);
  let since = Date.now();
  const opening = await engine.start(engine.opening("large", { device: "gpu" }));
  const ended = engine.ended(opening);
  const asked = () => server.log.filter(({ path }) => path.includes("shard-")).length;
  await Promise.race([
    expect.poll(asked, { timeout: 3600_000 }).toBeGreaterThan(filesOf("large").length / 2),
    ended.then((events) => expect(events.at(-1), "it ended before it was cut").toBeUndefined()),
  ]);
  faults.cut = true;
  const events = await ended;
  expect(events.at(-1)).toMatchObject({ is: "failed" });
  expect(["cut", "unreachable"]).toContain(events.at(-1).why);
  const peak = await memoryBytes(page);
  await engine.end();
  const first = events.filter(({ is }) => is === "fetching").at(-1).received_bytes;
  say(`cut after ${(first / 1e9).toFixed(2)} of ${(total / 1e9).toFixed(2)} GB, ${seconds(since)} s; wasm memory ${(peak / 1e6).toFixed(0)} MB`);
  expect(first).toBeGreaterThan(total / 4);

  faults.cut = false;
  engine = await startEngine(page, server);
  since = Date.now();
  const opened = await engine.open("large", { device: "gpu" });
  expectDone(opened);
  const fetched = opened.filter(({ is }) => is === "fetching").at(-1).fetched_bytes;
  say(`loaded on in ${seconds(since)} s, ${(fetched / 1e9).toFixed(2)} GB of it fetched; wasm memory ${((await memoryBytes(page)) / 1e6).toFixed(0)} MB`);
  expect(fetched).toBeLessThan(total - first + (1 << 26));
  expect(only(opened, "opened").place.on).toBe("gpu");

  since = Date.now();
  const predicted = await engine.predict(NOTE);
  expectDone(predicted);
  const { probabilities, tokens_read } = only(predicted, "predicted");
  const memory = Math.max(peak, await memoryBytes(page));
  say(`a note of ${tokens_read} tokens in ${seconds(since)} s: ${probabilities}; wasm memory ${(memory / 1e6).toFixed(0)} MB`);
  expect(tokens_read).toBe(16);
  expect(probabilities.every((p) => p >= 0 && p <= 1)).toBe(true);
  expect(memory).toBeLessThan(MEMORY_BYTES);
});
