// Where a model runs, and what happens when the device is not there, does not answer, or goes away.
import { asked, expect, expectDone, expectFailed, only, startEngine, test } from "./engine.mjs";

const NOTE = "82M with dyspnoea, intubated, on vasopressors.";

/** Puts a script before the worker's program. */
function before(server, script) {
  server.fault = (path) => (path === "/worker_loader.js" ? { before: script } : undefined);
}

/** Runs a script on every device the worker is given, as `device`; `devices` counts them. */
const withDevices = (script) => `
  let devices = 0;
  const request = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = async function (...options) {
    const device = await request.apply(this, options);
    devices += 1;
    ${script}
    return device;
  };
`;

const probabilities = (events) => events.filter(({ is }) => is === "predicted").map(({ probabilities }) => probabilities);

function expectClose(actual, expected, tolerance) {
  expect(actual.map((row) => row.length)).toEqual(expected.map((row) => row.length));
  const differences = actual.flatMap((row, i) => row.map((value, j) => Math.abs(value - expected[i][j])));
  expect(Math.max(...differences)).toBeLessThan(tolerance);
}

async function onCpu(page, server) {
  const engine = await startEngine(page, server);
  const opened = only(await engine.open("demo", { device: "automatic" }), "opened");
  expectDone(await engine.predict(NOTE));
  expect(opened.place.on).toBe("cpu");
  return opened.place.reason;
}

test("the software adapter of this browser is there, and is used when asked for @long", async ({ engine }) => {
  const opened = only(await engine.open("demo", { device: "gpu" }), "opened");
  // Without an adapter every test here would pass for the wrong reason.
  expect(opened.place).toMatchObject({ on: "gpu", adapter: { is_software: true, name: expect.stringContaining("swiftshader") } });
  const onGpu = await engine.predict(NOTE);
  expectDone(onGpu);
  expectDone(await engine.open("demo"));
  const onCpu = await engine.predict(NOTE);
  expect(probabilities(onGpu)).toHaveLength(5);
  expectClose(probabilities(onGpu), probabilities(onCpu), 1e-3);
});

test("a software adapter is slower than the CPU, so the CPU is taken", async ({ page, server }) => {
  expect(await onCpu(page, server)).toBe("software_adapter");
});

test("without WebGPU the CPU computes and says why", async ({ page, server }) => {
  before(server, `Object.defineProperty(WorkerNavigator.prototype, "gpu", { get: () => undefined });`);
  expect(await onCpu(page, server)).toBe("no_web_gpu");
});

test("without an adapter the CPU computes and says why", async ({ page, server }) => {
  before(server, `GPU.prototype.requestAdapter = async () => null;`);
  expect(await onCpu(page, server)).toBe("no_adapter");
});

test("an adapter that never answers is given up after five seconds", async ({ page, server }) => {
  before(server, `GPU.prototype.requestAdapter = () => new Promise(() => {});`);
  const start = Date.now();
  expect(await onCpu(page, server)).toBe("adapter_timed_out");
  expect(Date.now() - start).toBeGreaterThan(5000);
});

test("an adapter without a device is given up", async ({ page, server }) => {
  before(server, `GPUAdapter.prototype.requestDevice = async () => { throw new OperationError("none"); };`);
  expect(await onCpu(page, server)).toBe("no_device");
});

test("a bundle too large for the CPU is refused without a GPU, before it is fetched", async ({ page, server }) => {
  const edit = (bytes) => {
    const manifest = JSON.parse(bytes);
    // Further shards of adapters that no tensor lies in: 64 MB more.
    const shard = (i) => ({ file: `more-${i}.bin`, bytes: 16 << 20, sha256: String(i).repeat(64) });
    manifest.shards.push(...[1, 2, 3, 4].map(shard));
    return JSON.stringify(manifest);
  };
  server.fault = (path) => {
    if (path === "/bundles/demo/manifest.json") return { replace: edit };
    return path === "/worker_loader.js" ? { before: `GPU.prototype.requestAdapter = async () => null;` } : undefined;
  };
  const engine = await startEngine(page, server);
  server.log.length = 0;
  const failure = expectFailed(await engine.open("demo", { device: "automatic" }), "no_gpu");
  expect(failure).toMatchObject({ reason: "no_adapter", cpu_limit_bytes: 60_000_000 });
  expect(failure.bundle_bytes).toBeGreaterThan(64_000_000);
  expect(asked(server)).toHaveLength(1);
  server.fault = undefined;
  expectDone(await engine.open("demo", { device: "automatic", refresh: true }));
});

/** Changes the WGSL of every shader module. */
const rewriting = (script) => `
  const create = GPUDevice.prototype.createShaderModule;
  GPUDevice.prototype.createShaderModule = function (descriptor) {
    const rewrite = (code) => { ${script} };
    return create.call(this, { ...descriptor, code: rewrite(descriptor.code) });
  };
`;

test("a kernel that computes wrong numbers is left out, visibly, and the model is right without it @long", async ({ page, server }) => {
  const onCpu = await expected(page, server);
  // The factor of a norm, as a driver that rounds wildly would have it.
  before(server, rewriting(`return code.replace("inverseSqrt(sum / f32(p.inner) + p.eps)", "1.5 * inverseSqrt(sum / f32(p.inner) + p.eps)");`));
  const engine = await startEngine(page, server);
  const { place } = only(await engine.open("demo", { device: "gpu" }), "opened");
  expect(place.on).toBe("gpu");
  expect(place.adapter.refused_kernels).toContain("rms_norm.f32");
  expect(place.adapter.refused_kernels.every((name) => name.startsWith("rms_norm."))).toBe(true);
  const events = await engine.predict(NOTE);
  expectDone(events);
  expectClose(probabilities(events), onCpu, 1e-4);
});

test("a GPU that computes nothing but wrong numbers is left for the CPU, which says so @long", async ({ page, server }) => {
  before(server, `
    const range = GPUBuffer.prototype.getMappedRange;
    GPUBuffer.prototype.getMappedRange = function (...where) {
      const bytes = range.apply(this, where);
      // What is read back, not what is sent.
      if (this.usage & GPUBufferUsage.MAP_READ) new Uint8Array(bytes).fill(0x3f);
      return bytes;
    };
  `);
  const engine = await startEngine(page, server);
  const { place } = only(await engine.open("demo", { device: "gpu" }), "opened");
  expect(place).toEqual({ on: "cpu", reason: "wrong_answers" });
  expectDone(await engine.predict(NOTE));
});

test("limits too small for a tensor are said with both sizes", async ({ page, server }) => {
  before(server, withDevices(`Object.defineProperty(device.limits, "maxStorageBufferBindingSize", { value: 64 });`));
  const engine = await startEngine(page, server);
  const failure = expectFailed(await engine.open("demo", { device: "gpu" }), "too_large");
  expect(failure.limit_bytes).toBe(64);
  expect(failure.needed_bytes).toBeGreaterThan(64);
  server.fault = undefined;
  const again = await startEngine(page, server);
  expectDone(await again.open("demo", { device: "gpu" }));
});

/** What the CPU predicts: compiling its kernels takes a software GPU half a minute, so no test does it more often than it must. */
async function expected(page, server) {
  const engine = await startEngine(page, server);
  expectDone(await engine.open("demo"));
  const outcomes = probabilities(await engine.predict(NOTE));
  await engine.end();
  return outcomes;
}

/** Sends a word to the scripts before the worker's program. */
async function tell(page, word) {
  await page.evaluate((word) => new BroadcastChannel(word).postMessage(""), word);
  await page.waitForTimeout(200);
}

test("a device destroyed in the middle of a note is replaced and the note repeated @long", async ({ page, server }) => {
  const onCpu = await expected(page, server);
  before(server, withDevices(`
    if (devices === 1) {
      new BroadcastChannel("doom").onmessage = () => (self.isDoomed = true);
      const submit = device.queue.submit.bind(device.queue);
      device.queue.submit = (...commands) => {
        submit(...commands);
        if (self.isDoomed) device.destroy();
      };
    }
  `));
  const engine = await startEngine(page, server);
  expectDone(await engine.open("demo", { device: "gpu" }));
  await tell(page, "doom");
  server.log.length = 0;
  const events = await engine.predict(NOTE);
  expectDone(events);
  expect(only(events, "recovering").reason).toContain("Destroyed");
  expectClose(probabilities(events), onCpu, 1e-4);
  // From the store, not from the network.
  expect(server.log).toEqual([]);
});

test("a device lost between two notes is replaced before the next @long", async ({ page, server }) => {
  const onCpu = await expected(page, server);
  before(server, withDevices(`if (devices === 1) new BroadcastChannel("destroy").onmessage = () => device.destroy();`));
  const engine = await startEngine(page, server);
  expectDone(await engine.open("demo", { device: "gpu" }));
  await tell(page, "destroy");
  const events = await engine.predict(NOTE);
  only(events, "recovering");
  expectClose(probabilities(events), onCpu, 1e-4);
});

test("a device lost twice is an error, and opening again works @long", async ({ page, server }) => {
  before(server, withDevices(`
    new BroadcastChannel("doom").onmessage = () => (self.isDoomed = true);
    new BroadcastChannel("spare").onmessage = () => (self.isDoomed = false);
    const submit = device.queue.submit.bind(device.queue);
    device.queue.submit = (...commands) => {
      submit(...commands);
      if (self.isDoomed) device.destroy();
    };
  `));
  const engine = await startEngine(page, server);
  expectDone(await engine.open("demo", { device: "gpu" }));
  await tell(page, "doom");
  expectFailed(await engine.predict(NOTE), "device_lost");
  expectFailed(await engine.predict(NOTE), "nothing_loaded");
  await tell(page, "spare");
  expectDone(await engine.open("demo", { device: "gpu" }));
});

test("no memory left on the device is said with the sizes @long", async ({ page, server }) => {
  before(server, withDevices(`
    const create = device.createBuffer.bind(device);
    device.createBuffer = (descriptor) => {
      const error = new GPUOutOfMemoryError("no memory for a buffer");
      device.dispatchEvent(new GPUUncapturedErrorEvent("uncapturederror", { error }));
      return create(descriptor);
    };
  `));
  const engine = await startEngine(page, server);
  const failure = expectFailed(await engine.open("demo", { device: "gpu" }), "out_of_memory");
  expect(failure.bundle_bytes).toBeGreaterThan(100_000);
  expect(failure.reason).toContain("no memory");
});
