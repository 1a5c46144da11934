// Reasons, what-if and adapters on the page: every number beside the engine's own.
import AxeBuilder from "@axe-core/playwright";
import { expectNoSidewaysScroll, expectReady, openPage, predict, problemsOf } from "./clinician.mjs";
import { expect, expectDone, manifest, only, test } from "./engine.mjs";

// Short enough to be read whole by the bundle of the suite, which reads 128 bytes.
const SENTENCES = ["82M on pressors.", "Intubated \u{1fac0}.", "He fell.", "On dialysis.", "No fever."];

/** Differences below this are those of one text computed in batches of two sizes. */
const TOLERANCE = 1e-5;

const probabilitiesOf = (events) =>
  new Map(events.filter(({ is }) => is === "predicted").map(({ task, probabilities }) => [task, probabilities]));

const part = (note, { start, end }) => Buffer.from(note).subarray(start, end).toString();

/** A note and an outcome whose reasons hold up, as the engine finds them. */
async function soundCase(engine) {
  expectDone(await engine.open("demo"));
  for (let turn = 0; turn < SENTENCES.length; turn += 1) {
    const note = [...SENTENCES.slice(turn), ...SENTENCES.slice(0, turn)].join(" ");
    for (const task of ["mor", "pmv"]) {
      const explained = only(await engine.ask({ do: "explain", note, task, label: 1 }), "explained");
      const matters = explained.effects.some(({ probability }) => Math.abs(probability) >= 0.0005);
      if (matters && explained.agreement > 0) return { note, task, ...explained };
    }
  }
  throw new Error("no reasons of this bundle hold up");
}

/** Opens the page where the engine may have stored the bundle: then the page loads it unasked. */
async function openStored(page, server) {
  await openPage(page, server, { load: false });
  const load = page.locator("#load");
  await expect(load.or(page.locator('#model[data-phase="ready"]')).first()).toBeVisible();
  if (await load.isVisible()) await load.click();
  await expectReady(page);
}

/** Opens the page on a note, predicts, and asks why for the first outcome of a task. */
async function why(page, server, { note, task }) {
  await openStored(page, server);
  await page.locator("#note").fill(note);
  const said = await predict(page);
  await page.locator(`.card[data-task="${task}"] .why`).first().click();
  await expect(page.locator("#why .effects")).toBeAttached();
  return said;
}

const rows = (page) =>
  page.locator("#why .effects tbody tr").evaluateAll((rows) =>
    rows.map(({ dataset, innerText }) => ({
      effect: Number(dataset.effect),
      start: Number(dataset.start),
      end: Number(dataset.end),
      text: innerText,
    })),
  );

/** The cells of a table of outcomes: a line a label, by column. */
const lines = (page, within) =>
  page.locator(`${within} table.compared tr[data-label]`).evaluateAll((lines) =>
    lines.map((line) => ({
      task: line.closest("tbody").dataset.task,
      label: Number(line.dataset.label),
      cells: Object.fromEntries(
        [...line.querySelectorAll("td")].map((cell) => [
          cell.dataset.column,
          { p: Number(cell.dataset.probability), change: Number(cell.querySelector("[data-change]")?.dataset.change) },
        ]),
      ),
    })),
  );

test("the reasons are the engine's, the largest first, in the note and in words", async ({ page, server, engine }) => {
  const sound = await soundCase(engine);
  await engine.end();
  const problems = problemsOf(page);
  await why(page, server, sound);
  const found = await rows(page);
  expect(found).toHaveLength(sound.effects.length);
  expect(found.map(({ effect }) => Math.abs(effect))).toEqual(found.map(({ effect }) => Math.abs(effect)).sort((a, b) => b - a));
  for (const { effect, start, text } of found) {
    const expected = sound.effects.find((one) => one.start === start);
    expect(effect).toBeCloseTo(expected.probability, 6);
    expect(text).toContain(part(sound.note, expected));
    const word = Math.abs(effect) < 0.0005 ? "changes nothing" : effect > 0 ? "raises" : "lowers";
    expect(text).toContain(word);
  }
  const [largest] = found;
  const kind = largest.effect > 0 ? "raises" : "lowers";
  await expect(page.locator(`.drawing .${kind}.strong`).first()).toHaveText(part(sound.note, largest));

  // A row is a button; it selects the passage in the note and stays where the keyboard is.
  const row = page.locator("#why .passage").first();
  await row.focus();
  await page.keyboard.press("Enter");
  await expect(row).toHaveAttribute("aria-pressed", "true");
  await expect(row).toBeFocused();
  await expect(page.locator(".drawing .chosen")).toHaveText(part(sound.note, largest));
  const selected = () => page.locator("#note").evaluate((field) => field.value.slice(field.selectionStart, field.selectionEnd));
  await expect.poll(selected).toBe(part(sound.note, largest));
  await page.locator("#why .show").click();
  await expect(page.locator("#note")).toBeFocused();

  // Its words, and back without computing again.
  await page.locator("#why .words").click();
  await expect(page.locator("#why caption")).toContainText("each word");
  const words = await rows(page);
  expect(words.length).toBe(part(sound.note, largest).split(" ").length);
  for (const { start, end } of words) {
    expect(start).toBeGreaterThanOrEqual(largest.start);
    expect(end).toBeLessThanOrEqual(largest.end);
  }
  await page.getByRole("button", { name: "Sentences", exact: true }).click();
  await expect(page.locator("#why caption")).toContainText("each sentence");
  expect(await rows(page)).toHaveLength(found.length);
  await page.getByRole("button", { name: "Sections", exact: true }).click();
  await expect(page.locator("#why .how p").first()).toContainText("Each section");
  expect(problems).toEqual([]);
});

test("reasons that do not hold up are called so, and are not marked", async ({ page, server }) => {
  server.fault = (path) =>
    path === "/worker_loader.js"
      ? { before: `const send = self.postMessage.bind(self);
self.postMessage = (message) => send(message.replace(/"agreement":[0-9.e+-]+/, '"agreement":-0.1'));\n` }
      : undefined;
  await why(page, server, { note: SENTENCES.join(" "), task: "mor" });
  await expect(page.locator("#why .verdict")).toContainText("do not hold up");
  await expect(page.locator("#why .effects")).toBeHidden();
  await expect(page.locator(".drawing .raises, .drawing .lowers")).toHaveCount(0);
});

test("a change of the copy is the difference of two predictions", async ({ page, server, engine }) => {
  const sound = await soundCase(engine);
  const { note } = sound;
  const [largest] = [...sound.effects].sort((a, b) => Math.abs(b.probability) - Math.abs(a.probability));
  const young = probabilitiesOf(await engine.predict(note.replace("82M", "41M")));
  await engine.end();
  const original = await why(page, server, sound);
  const state = page.locator("#what-if [data-what-if]");
  await expect(state).toHaveAttribute("data-what-if", "unchanged");

  const expectDifferences = async () => {
    await expect(state).toHaveAttribute("data-what-if", /^(done|same)$/);
    const found = await lines(page, "#what-if");
    expect(new Set(found.map(({ task }) => task)).size).toBe(5);
    for (const { task, label, cells } of found) {
      expect(cells.original.p).toBe(original.get(task)[label]);
      expect(cells.edited.change).toBe(cells.edited.p - cells.original.p);
    }
    return found;
  };

  // Struck from the table of reasons: what the outcome loses is the effect that the table states.
  await page.locator("#why .passage").first().click();
  await page.locator("#why .strike").click();
  const struck = (await expectDifferences()).find(({ task }) => task === sound.task);
  expect(Math.abs(struck.cells.edited.change + largest.probability)).toBeLessThan(TOLERANCE);
  await expect(page.locator("#what-if .changes li")).toHaveCount(1);
  await expect(page.locator("#what-if .changes")).toContainText(part(note, largest));
  await expect(page.locator(".drawing .struck")).toHaveText(part(note, largest));
  await expect(page.locator("#note")).toHaveValue(note);

  await page.locator("#what-if .undo").click();
  await expect(state).toHaveAttribute("data-what-if", "unchanged");
  await expect(page.locator("#what-if table.compared")).toHaveCount(0);

  // Another age.
  await page.locator("#try-age").fill("41");
  await page.keyboard.press("Enter");
  for (const { task, label, cells } of await expectDifferences()) {
    expect(Math.abs(cells.edited.p - young.get(task)[label])).toBeLessThan(TOLERANCE);
  }
  await expect(page.locator("#what-if .changes")).toContainText("41 instead of 82");

  // Another sex on top, a sentence from the list, and something typed; each has its own way back.
  await page.locator("#change-sex").click();
  await expect(page.locator("#copy")).toHaveValue(/(?=.*41F)(?=.*She fell)/s);
  await page.locator("#what-if .strikes summary").click();
  await page.locator("#what-if .sentences button", { hasText: "No fever." }).click();
  await expect(page.locator("#copy")).not.toHaveValue(/No fever/);
  await page.locator("#what-if .copy summary").click();
  const copy = await page.locator("#copy").inputValue();
  await page.locator("#copy").fill(copy.replace("dialysis", "home oxygen"));
  await expect(state).toHaveAttribute("data-what-if", "waiting");
  await page.locator("#compare").click();
  await expectDifferences();
  const changes = page.locator("#what-if .changes li");
  await expect(changes).toHaveCount(4);
  await changes.filter({ hasText: "Age" }).getByRole("button", { name: /^Undo/ }).click();
  await expect(page.locator("#copy")).toHaveValue(/(?=.*82F)(?=.*home oxygen)/s);
  await expectDifferences();
  await page.locator("#undo-all").click();
  await expect(page.locator("#copy")).toHaveValue(note);
  await expect(state).toHaveAttribute("data-what-if", "unchanged");

  // An age that is none says so and changes nothing.
  await page.locator("#try-age").fill("400");
  await page.locator("#change-age").click();
  await expect(page.locator("#try-age-problem")).toContainText("0 to 110");
  await expect(state).toHaveAttribute("data-what-if", "unchanged");
});

test("of a note that is cut, the copy is what is read", async ({ page, server }) => {
  await openPage(page, server);
  const note = "82M fell. ".repeat(40);
  await page.locator("#note").fill(note);
  await expect(page.locator("#tokens")).toBeVisible();
  await predict(page);
  const copy = await page.locator("#copy").inputValue();
  expect(copy.length).toBeLessThan(note.length);
  expect(note.startsWith(copy)).toBe(true);
  await expect(page.locator("#what-if")).toContainText("the part of the note that the model reads");
});

test("adapters side by side are three predictions of the engine", async ({ page, server, engine }) => {
  const note = SENTENCES.join(" ");
  expectDone(await engine.open("demo"));
  const expected = {};
  for (const adapters of ["off", "clinical", "all"]) {
    const events = await engine.predict(note, { adapters });
    expectDone(events);
    expected[adapters] = probabilitiesOf(events);
  }
  await engine.end();
  await openStored(page, server);
  await expect(page.locator("#compare-adapters")).toBeDisabled();
  await page.locator("#note").fill(note);
  await predict(page);
  await page.locator("#compare-adapters").click();
  await expect(page.locator('#adapters td[data-column="clinical"][data-probability]').first()).toBeVisible();
  await expect(page.locator("#adapters .standing")).toHaveCount(0);
  const found = await lines(page, "#adapters");
  expect(new Set(found.map(({ task }) => task)).size).toBe(5);
  let differing = 0;
  for (const { task, label, cells } of found) {
    for (const [adapters, { p, change }] of Object.entries(cells)) {
      expect(Math.abs(p - expected[adapters].get(task)[label])).toBeLessThan(TOLERANCE);
      if (adapters !== "off") expect(change).toBe(p - cells.off.p);
    }
    if (new Set([cells.off.p, cells.clinical.p, cells.all.p]).size === 3) differing += 1;
  }
  expect(differing).toBeGreaterThan(found.length / 2);
});

test("what is loaded is named with its hashes, sizes and agreement", async ({ page, server }) => {
  await openPage(page, server);
  const { base_sha256, adapters, card, generator, shards } = manifest("demo");
  const loaded = page.locator("#loaded");
  await expect(loaded).toContainText(card.name);
  await expect(loaded).toContainText("largest difference to the full model 1.0 points");
  await expect(loaded).toContainText("not stated");
  await loaded.locator(".technical-view > summary").click();
  await expect(loaded).toContainText(generator);
  expect(shards.length).toBeGreaterThan(1);
  await expect(loaded.locator(".adapter-list tbody tr")).toHaveCount(adapters.length);
  await expect(loaded.locator(".adapter-list tbody tr").first()).toContainText("all outcomes");
  const hash = loaded.locator(".hash").filter({ hasText: base_sha256 });
  await expect(hash.getByText(base_sha256)).toBeHidden();
  await hash.locator("summary").click();
  await expect(hash.getByText(base_sha256)).toBeVisible();
});

test("what is asked about another outcome replaces what was asked before", async ({ page, server }) => {
  await openPage(page, server);
  await page.locator("#note").fill(SENTENCES.join(" "));
  await predict(page);
  await page.locator('.card[data-task="mor"] .why').first().click();
  await page.locator('.card[data-task="pmv"] .why').first().click();
  await expect(page.locator("#why-title")).toContainText("pmv");
  await expect(page.locator("#why-title")).toBeFocused();
  await expect(page.locator("#why .effects")).toBeAttached();
  await expect(page.locator(".card[data-probabilities]")).toHaveCount(5);
  // Another note, and nothing is left of the reasons.
  await page.locator("#note").fill("Another note.");
  await expect(page.locator("#why")).toHaveCount(0);
  await expect(page.locator("#what-if")).toHaveCount(0);
});

test("a hostile note is text in the reasons, the copy and the changes", async ({ page, server }) => {
  const problems = problemsOf(page);
  await openPage(page, server);
  const hostile = `<img src=x onerror="window.hacked=1">82M. <script>window.hacked=1</script> \u202e\u05d0\u05d1. <b>x</b>.`;
  await page.locator("#note").fill(hostile);
  await predict(page);
  await page.locator('.card[data-task="mor"] .why').first().click();
  await expect(page.locator("#why")).toContainText("onerror");
  await page.locator("#what-if .strikes summary").click();
  await page.locator("#what-if .sentences button").first().click();
  await expect(page.locator("#what-if .changes")).toContainText("<img src=x onerror");
  await expect(page.locator("#what-if [data-what-if]")).toHaveAttribute("data-what-if", /done|same/);
  expect(await page.evaluate(() => window.hacked)).toBeUndefined();
  expect(await page.locator("#page img, #page script, #page b").count()).toBe(0);
  expect(problems).toEqual([]);
});

for (const scheme of ["light", "dark"]) {
  test(`axe finds nothing with everything open, ${scheme}; nothing is lost at 320 pixels`, async ({ page, server }) => {
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
    await openPage(page, server);
    await page.locator("#note").fill(SENTENCES.join(" "));
    await predict(page);
    await page.locator('.card[data-task="mor"] .why').first().click();
    await expect(page.locator("#why .effects")).toBeAttached();
    await page.locator("#compare-adapters").click();
    await page.locator("#try-age").fill("41");
    await page.locator("#change-age").click();
    await page.locator("#change-sex").click();
    await expect(page.locator("#what-if [data-what-if]")).toHaveAttribute("data-what-if", /done|same/);
    await expect(page.locator("#adapters .standing")).toHaveCount(0);
    await page.evaluate(() => {
      for (const details of document.querySelectorAll("#page details")) details.open = true;
    });
    await page.locator("#why .passage").first().click();
    expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);
    await page.setViewportSize({ width: 320, height: 720 });
    await expectNoSidewaysScroll(page);
    const small = await page.locator("#why button, #what-if button, #adapters button").evaluateAll((buttons) =>
      buttons.filter((button) => button.offsetParent && Math.min(button.offsetWidth, button.offsetHeight) < 24).length,
    );
    expect(small).toBe(0);
  });
}
