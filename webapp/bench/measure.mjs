#!/usr/bin/env node
// Times this engine in headless Chromium: ms a note by length and number of tasks, dispatches, and the device's own rate at a plain
// tiled f32 product. One JSON line for each case.
//
//   node measure.mjs PROGRAMS BUNDLES       PROGRAMS holds cpu/ and webgpu/ as `cargo xtask bench web` makes them, BUNDLES a
//                                           folder for each precision with the bundles of `bundles.mjs` in it
//     [--lengths 32,64,128,256] [--seconds 10] [--devices cpu,webgpu] [--precisions int4,int8]
import { readFileSync, readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from '../../tests/browser/node_modules/@playwright/test/index.mjs';

const option = (value) => ({ type: 'string', default: value });
const { values: args, positionals: [programs, bundles] } = parseArgs({
  allowPositionals: true,
  options: {
    lengths: option('32,64,128,256'), seconds: option('10'), devices: option('cpu,webgpu'), precisions: option('int4,int8'),
  },
});
const list = (name) => args[name].split(',');
const PLAIN = readFileSync(join(import.meta.dirname, '../../shaders/tests/gpu/plain_gemm.wgsl'), 'utf8');
const TYPES = { '.mjs': 'text/javascript', '.js': 'text/javascript', '.wasm': 'application/wasm', '.html': 'text/html' };

async function answer(request, response) {
  const path = normalize(new URL(request.url, 'http://x').pathname);
  if (path === '/') return response.writeHead(200, { 'Content-Type': 'text/html' }).end('<!doctype html>');
  const [, root, ...rest] = path.split('/');
  try {
    const body = await readFile(join({ programs, bundles }[root], ...rest));
    response.writeHead(200, { 'Content-Type': TYPES[extname(path)] ?? 'application/octet-stream' }).end(body);
  } catch {
    response.writeHead(404).end();
  }
}

/** Processor time of this program and its browser, ms (Linux). */
function processorMs() {
  const processes = new Map();
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
      processes.set(pid, { parent: fields[1], ticks: Number(fields[11]) + Number(fields[12]) });
    } catch { /* it has just ended */ }
  }
  const ours = (pid) => pid === String(process.pid) || (processes.has(pid) && ours(processes.get(pid).parent));
  return 10 * [...processes].reduce((sum, [pid, { ticks }]) => sum + (ours(pid) ? ticks : 0), 0);
}

// ---- in the page ------------------------------------------------------------------------------------------------

async function openEngine({ device, precision, bundle }) {
  const { open } = await import(`/programs/${device}/engine.mjs`);
  globalThis.engine = await open({ folder: `/bundles/${precision}`, bundle });
  globalThis.tasks = engine.model.tasks();
  const adapter = await navigator.gpu?.requestAdapter();
  return adapter ? `${adapter.info.vendor} ${adapter.info.architecture}` : null;
}

/** Times of runs of the first `count` tasks: in one batch, or one after the other. */
async function timeRuns({ length, count, batched, seconds }) {
  const ids = Uint32Array.from({ length }, (_, i) => 3 + ((i * 7919) % 1000));
  const groups = batched ? [tasks.slice(0, count)] : tasks.slice(0, count).map((task) => [task]);
  const once = async () => {
    const start = performance.now();
    const logits = [];
    for (const group of groups) logits.push(...(await engine.model.run(ids, group, 'all')));
    return { ms: performance.now() - start, logits };
  };
  await once();
  const times = [];
  let last;
  const end = performance.now() + seconds * 1000;
  do times.push((last = await once()).ms);
  while (times.length < 20 && performance.now() + last.ms < end);
  return { times: times.sort((a, b) => a - b), logits: last.logits };
}

async function countDispatches({ length, count }) {
  const ids = Uint32Array.from({ length }, (_, i) => 3 + ((i * 7919) % 1000));
  return JSON.parse(await engine.model.dispatches(ids, tasks.slice(0, count), 'all'));
}

/** GFLOP/s of the plain product, `[512, 512, 512]`, on the adapter: the best of some. */
async function plainRate({ code }) {
  const device = await (await navigator.gpu.requestAdapter()).requestDevice();
  const size = 512;
  const module = device.createShaderModule({ code });
  const pipeline = await device.createComputePipelineAsync({ layout: 'auto', compute: { module, entryPoint: 'main' } });
  const buffer = (bytes, usage) => device.createBuffer({ size: bytes, usage: usage | GPUBufferUsage.COPY_DST });
  const buffers = [0, 1, 2].map(() => buffer(4 * size * size, GPUBufferUsage.STORAGE));
  const params = buffer(16, GPUBufferUsage.UNIFORM);
  device.queue.writeBuffer(params, 0, new Uint32Array([size, size, size, 0]));
  const entries = [...buffers, params].map((buffer, binding) => ({ binding, resource: { buffer } }));
  const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
  let best = Infinity;
  for (let run = 0; run < 6; run++) {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(size / 32, size / 32);
    pass.end();
    const start = performance.now();
    device.queue.submit([encoder.finish()]);
    await device.queue.onSubmittedWorkDone();
    best = Math.min(best, performance.now() - start);
  }
  device.destroy();
  return (2e-6 * size ** 3) / best;
}

// ---- the cases --------------------------------------------------------------------------------------------------

const median = (sorted) => (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
const round = (x) => Number(x.toPrecision(4));

async function timed(page, task) {
  const before = processorMs();
  const { times, logits } = await page.evaluate(timeRuns, { ...task, seconds: Number(args.seconds) });
  // The first run, which is not among the times, has run as well.
  return { ms: round(median(times)), cpu_ms: round((processorMs() - before) / (times.length + 1)), runs: times.length, logits };
}

/** Multiply-adds of the projections in a pass over `tokens`; in the last layer keys and values alone are of all of them. */
function multiplyAdds(config, tokens) {
  const { hidden_size: d, intermediate_size: f, num_hidden_layers: layers } = config;
  const kv = (config.num_key_value_heads ?? config.num_attention_heads) * (config.head_dim ?? d / config.num_attention_heads);
  const rest = 2 * d * d + 3 * d * f;
  return tokens * (layers * (rest + 2 * d * kv) - rest) + rest;
}

const server = createServer(answer);
await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--enable-unsafe-webgpu', '--disable-background-networking', '--disable-component-update'],
});
try {
  for (const device of list('devices'))
    for (const precision of list('precisions')) {
      const page = await browser.newPage();
      await page.goto(`http://127.0.0.1:${server.address().port}/`);
      page.setDefaultTimeout(0);
      const adapter = await page.evaluate(openEngine, { device, precision, bundle: 'clinlora-five' });
      const isGpu = device === 'webgpu';
      const plain_gflops = isGpu ? round(await page.evaluate(plainRate, { code: PLAIN })) : undefined;
      const { base } = JSON.parse(readFileSync(join(bundles, precision, 'clinlora-five/manifest.json')));
      for (const T of list('lengths').map(Number)) {
        const line = { device, precision, T };
        for (const count of [1, 5]) {
          const { logits, ...figures } = await timed(page, { length: T, count, batched: true });
          const dispatches = isGpu ? await page.evaluate(countDispatches, { length: T, count }) : {};
          const total = Object.values(dispatches).reduce((a, b) => a + b, 0);
          const gflops = (2e-6 * count * multiplyAdds(base.config, T)) / figures.ms;
          Object.assign(line, { tasks: count, ...figures, gflops: round(gflops) });
          if (isGpu) Object.assign(line, { adapter, dispatches: total, plain_gflops, share_of_plain: round(gflops / plain_gflops) });
          if (count > 1) {
            const separate = await timed(page, { length: T, count, batched: false });
            const apart = Math.max(...separate.logits.map((x, i) => Math.abs(x - logits[i])));
            Object.assign(line, { separate_ms: separate.ms, separate_cpu_ms: separate.cpu_ms, ratio: round(figures.ms / separate.ms) });
            Object.assign(line, { cpu_ratio: round(figures.cpu_ms / separate.cpu_ms), apart: Number(apart.toPrecision(2)) });
          }
          console.log(JSON.stringify(line));
        }
      }
      await page.close();
    }
} finally {
  await browser.close();
  server.close();
}
