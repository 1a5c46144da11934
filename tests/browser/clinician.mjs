// The page as a person uses it: what the specs of the page share.
import { expect } from "./engine.mjs";

export const NOTE = "CHIEF COMPLAINT: Shortness of breath.\nPRESENT ILLNESS: 82M with dyspnoea, intubated, on vasopressors.";

export const phase = (page) => page.locator("#model");

/** Opens the page on a bundle of the suite, on the processor, and loads it unless told otherwise. */
export async function openPage(page, server, { bundle = "demo", query = "", load = true } = {}) {
  await page.goto(`${server.url}?bundle=bundles/${bundle}/&device=cpu${query}`);
  if (!load) return;
  await page.locator("#load").click();
  await expectReady(page);
}

export const expectReady = (page) => expect(phase(page)).toHaveAttribute("data-phase", "ready");

/** Runs the note in the field and waits for all five outcomes; returns their probabilities by task. */
export async function predict(page) {
  await page.locator("#predict").click();
  return outcomes(page);
}

/** Probabilities on the cards, by task, once all five are there. */
export async function outcomes(page) {
  const cards = page.locator(".card[data-probabilities]");
  await expect(cards).toHaveCount(5);
  const pairs = await cards.evaluateAll((cards) => cards.map((card) => [card.dataset.task, JSON.parse(card.dataset.probabilities)]));
  return new Map(pairs);
}

/** Nothing reaches beyond the window's width. */
export async function expectNoSidewaysScroll(page) {
  const [content, window] = await page.evaluate(() => [document.scrollingElement.scrollWidth, document.documentElement.clientWidth]);
  expect(content).toBeLessThanOrEqual(window);
}

/** Collects what the page complains of. */
export function problemsOf(page) {
  const problems = [];
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(String(error)));
  return problems;
}
