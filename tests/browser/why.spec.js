// Explanations through the worker: parts of the note, their effects, and the check on them.
import { expect, expectDone, expectFailed, only, test } from "./engine.mjs";

const NOTE = "CHIEF COMPLAINT: dyspnoea.\nPRESENT ILLNESS: 82M on vasopressors. Intubated. \u{1fac0} in failure.";

test("each sentence gets its effect, which is the change of the prediction without it", async ({ engine }) => {
  expectDone(await engine.open("demo"));
  const events = await engine.ask({ do: "explain", note: NOTE, task: "mor", label: 1 });
  expectDone(events);
  const { effects, agreement } = only(events, "explained");
  expect(effects.length).toBeGreaterThanOrEqual(4);
  expect(Number.isFinite(agreement)).toBe(true);
  const probability = async (note) => {
    const outcome = (await engine.predict(note, { tasks: ["mor"] })).find(({ is }) => is === "predicted");
    return outcome.probabilities[1];
  };
  const bytes = Buffer.from(NOTE);
  const { start, end, probability: effect } = effects.at(-1);
  expect(bytes.subarray(start, end).toString()).toContain("in failure");
  const without = bytes.subarray(0, start).toString();
  expect(effect).toBeCloseTo((await probability(NOTE)) - (await probability(without)), 5);
});

test("sections and single words can be asked for, and nothing outside the note", async ({ engine }) => {
  expectDone(await engine.open("demo"));
  const ask = (parts) => engine.ask({ do: "explain", note: NOTE, task: "los", label: 3, parts });
  expect(only(await ask("sections"), "explained").effects).toHaveLength(2);
  expect(only(await ask({ words: { start: 0, end: 26 } }), "explained").effects).toHaveLength(3);
  expectFailed(await ask({ words: { start: 0, end: 10_000 } }), "note");
  const heart = Buffer.from(NOTE).indexOf(Buffer.from("\u{1fac0}"));
  expectFailed(await ask({ words: { start: heart + 1, end: heart + 4 } }), "note");
  expectFailed(await engine.ask({ do: "explain", note: NOTE, task: "nothing", label: 0 }), "unknown_task");
  expectFailed(await engine.ask({ do: "explain", note: "", task: "mor", label: 0 }), "note");
});
