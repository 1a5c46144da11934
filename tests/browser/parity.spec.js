// The browser against the native program: the same notes, tasks and adapters, the same probabilities.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { BUNDLES, expect, expectDone, manifest, test } from "./engine.mjs";

/** Largest difference of a probability between the two. */
const TOLERANCE = 1e-3;

const lines = (name) =>
  readFileSync(join(BUNDLES, name), "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));

const NOTES = lines("notes.jsonl");

for (const bits of [4, 8]) {
  const bundle = `trained-int${bits}`;
  for (const device of ["cpu", "gpu"]) {
    test(`int${bits} on the ${device} gives what the native program gives`, async ({ engine }) => {
      test.setTimeout(1200_000);
      expect(NOTES.length).toBeGreaterThanOrEqual(50);
      const events = await engine.open(bundle, { device });
      expectDone(events);
      expect(events.find(({ is }) => is === "opened").place.on).toBe(device);
      let [largest, compared] = [0, 0];
      const since = Date.now();
      for (const adapters of ["off", "clinical", "all"]) {
        const native = new Map();
        for (const { name, labels } of manifest(bundle).tasks) {
          for (const { id, scores } of lines(`${bundle}-${adapters}-${name}.jsonl`)) {
            native.set(`${id} ${name}`, labels.map((label) => scores[label.name]));
          }
        }
        for (const { id, text } of NOTES) {
          const events = await engine.predict(text, { adapters });
          expectDone(events);
          const outcomes = events.filter(({ is }) => is === "predicted");
          expect(outcomes).toHaveLength(5);
          for (const { task, probabilities } of outcomes) {
            const expected = native.get(`${id} ${task}`);
            expect(probabilities).toHaveLength(expected.length);
            for (const [i, value] of probabilities.entries()) {
              // Not a number is a difference too: no `expect` for each of a hundred thousand values.
              const difference = Math.abs(value - expected[i]);
              largest = Number.isFinite(difference) ? Math.max(largest, difference) : Infinity;
            }
            compared += 1;
          }
        }
      }
      const seconds = (Date.now() - since) / 1000;
      console.log(`int${bits} on the ${device}: ${compared} outcomes, largest difference ${largest.toExponential(1)}, ${seconds.toFixed(0)} s`);
      expect(compared).toBe(NOTES.length * 5 * 3);
      expect(largest).toBeLessThan(TOLERANCE);
    });
  }
}
