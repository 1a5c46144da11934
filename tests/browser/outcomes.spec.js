// The outcomes and what is said of them: lists, thresholds, exports, judgements; notes of every kind; the proofs that nothing
// leaves the machine; every state of the model's panel.
import AxeBuilder from "@axe-core/playwright";
import { readFileSync } from "node:fs";
import { NOTE, expectNoSidewaysScroll, openPage, phase, predict, problemsOf } from "./clinician.mjs";
import { expect, manifest, test } from "./engine.mjs";

const BUNDLE = "trained-int8";
const card = (page, task) => page.locator(`.card[data-task="${task}"]`);
const task = (name) => manifest(BUNDLE).tasks.find((task) => task.name === name);

/** Opens the page on a trained bundle and predicts from a sample. */
async function predicted(page, server, sample = 0) {
  await openPage(page, server, { bundle: BUNDLE });
  await page.locator(".sample").nth(sample).click();
  return predict(page);
}

/** What a click saves: its name and its text. */
async function saved(page, selector) {
  const [download] = await Promise.all([page.waitForEvent("download"), page.locator(selector).click()]);
  return { name: download.suggestedFilename(), text: readFileSync(await download.path(), "utf8") };
}

/** Percents as the page says them. */
const percent = (p) => (100 * p < 1 ? "less than 1 %" : 100 * p > 99 ? "more than 99 %" : `${Math.round(100 * p)} %`);

test("a risk is said in percent, as a frequency, and beside the average", async ({ page, server }) => {
  const said = await predicted(page, server);
  const mor = card(page, "mor");
  const [p, average] = [said.get("mor")[1], task("mor").evidence.base_rates[1]];
  await expect(mor.locator(".figure")).toContainText(percent(p));
  await expect(mor).toContainText("of 100 such patients");
  await expect(mor).toContainText(`Average: ${percent(average)}`);
  await expect(mor.locator(".relation")).toHaveText(/[↑↓≈].*average/);
  // The circle and the stroke of the scale stand where the numbers are.
  expect(Number.parseFloat(await mor.locator("circle.risk").first().getAttribute("cx"))).toBeCloseTo(100 * p, 1);
  expect(Number.parseFloat(await mor.locator("line.average").first().getAttribute("x1"))).toBeCloseTo(100 * average, 1);

  const rows = card(page, "los").locator("table.distribution tbody tr");
  await expect(rows).toHaveCount(4);
  for (const [i, row] of (await rows.all()).entries()) await expect(row.locator("td").first()).toHaveText(percent(said.get("los")[i]));
});

test("what happened to a sample's patient is shown after the prediction, and only of the sample as it is", async ({ page, server }) => {
  await openPage(page, server, { bundle: BUNDLE });
  await page.locator(".sample").last().click();
  await expect(page.getByText(/What happened|died|in the record/i)).toHaveCount(0);
  await predict(page);
  await expect(card(page, "mor").locator(".truth")).toHaveText(/dies in hospital/);
  await expect(card(page, "mor").locator(".truth")).toHaveAttribute("data-happened", "true");
  await expect(card(page, "diag").locator(".truth-list")).toContainText(/were coded/);
  await page.locator("#note").focus();
  await page.keyboard.type("x");
  await predict(page);
  await expect(page.locator("p.truth, .truth-list")).toHaveCount(0);
});

test("the list of all codes: search, order, keyboard, few rows drawn", async ({ page, server }) => {
  const said = (await predicted(page, server)).get("diag");
  const { labels, evidence } = task("diag");
  const diag = card(page, "diag");
  await diag.locator(".all-codes > summary").click();
  const list = diag.getByRole("listbox");
  const options = list.getByRole("option");
  await expect(diag.locator(".all-codes [role=status]")).toHaveText(`${labels.length} codes.`);
  expect(await options.count()).toBeLessThan(40);
  const order = said.map((p, i) => [p, labels[i].name]).sort((a, b) => b[0] - a[0] || (a[1] < b[1] ? -1 : 1));
  await expect(options.first()).toHaveAttribute("data-code", order[0][1]);
  await expect(options.first()).toHaveAttribute("aria-setsize", String(labels.length));

  // The keyboard reaches the last row, and what is chosen is drawn and shown in full.
  const chosen = list.locator("[aria-selected=true]");
  await list.focus();
  for (const [key, place] of [["Home", 0], ["ArrowDown", 1], ["PageDown", 10], ["ArrowUp", 9], ["End", labels.length - 1]]) {
    await page.keyboard.press(key);
    await expect(chosen).toHaveAttribute("data-code", order[place][1]);
    await expect(chosen).toBeInViewport();
    await expect(list).toHaveAttribute("aria-activedescendant", await chosen.getAttribute("id"));
  }
  const last = labels.findIndex(({ name }) => name === order.at(-1)[1]);
  await expect(diag.locator(".code-detail h4")).toContainText(labels[last].description.slice(1, 40));

  // By code, by words in any order, by nothing that fits.
  await diag.getByRole("searchbox").fill("584");
  await expect(options).toHaveCount(labels.filter(({ name }) => name.startsWith("584")).length);
  await diag.getByRole("searchbox").fill("failure kidney");
  await expect(options.first()).toContainText(/kidney failure/i);
  await options.first().click();
  const kidney = labels.findIndex(({ name }) => name === "584");
  await expect(diag.locator(".code-detail")).toContainText(percent(said[kidney]));
  await expect(diag.locator(".code-detail")).toContainText(percent(evidence.base_rates[kidney]));
  await expect(diag.locator(".code-detail [data-threshold]")).toHaveAttribute("data-threshold", String(evidence.thresholds[kidney]));
  await diag.getByRole("searchbox").fill("zzzz");
  await expect(diag.locator(".all-codes [role=status]")).toContainText("No code fits");

  await diag.getByRole("searchbox").fill("");
  await diag.locator(".filters select").first().selectOption("code");
  const codes = labels.map(({ name }) => name).sort();
  await expect(options.first()).toHaveAttribute("data-code", codes[0]);
  await diag.locator(".filters select").first().selectOption("ratio");
  const ratios = said.map((p, i) => [evidence.base_rates[i] > 0 ? p / evidence.base_rates[i] : -1, labels[i].name]);
  ratios.sort((a, b) => b[0] - a[0] || (a[1] < b[1] ? -1 : 1));
  await expect(options.first()).toHaveAttribute("data-code", ratios[0][1]);
});

test("a threshold's figures are the bundle's counts", async ({ page, server }) => {
  await predicted(page, server);
  const mor = card(page, "mor");
  await mor.locator(".evidence > summary").click();
  const { grid, operating, thresholds, notes, reliability } = task("mor").evidence;
  const counts = operating.find(({ label }) => label === 1);
  const slider = mor.getByRole("slider");
  const nearest = grid.reduce((best, t, i) => (Math.abs(t - thresholds[1]) < Math.abs(grid[best] - thresholds[1]) ? i : best), 0);
  await expect(slider).toHaveValue(String(nearest));
  await expect(mor.locator(".evidence")).toContainText(`Measured on ${notes} test notes`);
  const cell = (measure) => mor.locator(`[data-measure="${measure}"] td`).last();
  for (const [key, place] of [["Home", 0], ["ArrowRight", 1], ["End", grid.length - 1]]) {
    await slider.press(key);
    const [tp, fp, p, n] = [counts.true_positives[place], counts.false_positives[place], counts.positives, counts.negatives];
    await expect(slider).toHaveAttribute("aria-valuetext", percent(grid[place]));
    await expect(cell("sensitivity")).toHaveText(`${tp} of ${p}`);
    await expect(cell("specificity")).toHaveText(`${n - fp} of ${n}`);
    await expect(cell("ppv")).toHaveText(`${tp} of ${tp + fp}`);
    await expect(cell("npv")).toHaveText(`${n - fp} of ${n - fp + p - tp}`);
    await expect(cell("alerts")).toHaveText(`${tp + fp} of ${p + n}`);
  }
  await mor.getByText("The curve as a table").click();
  await expect(mor.locator(".evidence table").first().locator("tbody tr")).toHaveCount(reliability.length);
});

/** What R4 says of a RiskAssessment, as far as this page uses it: https://hl7.org/fhir/R4/riskassessment.html */
function expectRiskAssessment(resource) {
  const known = ["resourceType", "id", "status", "method", "code", "subject", "occurrenceDateTime", "performer", "basis", "prediction", "note"];
  expect(known).toEqual(expect.arrayContaining(Object.keys(resource)));
  expect(resource.resourceType).toBe("RiskAssessment");
  expect(resource.id).toMatch(/^[A-Za-z0-9\-.]{1,64}$/);
  expect(["registered", "preliminary", "final", "amended", "corrected", "cancelled", "entered-in-error", "unknown"]).toContain(resource.status);
  expect(resource.subject).toBeTruthy();
  expect(resource.occurrenceDateTime).toMatch(/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$/);
  for (const { text } of resource.note) expect(text).toBeTruthy();
  for (const prediction of resource.prediction) {
    const fields = ["outcome", "probabilityDecimal", "qualitativeRisk", "relativeRisk", "whenRange", "rationale"];
    expect(fields).toEqual(expect.arrayContaining(Object.keys(prediction)));
    expect(prediction.probabilityDecimal).toBeGreaterThanOrEqual(0);
    expect(prediction.probabilityDecimal).toBeLessThanOrEqual(100); // ras-2
    expect(prediction.outcome.text ?? prediction.outcome.coding).toBeTruthy();
    if (prediction.whenRange?.high) expect(prediction.whenRange.low.value).toBeLessThanOrEqual(prediction.whenRange.high.value);
  }
}

test("exports hold the outcomes as shown, and never the note", async ({ page, server }) => {
  const said = await predicted(page, server);
  const note = await page.locator("#note").inputValue();
  const fhir = await saved(page, "#save-fhir");
  expect(fhir.name).toMatch(/^clinlora-[\d-]+\.fhir\.json$/);
  const bundle = JSON.parse(fhir.text);
  expect(bundle).toMatchObject({ resourceType: "Bundle", type: "collection" });
  expect(bundle.entry).toHaveLength(5);
  for (const { fullUrl, resource } of bundle.entry) {
    expect(fullUrl).toBe(`urn:uuid:${resource.id}`);
    expectRiskAssessment(resource);
  }
  const mor = bundle.entry.map(({ resource }) => resource).find(({ code }) => code.text === task("mor").title);
  expect(mor.prediction[0].probabilityDecimal).toBeCloseTo(100 * said.get("mor")[1], 1);

  const csv = await saved(page, "#save-csv");
  expect(csv.name).toMatch(/^clinlora-[\d-]+\.csv$/);
  const lines = csv.text.trimEnd().split("\r\n");
  expect(lines).toHaveLength(1 + manifest(BUNDLE).tasks.reduce((sum, { labels }) => sum + labels.length, 0));
  const row = lines.find((line) => line.startsWith("mor,") && line.includes(",1,dies in hospital,")).split(",");
  expect(Number(row[4])).toBeCloseTo(said.get("mor")[1], 5);
  for (const text of [fhir.text, csv.text]) {
    for (const sentence of note.split(/[.\n]/).map((part) => part.trim()).filter((part) => part.length > 25)) expect(text).not.toContain(sentence);
  }
});

test("a print has the warning, the outcomes and the hashes, and nothing to press", async ({ page, server }) => {
  await predicted(page, server);
  await page.emulateMedia({ media: "print" });
  await expect(page.getByText("Research demonstration, not for clinical use.").first()).toBeVisible();
  await expect(page.locator("#provenance")).toContainText(manifest(BUNDLE).base_sha256);
  await expect(page.locator("#provenance")).toContainText("Note (SHA-256)");
  await expect(card(page, "mor").locator(".figure")).toBeVisible();
  for (const kind of ["button", "input", "select", "textarea", "summary"]) {
    expect(await page.locator(kind).evaluateAll((all) => all.filter((one) => one.checkVisibility()).length), kind).toBe(0);
  }
  await expect(page.locator(".panel.note")).toBeHidden();
  await page.emulateMedia({ media: "screen" });
  await page.locator("#print-note").check();
  await page.emulateMedia({ media: "print" });
  await expect(page.locator(".panel.note .drawing")).toBeVisible();
});

test("judgements stay in this browser, survive a reload, are saved and erased", async ({ page, server }) => {
  await predicted(page, server);
  const note = await page.locator("#note").inputValue();
  const mor = card(page, "mor");
  await mor.getByRole("button", { name: "Disagree" }).click();
  await mor.locator(".reason input").fill("=too young, \"stable\"");
  await mor.locator(".reason input").press("Enter");
  await expect(mor.getByRole("button", { name: "Disagree" })).toHaveAttribute("aria-pressed", "true");
  await page.reload();
  await expect(phase(page)).toHaveAttribute("data-phase", "ready");
  await page.locator(".sample").first().click();
  await predict(page);
  await expect(mor.getByRole("button", { name: "Disagree" })).toHaveAttribute("aria-pressed", "true");
  await expect(mor.locator(".reason input")).toHaveValue("=too young, \"stable\"");
  await page.locator("#kept > summary").click();
  await expect(page.locator("#opinions")).toHaveAttribute("data-count", "1");
  const { name, text } = await saved(page, "#save-opinions");
  expect(name).toMatch(/^clinlora-[\d-]+\.judgements\.csv$/);
  // A spreadsheet must not take a reason for a formula.
  expect(text).toContain(`disagree,"'=too young, ""stable"""`);
  const kept = await page.evaluate(() => JSON.stringify({ ...localStorage }));
  for (const word of note.split(/\s+/).filter((word) => word.length > 9)) expect(kept + text).not.toContain(word);
  await page.locator("#erase-opinions").click();
  await expect(page.locator("#opinions")).toHaveAttribute("data-count", "0");
  expect(await page.evaluate(() => localStorage.length)).toBe(0);
});

test("the page counts its requests, those of the model's program too, and has none after loading", async ({ page, server }) => {
  await openPage(page, server, { bundle: BUNDLE });
  const counter = page.locator("#requests");
  await expect(counter).toHaveAttribute("data-since-ready", "0");
  await counter.locator("summary").click();
  for (const path of ["base.css", "clinlora-webapp_bg.wasm", `bundles/${BUNDLE}/base-00001.bin`]) {
    await expect(counter.locator("tbody")).toContainText(server.url + path);
  }
  await page.locator(".sample").first().click();
  await predict(page);
  await expect(counter).toHaveAttribute("data-since-ready", "0");
  await expect(counter).toContainText("No request since the model was ready.");
  // It does count: a request of the page is seen.
  await page.evaluate(() => fetch("icon.svg?seen"));
  await expect(counter).toHaveAttribute("data-since-ready", "1");
  await expect(counter.locator("tbody tr").first()).toContainText("icon.svg?seen");
  await page.getByText("What the browser forbids this page").click();
  await expect(page.locator(".policy")).toContainText("connect-src 'self'");
  await expect(page.locator(".policy")).toContainText("and to nobody else");
});

test("disconnect and run: the check says what it proved, and what it did not", async ({ page, server, context }) => {
  await openPage(page, server, { bundle: BUNDLE });
  const check = page.locator("#offline");
  await page.locator("#offline-begin").click();
  await expect(check).toContainText("connected");
  await page.locator("#offline-run").click();
  await expect(check).toHaveAttribute("data-step", "failed");
  await expect(check).toContainText("proves nothing");
  await context.setOffline(true);
  await expect(check).toContainText("disconnected");
  await page.locator("#offline-run").click();
  await expect(check).toHaveAttribute("data-step", "proved");
  await expect(check).toContainText("It worked offline: 5 outcomes while this machine was disconnected, 0 requests tried.");
  await context.setOffline(false);
});

test("everything that is kept is erased at one wish", async ({ page, server }) => {
  await predicted(page, server);
  await card(page, "pmv").getByRole("button", { name: "Agree", exact: true }).click();
  await page.evaluate(() => navigator.serviceWorker.ready);
  await page.locator("#kept > summary").click();
  await page.locator("#erase-all").click();
  await page.locator("#erase-yes").click();
  const kept = async () => [localStorage.length, (await caches.keys()).length, (await navigator.serviceWorker.getRegistrations()).length];
  await expect.poll(() => page.evaluate(kept)).toEqual([0, 0, 0]);
  await expect(page.locator("#note")).toHaveValue("");
  await page.reload();
  // Nothing is stored, so the model is offered and not opened.
  await expect(phase(page)).toHaveAttribute("data-phase", "offered");
});

const WHOLE = "CHIEF COMPLAINT: Chest pain.\n\nPRESENT ILLNESS: 68F with CAD and hypertension presents with chest pain for two days, no fever.\n\nMEDICAL HISTORY: CAD.\n\n\
MEDICATION ON ADMISSION: aspirin.\n\nALLERGIES: none.\n\nPHYSICAL EXAM: afebrile, BP 120/80.\n\nFAMILY HISTORY: none.\n\nSOCIAL HISTORY: lives alone.";

test("a note is looked at before it is run", async ({ page, server }) => {
  await openPage(page, server, { bundle: BUNDLE });
  const remarks = page.locator(".remarks");
  const says = async (note, words) => {
    await page.locator("#note").fill(note);
    await expect(remarks).toContainText(words);
  };
  await page.locator("#note").fill(WHOLE);
  await expect(page.locator("#tokens")).toBeVisible();
  await expect(remarks.locator(".privacy")).toHaveCount(0);
  await expect(page.locator(".drawing .heading").first()).toHaveText("CHIEF COMPLAINT");
  await says(`${WHOLE} Call Dr. Smith at 617-555-0123.`, "may identify a patient");
  await expect(page.locator(".drawing .identifier").last()).toContainText("617-555-0123");
  await says(`${WHOLE}\n\nBRIEF HOSPITAL COURSE: He did well.`, "only known when a patient leaves (hospital course)");
  await expect(page.locator(".drawing .leak")).not.toHaveCount(0);
  await says("Chest pain.", "only 2 words");
  await says("CHIEF COMPLAINT: Chest pain.", "allergies");
  await says("Der Patient wurde mit Schmerzen in der Brust und Fieber bei uns aufgenommen; die Untersuchung ist nicht auffällig und der Blutdruck normal.", "English");
  await says("The council met in the town hall on the hill and talked of roads, trees, music and the weather until the lamps were lit and everyone went home with a song.", "not look like an admission note");
  await says(`${WHOLE} ${"He was given oxygen and fluids. ".repeat(60)}`, "The model reads the first");
  await expect(page.locator(".drawing .unread").last()).toContainText("oxygen");
});

test("pastes and files of every kind are handled", async ({ page, server }) => {
  const problems = problemsOf(page);
  await openPage(page, server, { load: false });
  const [note, problem] = [page.locator("#note"), page.locator("#note-problem")];
  await note.fill(NOTE);
  // Ten megabytes by the clipboard, which the field must not take: the browser would lay them out for minutes. And a text too long
  // that something else has put in. Timed inside the page, in milliseconds of its main thread.
  const refused = await note.evaluate((field) => {
    const clipboardData = new DataTransfer();
    clipboardData.setData("text/plain", "a ".repeat(5 << 20));
    const event = new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true });
    const started = performance.now();
    return { taken: field.dispatchEvent(event), took: performance.now() - started };
  });
  expect(refused.taken).toBe(false);
  expect(refused.took).toBeLessThan(3000);
  await expect(problem).toContainText("10.5 MB");
  const restored = await note.evaluate((field) => {
    field.value = "b ".repeat(150_000);
    const started = performance.now();
    field.dispatchEvent(new Event("input", { bubbles: true }));
    return performance.now() - started;
  });
  expect(restored).toBeLessThan(3000);
  await expect(problem).toContainText("a note has at most 200 kB");
  await expect(note).toHaveValue(NOTE);

  const file = (name, buffer) => page.locator("#note-file").setInputFiles({ name, mimeType: "text/plain", buffer });
  await file("note.pdf", Buffer.from("%PDF-1.7\n1 0 obj"));
  await expect(problem).toContainText("a PDF file, not text");
  await file("image.txt", Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * 7919) % 256)));
  await expect(problem).toContainText("not a text file");
  await file("empty.txt", Buffer.from(" \n"));
  await expect(problem).toContainText("empty");
  await file("huge.txt", Buffer.alloc(3_000_000, "x"));
  await expect(problem).toContainText("3.0 MB");
  await expect(note).toHaveValue(NOTE);
  await file("utf16.txt", Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from("68F with größe \u05d0\u05d1 \u{1fac0}", "utf16le")]));
  await expect(note).toHaveValue("68F with größe \u05d0\u05d1 \u{1fac0}");
  await expect(problem).toContainText("UTF-16");
  await note.fill("NUL \u0000 and \u202eright to left\u202c \u{1fac0}");
  await expect(note).toHaveValue("NUL  and \u202eright to left\u202c \u{1fac0}");
  await expect(problem).toContainText("1 control character removed");
  await expect(problem).toContainText("direction of writing");
  // A long note that is taken stays quick.
  // Set, not filled in: the browser's command to insert text, which `fill` uses, takes seconds for each ten kilobytes of lines.
  const typed = await note.evaluate(async (field, text) => {
    field.value = `${text}abc`;
    const started = performance.now();
    field.dispatchEvent(new Event("input", { bubbles: true }));
    await new Promise(requestAnimationFrame);
    return performance.now() - started;
  }, `${WHOLE}\n`.repeat(600));
  expect(typed).toBeLessThan(3000);
  await expect(note).toHaveValue(/abc$/);
  expect(problems).toEqual([]);
});

/** What each state says, and what it offers. */
const STATES = {
  looking: "Looking for a model",
  offered: "3.60 GB",
  nothing: "No model",
  waiting: "Another tab",
  fetching: "seconds left|minutes left",
  paused: "What has arrived is kept",
  loading: "Loading the model",
  recovering: "graphics processor was lost",
  "no-webgpu": "no WebGPU",
  "no-adapter": "offers no graphics processor",
  "hanging-adapter": "did not answer",
  "no-device": "could not be opened",
  "too-large": "too large for this graphics processor",
  "out-of-memory": "too little memory",
  "device-lost": "was lost twice",
  damaged: "is damaged",
  missing: "is missing",
  cut: "was cut",
  "not-a-bundle": "not a model that can be opened",
  "other-base": "another base model",
  quota: "Not enough room",
  "no-store": "no storage",
  offline: "cannot be reached",
  updated: "was updated",
  crashed: "stopped",
};

test("every state of the model has its text, and axe finds nothing, in both themes and narrow", async ({ page, server }) => {
  test.setTimeout(480_000);
  for (const [name, words] of Object.entries(STATES)) {
    await page.setViewportSize({ width: 1280, height: 800 });
    await page.emulateMedia({ colorScheme: "light", reducedMotion: "reduce" });
    await page.goto(`${server.url}?state=${name}&device=cpu`);
    await expect(phase(page), name).toContainText(new RegExp(words));
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      const { violations } = await new AxeBuilder({ page }).analyze();
      expect(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]), `${name}, ${colorScheme}`).toEqual([]);
    }
    await page.setViewportSize({ width: 320, height: 700 });
    await expectNoSidewaysScroll(page);
  }
});

for (const colorScheme of ["light", "dark"]) {
  test(`axe finds nothing with everything unfolded, ${colorScheme}`, async ({ page, server }) => {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await predicted(page, server, 8);
    await page.locator("#offline-begin").click();
    await card(page, "mor").getByRole("button", { name: "Disagree" }).click();
    await page.locator("details").evaluateAll((all) => all.forEach((one) => (one.open = true)));
    const { violations } = await new AxeBuilder({ page }).analyze();
    expect(violations.map(({ id, nodes }) => [id, nodes.slice(0, 3).map(({ html }) => html)])).toEqual([]);
    await page.setViewportSize({ width: 320, height: 700 });
    await expectNoSidewaysScroll(page);
  });
}
