// A bundle on its way into the browser's store, and everything that can go wrong on it.
import { asked, expect, expectDone, expectFailed, filesOf, manifest, only, startEngine, test } from "./engine.mjs";

const NOTE = "82M with dyspnoea, intubated, on vasopressors.";

/** Requests for one file of a bundle. */
const requests = (server, bundle, file) => server.log.filter(({ path }) => path === `/bundles/${bundle}/${file}`);

/** Sets a fault for one file of a bundle, in its first `times` answers. */
function failing(server, bundle, file, fault, times = 1) {
  server.fault = (path, count) => (path === `/bundles/${bundle}/${file}` && count <= times ? fault : undefined);
}

async function expectWorks(engine, bundle = "demo") {
  expectDone(await engine.open(bundle));
  expectDone(await engine.predict(NOTE));
}

test("a bundle is fetched once and then comes from the store without a request", async ({ engine, server, page }) => {
  const events = await engine.open("demo");
  expectDone(events);
  const files = filesOf("demo");
  for (const { file, bytes } of files) {
    expect(requests(server, "demo", file)).toEqual([expect.objectContaining({ status: 200, sent: bytes, range: undefined })]);
  }
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  expect(events.filter(({ is }) => is === "fetching").at(-1)).toMatchObject({ received_bytes: total, fetched_bytes: total });
  const before = await engine.predict(NOTE);

  server.log.length = 0;
  const again = await startEngine(page, server);
  expectDone(await again.open("demo"));
  const outcomes = (events) => events.filter(({ is }) => is === "predicted").map(({ task, probabilities }) => [task, probabilities]);
  expect(outcomes(await again.predict(NOTE))).toEqual(outcomes(before));
  expect(outcomes(before)).toHaveLength(5);
  expect(asked(server)).toEqual([]);
});

test("a cut connection is continued from the byte it had reached", async ({ engine, server }) => {
  const { file, bytes } = filesOf("demo")[0];
  const half = Math.floor(bytes / 2);
  failing(server, "demo", file, { dropAfter: half });
  await expectWorks(engine);
  expect(requests(server, "demo", file)).toMatchObject([
    { status: 200, sent: half },
    { status: 206, range: `bytes=${half}-`, sent: bytes - half },
  ]);
  for (const other of filesOf("demo").slice(1)) expect(requests(server, "demo", other.file)).toHaveLength(1);
});

for (const [where, at] of [["before its first byte", () => 0], ["after its first byte", () => 1], ["before its last byte", (bytes) => bytes - 1]]) {
  test(`a connection that is cut ${where} is continued there`, async ({ engine, server }) => {
    for (const { file, bytes } of filesOf("demo").slice(0, 2)) {
      failing(server, "demo", file, { dropAfter: at(bytes) });
      await expectWorks(engine);
      const [cut, rest] = requests(server, "demo", file);
      expect(cut.sent).toBe(at(bytes));
      expect(rest.sent).toBe(bytes - at(bytes));
      expectDone(await engine.ask({ do: "delete" }));
      server.log.length = 0;
    }
  });
}

test("a worker that dies while loading is continued by the next one", async ({ engine, server, page }) => {
  const { file, bytes } = filesOf("demo")[0];
  const half = Math.floor(bytes / 2);
  failing(server, "demo", file, { stallAfter: half });
  const id = await engine.start(engine.opening("demo"));
  await expect.poll(() => requests(server, "demo", file).at(0)?.sent).toBe(half);
  for (const other of filesOf("demo").slice(1)) {
    await expect.poll(() => requests(server, "demo", other.file).at(0)?.sent).toBe(other.bytes);
  }
  // Until what was sent is stored.
  await engine.until(id, "fetching");
  await page.waitForTimeout(500);
  await engine.end();

  server.log.length = 0;
  server.fault = undefined;
  await expectWorks(await startEngine(page, server));
  expect(requests(server, "demo", file)).toMatchObject([{ status: 206, range: `bytes=${half}-`, sent: bytes - half }]);
  for (const other of filesOf("demo").slice(1)) expect(requests(server, "demo", other.file)).toEqual([]);
});

test("stopping keeps what is stored", async ({ engine, server }) => {
  const { file, bytes } = filesOf("demo")[0];
  failing(server, "demo", file, { stallAfter: bytes - 1000 });
  const id = await engine.start(engine.opening("demo"));
  await engine.until(id, "fetching");
  await expect.poll(() => requests(server, "demo", file).at(0)?.sent).toBe(bytes - 1000);
  await engine.page.waitForTimeout(500);
  await engine.ask({ do: "cancel", request: id });
  expectFailed(await engine.ended(id), "cancelled");
  server.log.length = 0;
  await expectWorks(engine);
  expect(requests(server, "demo", file)).toMatchObject([{ status: 206, sent: 1000 }]);
});

test("a server without ranges costs the bytes but not the bundle", async ({ engine, server }) => {
  const { file, bytes } = filesOf("demo")[0];
  server.fault = (path, count) => {
    if (path !== `/bundles/demo/${file}`) return undefined;
    return count === 1 ? { dropAfter: 5000, noRange: true } : { noRange: true };
  };
  await expectWorks(engine);
  expect(requests(server, "demo", file)).toMatchObject([{ sent: 5000 }, { status: 200, range: "bytes=5000-", sent: bytes }]);
});

test("a wrong hash fetches that shard again and no other", async ({ engine, server }) => {
  const [first, ...others] = filesOf("demo");
  failing(server, "demo", first.file, { corruptAt: 777 });
  await expectWorks(engine);
  expect(requests(server, "demo", first.file)).toMatchObject([{ status: 200 }, { status: 200, range: undefined }]);
  for (const { file } of others) expect(requests(server, "demo", file)).toHaveLength(1);
});

test("a shard that is wrong twice is named, poisons nothing, and the next load works", async ({ engine, server }) => {
  const { file } = filesOf("demo")[0];
  failing(server, "demo", file, { corruptAt: 777 }, 2);
  expect(expectFailed(await engine.open("demo"), "damaged").path).toBe(file);
  expectFailed(await engine.predict(NOTE), "nothing_loaded");
  await expectWorks(engine);
});

test("a shard that grew since its manifest is damaged too", async ({ engine, server }) => {
  const { file } = filesOf("demo")[0];
  failing(server, "demo", file, { replace: (bytes) => Buffer.concat([bytes, Buffer.from("more")]) }, 2);
  expect(expectFailed(await engine.open("demo"), "damaged").path).toBe(file);
  await expectWorks(engine);
});

test("a shard that is not there is named at once", async ({ engine, server }) => {
  const { file } = filesOf("demo")[0];
  failing(server, "demo", file, { status: 404 });
  expect(expectFailed(await engine.open("demo"), "missing")).toMatchObject({ path: file, status: 404 });
  expect(requests(server, "demo", file)).toHaveLength(1);
  await expectWorks(engine);
});

test("a server in trouble is asked again", async ({ engine, server }) => {
  const { file } = filesOf("demo")[0];
  failing(server, "demo", file, { status: 503 }, 2);
  await expectWorks(engine);
  expect(requests(server, "demo", file).map(({ status }) => status)).toEqual([503, 503, 200]);
});

test.describe("a manifest", () => {
  const edited = (edit) => ({ replace: (bytes) => JSON.stringify(edit(JSON.parse(bytes))) });
  const cases = {
    "that is cut short": { cutTo: 1000 },
    "that is empty": { cutTo: 0 },
    "of another version": edited((manifest) => ({ ...manifest, version: 2 })),
    "of something else": { replace: () => '{"format":"recipe","version":1}' },
    "whose segments overflow": edited((manifest) => {
      manifest.base.tensors[0].segments[0].offset = Number.MAX_SAFE_INTEGER - 3;
      return manifest;
    }),
    "of an older version": edited((manifest) => ({ ...manifest, version: 0 })),
    "whose segments lie beyond their shard": edited((manifest) => {
      const [tensor] = manifest.base.tensors;
      manifest.shards[tensor.segments[0].shard].bytes = tensor.segments[0].bytes - 4;
      return manifest;
    }),
    "whose segments overlap": edited((manifest) => {
      const [first, second] = manifest.base.tensors;
      second.segments[0] = { ...second.segments[0], shard: first.segments[0].shard, offset: first.segments[0].offset };
      return manifest;
    }),
    "that leads out of its folder": edited((manifest) => {
      manifest.shards[0].file = "../secret.bin";
      return manifest;
    }),
  };
  for (const [name, fault] of Object.entries(cases)) {
    test(`${name} is refused before anything is fetched`, async ({ engine, server }) => {
      failing(server, "demo", "manifest.json", fault);
      const { reason } = expectFailed(await engine.open("demo"), "manifest");
      expect(reason.length).toBeGreaterThan(20);
      expect(asked(server)).toHaveLength(1);
      await expectWorks(engine);
    });
  }
});

test.describe("adapters", () => {
  test("share the base that is stored", async ({ engine, server }) => {
    expectDone(await engine.open("base"));
    server.log.length = 0;
    await expectWorks(engine, "adapters");
    const paths = [...new Set(asked(server).map(({ path }) => path))];
    expect(paths.sort()).toEqual(["manifest.json", ...filesOf("adapters").map(({ file }) => file)].map((name) => `/bundles/adapters/${name}`).sort());
  });

  test("bring their base along, and give what the whole bundle gives", async ({ engine, server }) => {
    expectDone(await engine.open("adapters", { base: `${server.url}bundles/base/` }));
    const apart = await engine.predict(NOTE);
    expectDone(apart);
    server.log.length = 0;
    expectDone(await engine.open("demo"));
    // The whole bundle has the same base: its shards are stored already.
    const base = manifest("base").shards.map(({ sha256 }) => sha256);
    for (const { file, sha256 } of filesOf("demo")) {
      if (base.includes(sha256)) expect(requests(server, "demo", file)).toEqual([]);
    }
    const whole = await engine.predict(NOTE);
    const numbers = (events) => events.filter(({ is }) => is === "predicted").map(({ probabilities }) => probabilities);
    expect(numbers(apart)).toEqual(numbers(whole));
  });

  test("of another base are refused, with both hashes", async ({ engine, server }) => {
    const failure = expectFailed(await engine.open("adapters", { base: `${server.url}bundles/other/` }), "other_base");
    expect(failure.expected).toBe(manifest("adapters").base_sha256);
    expect(failure.found).toBe(manifest("other").base_sha256);
    expectFailed(await engine.open("adapters"), "other_base");
    await expectWorks(engine);
  });
});

test("a full store is said with the sizes, and the next load works", async ({ engine, server, page }) => {
  const cdp = await page.context().newCDPSession(page);
  const origin = new URL(server.url).origin;
  const total = filesOf("demo").reduce((sum, { bytes }) => sum + bytes, 0);
  await cdp.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: Math.floor(total / 2) });
  const failure = expectFailed(await engine.open("demo"), "quota");
  expect(failure.needed_bytes).toBeGreaterThan(0);
  expect(failure.available_bytes).toBeLessThan(failure.needed_bytes);
  await cdp.send("Storage.overrideQuotaForOrigin", { origin });
  await expectWorks(engine);
});

test("a disk that fills up in the middle is said too, and what is stored is kept", async ({ page, server }) => {
  server.fault = (path) =>
    path === "/worker_loader.js"
      ? {
          before: `
            const write = FileSystemSyncAccessHandle.prototype.write;
            let left = 90_000;
            FileSystemSyncAccessHandle.prototype.write = function (bytes, options) {
              left -= bytes.byteLength;
              if (left < 0) throw new DOMException("full", "QuotaExceededError");
              return write.call(this, bytes, options);
            };
          `,
        }
      : undefined;
  const engine = await startEngine(page, server);
  const failure = expectFailed(await engine.open("demo"), "quota");
  expect(failure.needed_bytes).toBeGreaterThan(0);
  server.fault = undefined;
  server.log.length = 0;
  await expectWorks(await startEngine(page, server));
  const fetched = server.log.filter(({ path }) => path.startsWith("/bundles/")).reduce((sum, { sent }) => sum + sent, 0);
  const all = filesOf("demo").reduce((sum, { bytes }) => sum + bytes, 0);
  expect(fetched).toBeLessThan(all);
});

test("a second tab waits for the first and then needs nothing from the network", async ({ engine, server, context }) => {
  const { file, bytes } = filesOf("demo")[0];
  let release;
  failing(server, "demo", file, { stallAfter: 5000, until: new Promise((resolve) => (release = resolve)) });
  const first = await engine.start(engine.opening("demo"));
  await expect.poll(() => requests(server, "demo", file).length).toBe(1);
  const tab = await startEngine(await context.newPage(), server);
  const second = await tab.start(tab.opening("demo"));
  await tab.until(second, "waiting_for_other_tab");
  release();
  expectDone(await engine.ended(first));
  expectDone(await tab.ended(second));
  expect(requests(server, "demo", file)).toMatchObject([{ sent: bytes }]);
  expectDone(await engine.predict(NOTE));
  expectDone(await tab.predict(NOTE));
});

test("storage is counted, and deleting leaves nothing", async ({ engine, server }) => {
  expectDone(await engine.open("demo"));
  expectDone(await engine.open("adapters"));
  const stored = only(await engine.ask({ do: "storage" }), "stored");
  const size = (bundle) => filesOf(bundle).reduce((sum, { bytes }) => sum + bytes, 0);
  expect(stored.bundles.map(({ bytes, present_bytes }) => [bytes, present_bytes]).sort()).toEqual(
    ["demo", "adapters"].map((bundle) => [size(bundle), size(bundle)]).sort(),
  );
  const hashes = new Map(["demo", "adapters"].flatMap(filesOf).map(({ sha256, bytes }) => [sha256, bytes]));
  expect(stored.bytes).toBe([...hashes.values()].reduce((sum, bytes) => sum + bytes, 0));

  expectDone(await engine.ask({ do: "delete", address: `${server.url}bundles/demo/manifest.json` }));
  const rest = only(await engine.ask({ do: "storage" }), "stored");
  expect(rest.bytes).toBe(size("adapters"));
  expectDone(await engine.ask({ do: "delete" }));
  expect(only(await engine.ask({ do: "storage" }), "stored")).toMatchObject({ bundles: [], bytes: 0 });
  await expectWorks(engine);
});
