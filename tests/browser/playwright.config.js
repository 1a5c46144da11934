// The page and its worker in the system's Chromium. Nothing is downloaded: set CHROMIUM where the program is elsewhere.
import { execFileSync } from "node:child_process";
import { defineConfig } from "@playwright/test";

const chromium = process.env.CHROMIUM ?? execFileSync("which", ["chromium"]).toString().trim();

export default defineConfig({
  testDir: ".",
  // Hours on a software adapter: `cargo xtask test --large`.
  testMatch: process.env.CLINLORA_LARGE ? "large.spec.js" : "*.spec.js",
  testIgnore: process.env.CLINLORA_LARGE ? [] : ["large.spec.js"],
  globalSetup: "./bundles.mjs",
  outputDir: process.env.CLINLORA_BROWSER_OUT ?? "test-results",
  // One after the other: they share two cores, and software GPUs are slow.
  workers: 1,
  fullyParallel: false,
  timeout: 600_000,
  expect: { timeout: 60_000 },
  forbidOnly: true,
  retries: 0,
  reporter: [["list"]],
  use: {
    browserName: "chromium",
    trace: "off",
    launchOptions: {
      executablePath: chromium,
      // Without the second there is no adapter at all; the rest keeps the browser from calling home.
      args: [
        "--no-sandbox",
        "--enable-unsafe-webgpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
      ],
    },
  },
});
