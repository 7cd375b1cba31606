import { resolve } from "node:path";
import { afterAll, expect, test } from "vitest";
import { GROOVES } from "../src/live/line.ts";
import { closeBrowser, roundTrips, visit } from "./browser.ts";

afterAll(closeBrowser);

const OUT = resolve(import.meta.dirname, "out");
/** `npm run screenshot`: a picture for readers, taken once the record is full. */
const SCREENSHOT = process.env.SCREENSHOT;

test("the room can be looked at", async () => {
  const { page } = await visit("/");
  await roundTrips(page, SCREENSHOT ? GROOVES : 5);
  await page.evaluate(() => document.fonts.ready);
  await page.screenshot({ path: SCREENSHOT ?? resolve(OUT, "room.png") });
}, 120_000);

test("on a phone nothing is cut off, and nothing moves sideways", async () => {
  const { page } = await visit("/", { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
  await roundTrips(page, 1);
  await page.screenshot({ path: resolve(OUT, "phone.png"), fullPage: true });
  const [content, screen] = await page.evaluate(() => [
    document.documentElement.scrollWidth,
    document.documentElement.clientWidth,
  ]);
  expect(content).toBeLessThanOrEqual(screen ?? 0);
});
