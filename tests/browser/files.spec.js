// A bundle from this machine's own files: a dropped folder behind a hospital's firewall.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { BUNDLES, asked, expect, expectDone, expectFailed, filesOf, only, test } from "./engine.mjs";

const NOTE = "82M with dyspnoea, intubated, on vasopressors.";

/** Every file of a bundle under its path in a folder of this name. */
const folder = (bundle) => readdirSync(join(BUNDLES, bundle)).map((name) => [`${bundle}/${name}`, readFileSync(join(BUNDLES, bundle, name))]);

test("a dropped folder is opened and run without any network", async ({ engine, server, context }) => {
  await context.setOffline(true);
  expectDone(await engine.openFiles(folder("demo")));
  const events = await engine.predict(NOTE);
  expectDone(events);
  expect(events.filter(({ is }) => is === "predicted")).toHaveLength(5);
  expect(asked(server)).toEqual([]);
  // It is stored as one that was fetched.
  const { bundles } = only(await engine.ask({ do: "storage" }), "stored");
  expect(bundles).toHaveLength(1);
  expect(bundles[0].present_bytes).toBe(filesOf("demo").reduce((sum, { bytes }) => sum + bytes, 0));
});

test("a folder that lacks a shard names it, and the whole folder then works", async ({ engine }) => {
  const { file } = filesOf("demo")[1];
  const failure = expectFailed(await engine.openFiles(folder("demo").filter(([path]) => path !== `demo/${file}`)), "missing");
  expect(failure).toMatchObject({ path: file, status: 404 });
  expectDone(await engine.openFiles(folder("demo")));
  expectDone(await engine.predict(NOTE));
});

test("a folder without a manifest is none of a bundle", async ({ engine }) => {
  const failure = expectFailed(await engine.openFiles(folder("demo").filter(([path]) => !path.endsWith("manifest.json"))), "missing");
  expect(failure.path).toContain("manifest.json");
});

test("a damaged file of a folder is named and poisons nothing", async ({ engine }) => {
  const { file } = filesOf("demo")[0];
  const damaged = folder("demo").map(([path, bytes]) => {
    if (path !== `demo/${file}`) return [path, bytes];
    const other = Buffer.from(bytes);
    other[99] ^= 4;
    return [path, other];
  });
  expect(expectFailed(await engine.openFiles(damaged), "damaged").path).toBe(file);
  expectDone(await engine.openFiles(folder("demo")));
  expectDone(await engine.predict(NOTE));
});

test("adapters from a folder find the base that is stored", async ({ engine, server }) => {
  expectDone(await engine.openFiles(folder("base")));
  server.log.length = 0;
  expectDone(await engine.openFiles(folder("adapters")));
  expectDone(await engine.predict(NOTE));
  expect(asked(server)).toEqual([]);
});
