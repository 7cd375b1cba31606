import { expect, test } from "vitest";
import { retryDelay_ms } from "../src/api/backoff.ts";
import { duration } from "../src/components/duration.ts";
import { releaseHue } from "../src/components/hue.ts";
import { pitch_hz } from "../src/live/tone.ts";

test("durations are told in two units at most", () => {
  const told = [0, 59, 60, 61, 3_599, 3_600, 90_000, 86_400 * 400].map(duration);
  expect(told).toEqual(["0 s", "59 s", "1 min 0 s", "1 min 1 s", "59 min 59 s", "1 h 0 min", "1 d 1 h", "400 d 0 h"]);
});

test("a slower answer never sounds higher, and all of them can be heard", () => {
  const heard = [0.1, 1, 2, 5, 12, 40, 90, 400, 3_000].map(pitch_hz);
  expect(heard).toEqual(heard.toSorted((a, b) => b - a));
  expect(Math.min(...heard)).toBeGreaterThanOrEqual(220);
  expect(Math.max(...heard)).toBeLessThanOrEqual(880);
});

test("a retry never waits longer than fifteen seconds, nor is it at once", () => {
  for (const code of [1006, 1012]) {
    for (const failures of [0, 1, 5, 50, 5_000]) {
      for (const chance of [0, 0.5, 0.999]) {
        const delay_ms = retryDelay_ms(code, failures, chance);
        expect(delay_ms).toBeGreaterThanOrEqual(100);
        expect(delay_ms).toBeLessThanOrEqual(15_000);
      }
    }
  }
});

test("two releases differ in colour, and an unknown one has one too", () => {
  expect(releaseHue("1111111111")).not.toBe(releaseHue("2222222222"));
  expect(releaseHue("unknown")).toBeGreaterThanOrEqual(0);
});
