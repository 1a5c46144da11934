// The clinician's page: the path of somebody who has never seen it, and what must hold whatever is done on it.
import AxeBuilder from "@axe-core/playwright";
import { chromium } from "@playwright/test";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import config from "./playwright.config.js";
import { NOTE, expectNoSidewaysScroll, expectReady, openPage, outcomes, phase, predict, problemsOf } from "./clinician.mjs";
import { BUNDLES, asked, expect, manifest, test } from "./engine.mjs";

/** What the native program says of one note: probabilities by task. */
function native(bundle, id) {
  const all = new Map();
  for (const { name, labels } of manifest(bundle).tasks) {
    const lines = readFileSync(join(BUNDLES, `${bundle}-all-${name}.jsonl`), "utf8").trim().split("\n");
    const { scores } = lines.map((line) => JSON.parse(line)).find((line) => line.id === id);
    all.set(name, labels.map((label) => scores[label.name]));
  }
  return all;
}

function expectSame(actual, expected, tolerance) {
  expect([...actual.keys()]).toEqual([...expected.keys()]);
  for (const [task, probabilities] of expected) {
    const differences = probabilities.map((value, i) => Math.abs(value - actual.get(task)[i]));
    expect(Math.max(...differences), task).toBeLessThan(tolerance);
  }
}

test("a newcomer's path: load, sample, five outcomes, why, what-if, export", async ({ page, server }) => {
  const problems = problemsOf(page);
  await page.goto(`${server.url}?bundle=bundles/trained-int8/&device=cpu`);
  await expect(page.getByText("not for clinical use")).toBeVisible();
  await page.getByRole("button", { name: /Load the model/ }).click();
  await expectReady(page);

  await page.locator(".sample").first().click();
  const note = await page.locator("#note").inputValue();
  expect(note.length).toBeGreaterThan(200);
  server.log.length = 0;
  const said = await predict(page);
  const { samples } = JSON.parse(readFileSync(new URL("../../webapp/samples.json", import.meta.url), "utf8"));
  expectSame(said, native("trained-int8", samples[0].id), 1e-3);

  await page.locator('.card[data-task="mor"] .why').first().click();
  // How many sentences raise and lower it, or that none does; their numbers are why-page.spec.js's.
  await expect(page.locator("#why")).toContainText(/sentences? raises?|sentences? lowers?|No sentence/);

  await page.locator("#what-if").getByRole("button", { name: /^Try it as/ }).click();
  await expect(page.locator("#what-if [data-what-if]")).toHaveAttribute("data-what-if", /^(done|same)$/);
  await expect(page.locator("#what-if")).toContainText(/point|no change/);

  const [download] = await Promise.all([page.waitForEvent("download"), page.locator("#save-fhir").click()]);
  const { entry } = JSON.parse(readFileSync(await download.path(), "utf8"));
  const mortality = entry.map(({ resource }) => resource).find(({ prediction }) => prediction.length === 1 && /dies/.test(JSON.stringify(prediction)));
  expect(mortality.prediction[0].probabilityDecimal).toBeCloseTo(100 * said.get("mor")[1], 1);
  expect(problems).toEqual([]);
  // A whole run, reasons included, has asked nobody for anything.
  expect(server.log).toEqual([]);
});

test("the page is drawn and usable before the worker's program is there", async ({ page, server }) => {
  let release;
  const until = new Promise((resolve) => (release = resolve));
  server.fault = (path) => (path === "/worker_bg.wasm" ? { stallAfter: 1000, until } : undefined);
  await page.goto(`${server.url}?bundle=bundles/demo/&device=cpu`);
  await page.locator("#note").fill(NOTE);
  await expect(page.locator("#predict")).toBeDisabled();
  release();
  await page.locator("#load").click();
  await expectReady(page);
  expect(await page.locator("#note").inputValue()).toBe(NOTE);
  await predict(page);
});

test("first paint is under a second with nothing cached", async ({ page, server }) => {
  await page.goto(server.url);
  await expect(page.locator("#note")).toBeVisible();
  const paint = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0].startTime);
  expect(paint).toBeLessThan(1000);
});

test("files of this machine are opened without a request", async ({ page, server }) => {
  await page.goto(`${server.url}?bundle=nowhere/&device=cpu`);
  await expect(phase(page)).toHaveAttribute("data-phase", "nothing");
  server.log.length = 0;
  const folder = join(BUNDLES, "demo");
  await page.locator("#files").setInputFiles(readdirSync(folder).map((name) => join(folder, name)));
  await expectReady(page);
  await page.locator("#note").fill(NOTE);
  await predict(page);
  expect(asked(server)).toEqual([]);
});

test("after a restart of the browser everything works without a network", async ({ server }) => {
  const profile = mkdtempSync(join(tmpdir(), "clinlora-page-"));
  const start = () => chromium.launchPersistentContext(profile, config.use.launchOptions);
  try {
    let browser = await start();
    let page = await browser.newPage();
    await openPage(page, server);
    await page.evaluate(() => navigator.serviceWorker.ready);
    await page.locator("#note").fill(NOTE);
    const before = await predict(page);
    await browser.close();

    const { url } = server;
    await server.close();
    browser = await start();
    page = await browser.newPage();
    await page.goto(`${url}?bundle=bundles/demo/&device=cpu`);
    await expectReady(page);
    await page.locator("#note").fill(NOTE);
    expect(await predict(page)).toEqual(before);
    await browser.close();
  } finally {
    rmSync(profile, { recursive: true, force: true });
  }
});

test("typing never waits while the model computes @long", async ({ page, server }) => {
  await openPage(page, server, { bundle: "trained-int8" });
  await page.locator(".sample").first().click();
  await page.evaluate(() => {
    window.long = [];
    new PerformanceObserver((list) => window.long.push(...list.getEntries().map(({ duration }) => duration))).observe({ type: "longtask" });
  });
  await page.locator("#predict").click();
  await page.locator("#note").focus();
  for (const letter of " Denies chest pain.") await page.keyboard.type(letter, { delay: 15 });
  await expect(page.locator("#note")).toHaveValue(/Denies chest pain\.$/);
  // A task of 50 ms and more is what the browser calls long.
  expect(await page.evaluate(() => window.long)).toEqual([]);
});

test("outcomes never stand beside another note than theirs", async ({ page, server }) => {
  await openPage(page, server);
  await page.locator("#note").fill(NOTE);
  await predict(page);
  await page.locator("#note").fill(`${NOTE} Died.`);
  await expect(page.locator(".card[data-probabilities]")).toHaveCount(0);
});

test("a note is text, whatever it contains", async ({ page, server }) => {
  const problems = problemsOf(page);
  await openPage(page, server);
  const hostile = `<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>
PRESENT ILLNESS: </textarea><svg onload=window.hacked=1> \u202e68F\u202c \u05d0\u05d1\u05d2 \u{1fac0} intubated.`;
  await page.locator("#note").fill(hostile);
  await predict(page);
  await page.locator(".why").first().click();
  await expect(page.locator("#why")).toContainText("onerror");
  expect(await page.evaluate(() => window.hacked)).toBeUndefined();
  expect(await page.locator("#page img, #page script, #page svg[onload]").count()).toBe(0);
  expect(problems).toEqual([]);
});

test("a worker that crashes is replaced, the note stays, and nothing is fetched again", async ({ page, server }) => {
  server.fault = (path) =>
    path === "/worker_loader.js"
      ? { before: `new BroadcastChannel("crash").onmessage = () => setTimeout(() => { throw new Error("crashed by the test"); });` }
      : undefined;
  await openPage(page, server);
  await page.locator("#note").fill(NOTE);
  await page.evaluate(() => new BroadcastChannel("crash").postMessage(""));
  await expect(phase(page)).toHaveAttribute("data-phase", "failed crashed");
  await expect(page.locator("#note")).toHaveValue(NOTE);
  server.log.length = 0;
  await page.locator("#retry").click();
  await expectReady(page);
  await predict(page);
  expect(asked(server)).toEqual([]);
});

test("the whole path by keyboard alone", async ({ page, server }) => {
  await openPage(page, server, { load: false });
  await expect(page.locator("#load")).toBeVisible();
  const tabTo = async (selector) => {
    for (let i = 0; i < 60; i += 1) {
      await page.keyboard.press("Tab");
      if (await page.evaluate((selector) => document.activeElement?.matches(selector), selector)) return;
    }
    throw new Error(`${selector} is not reached by Tab`);
  };
  await tabTo("#load");
  await page.keyboard.press("Enter");
  await expectReady(page);
  await page.locator("h1").click(); // where the reading begins
  await tabTo(".sample");
  await page.keyboard.press("Space");
  await tabTo("#predict");
  await page.keyboard.press("Enter");
  await outcomes(page);
  await tabTo(".card .why");
  await page.keyboard.press("Enter");
  await expect(page.locator("#why tbody tr").first()).toBeVisible();
});

for (const scheme of ["light", "dark"]) {
  test(`axe finds nothing before and after a prediction, ${scheme}`, async ({ page, server }) => {
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
    await openPage(page, server, { load: false });
    await expect(page.locator("#load")).toBeVisible();
    expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);
    await page.locator("#load").click();
    await expectReady(page);
    await page.locator(".sample").first().click();
    await predict(page);
    await page.locator(".why").first().click();
    await expect(page.locator("#why tbody tr").first()).toBeVisible();
    expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);
  });
}

for (const [name, size] of [["320 pixels", { width: 320, height: 720 }], ["twice the size", { width: 640, height: 450 }]]) {
  test(`nothing is lost at ${name}`, async ({ page, server }) => {
    await page.setViewportSize(size);
    await openPage(page, server);
    await page.locator(".sample").first().click();
    await predict(page);
    await page.locator(".why").first().click();
    await expect(page.locator("#why tbody tr").first()).toBeVisible();
    await expectNoSidewaysScroll(page);
  });
}

test("what happens is announced", async ({ page, server }) => {
  await openPage(page, server);
  await expect(page.locator("#announcement")).toHaveText(/ready/);
  await page.locator("#note").fill(NOTE);
  await predict(page);
  await expect(page.locator("#announcement")).toHaveText(/outcomes are ready/);
});

test("without WebGPU a small model runs on the processor, and the page says so", async ({ page, server }) => {
  server.fault = (path) =>
    path === "/worker_loader.js"
      ? { before: `Object.defineProperty(WorkerNavigator.prototype, "gpu", { get: () => undefined });` }
      : undefined;
  await page.goto(`${server.url}?bundle=bundles/demo/`);
  await page.locator("#load").click();
  await expectReady(page);
  await expect(phase(page)).toContainText("no WebGPU");
  await page.locator("#note").fill(NOTE);
  await predict(page);
});
