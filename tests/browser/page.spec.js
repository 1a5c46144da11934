// The page itself, as far as it goes: drawn at once, usable, silent on the network.
import AxeBuilder from "@axe-core/playwright";
import { join } from "node:path";
import { readdirSync } from "node:fs";
import { BUNDLES, asked, expect, test } from "./engine.mjs";

const NOTE = "82M with dyspnoea, intubated, on vasopressors.";
const state = (page) => page.locator("#state");

test("the page is drawn before the worker's program is there", async ({ page, server }) => {
  let release;
  const until = new Promise((resolve) => (release = resolve));
  server.fault = (path) => (path === "/worker_bg.wasm" ? { stallAfter: 1000, until } : undefined);
  await page.goto(server.url);
  await expect(page.locator("h1")).toHaveText("Clinlora");
  await expect(page.locator("#open")).toBeVisible();
  await page.locator("#address").fill("bundles/demo/");
  // Asked before the worker can answer, and not lost.
  await page.locator("#open").click();
  release();
  await expect(state(page)).toHaveAttribute("data-state", "ready");
});

test("a bundle from an address, a note, and its outcomes", async ({ page, server }) => {
  const problems = [];
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(String(error)));
  await page.goto(`${server.url}?bundle=bundles/demo/&device=cpu`);
  await page.locator("#open").click();
  await expect(state(page)).toHaveAttribute("data-state", "ready");
  await page.locator("#note").fill(NOTE);
  server.log.length = 0;
  await page.locator("#predict").click();
  const rows = page.locator("#outcomes tbody tr");
  await expect(rows).toHaveCount(5);
  for (const row of await rows.all()) {
    const probabilities = JSON.parse(await row.getAttribute("data-probabilities"));
    expect(Math.min(...probabilities)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...probabilities)).toBeLessThanOrEqual(1);
  }
  expect(server.log).toEqual([]);
  expect(problems).toEqual([]);
});

test("files of this machine are opened without a request", async ({ page, server }) => {
  await page.goto(`${server.url}?device=cpu`);
  await expect(page.locator("#open")).toBeVisible();
  await page.waitForTimeout(1000);
  server.log.length = 0;
  const folder = join(BUNDLES, "demo");
  await page.locator("#files").setInputFiles(readdirSync(folder).map((name) => join(folder, name)));
  await expect(state(page)).toHaveAttribute("data-state", "ready");
  await page.locator("#note").fill(NOTE);
  await page.locator("#predict").click();
  await expect(page.locator("#outcomes tbody tr")).toHaveCount(5);
  expect(asked(server)).toEqual([]);
});

test("a worker that crashes is replaced, and the store is sound", async ({ page, server }) => {
  server.fault = (path) =>
    path === "/worker_loader.js"
      ? { before: `new BroadcastChannel("crash").onmessage = () => setTimeout(() => { throw new Error("crashed by the test"); });` }
      : undefined;
  await page.goto(`${server.url}?bundle=bundles/demo/&device=cpu`);
  await page.locator("#open").click();
  await expect(state(page)).toHaveAttribute("data-state", "ready");
  await page.evaluate(() => new BroadcastChannel("crash").postMessage(""));
  await expect(state(page)).toHaveAttribute("data-state", "failed crashed");
  server.log.length = 0;
  await page.locator("#open").click();
  await expect(state(page)).toHaveAttribute("data-state", "ready");
  expect(asked(server)).toEqual([]);
});

test("axe finds nothing on the page", async ({ page, server }) => {
  await page.goto(server.url);
  await expect(page.locator("#open")).toBeVisible();
  expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);
});
