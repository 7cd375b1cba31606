import type { Locator, Page } from "playwright-core";
import { afterAll, expect, test } from "vitest";
import { closeBrowser, roundTrips, visit } from "./browser.ts";
import { VEZA_URL } from "./environment.ts";

afterAll(closeBrowser);

const ALOUD_MS = { timeout: 20_000 };

test("the page opens without a complaint and tells which release serves it", async () => {
  const { page, troubles } = await visit("/");
  const status = await json("/api/v1/status");
  const version = await json("/version.json");
  for (const commit of [status.commit, version.commit]) expect(commit).toMatch(/^[0-9a-f]{40}$/);

  expect(await page.title()).toBe("Veza · a listening room");
  await page.getByRole("heading", { level: 1, name: "Veza means connection." }).waitFor();
  for (const [term, commit] of [
    ["API release", status.commit],
    ["Page release", version.commit],
  ] as const) {
    const told = noted(page, term).getByTitle(commit, { exact: true });
    await told.waitFor();
    expect(await told.innerText(), term).toBe(commit.slice(0, 10));
  }
  await page.getByRole("button", { name: "Listen to the line" }).click();
  await roundTrips(page, 2);
  expect(troubles).toEqual([]);
});

test("the line is open and every round trip is shown", async () => {
  const { page } = await visit("/");
  await roundTrips(page, 3);
  expect(await page.getByRole("status").innerText()).toBe("On the line");
  expect(await noted(page, "Round trip").innerText()).toMatch(/^\d+\.\d ms median, \d+\.\d ms at most$/);

  const [, instance] = /^Connected to (\S+)\.$/.exec(await journal(page).last().innerText()) ?? [];
  expect(instance).toBeTruthy();
  await page
    .getByRole("img", { name: /took \d+(\.\d)? ms$/ })
    .getByText(instance ?? "", { exact: true })
    .waitFor();
});

test("a link to somewhere deep opens the page", async () => {
  const { page, troubles } = await visit("/rooms/kitchen/queue");
  await roundTrips(page, 1);
  expect(new URL(page.url()).pathname).toBe("/rooms/kitchen/queue");
  expect(troubles).toEqual([]);
});

test("the keyboard alone reaches every control, shows where it is, and operates it", async () => {
  const { page } = await visit("/somewhere");
  await roundTrips(page, 1);
  const controls = await page.locator("a[href], button").all();
  expect(controls.length).toBeGreaterThanOrEqual(2);
  for (const control of controls) {
    await page.keyboard.press("Tab");
    expect(await control.evaluate((element) => element === document.activeElement)).toBe(true);
    expect(await control.evaluate((element) => getComputedStyle(element).outlineStyle)).not.toBe("none");
  }

  const listen = page.getByRole("button", { name: "Listen to the line" });
  await listen.focus();
  await page.keyboard.press("Space");
  const stop = page.getByRole("button", { name: "Stop listening", pressed: true });
  await stop.waitFor();
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Listen to the line", pressed: false }).waitFor();

  await page.getByRole("link", { name: "Veza" }).focus();
  await page.keyboard.press("Enter");
  await page.waitForURL(`${VEZA_URL}/`);
});

test("a script that is smuggled into the page does not run", async () => {
  const { page, troubles } = await visit("/");
  await roundTrips(page, 1);
  await page.evaluate(() => {
    const script = document.createElement("script");
    script.textContent = "document.title = 'taken over'";
    document.body.append(script);
  });
  await expect.poll(() => troubles).toContain("breach of script-src-elem: inline");
  expect(await page.title()).toBe("Veza · a listening room");
});

test("a page that goes offline says so, stays, and finds the line again by itself", async () => {
  const { page, context } = await visit("/");
  await roundTrips(page, 1);
  await context.setOffline(true);
  const status = page.getByRole("status");
  await expect.poll(() => status.innerText(), ALOUD_MS).toBe("Reconnecting");
  expect(await journal(page).first().innerText()).toMatch(/Looking for another line\.$/);
  await page.getByRole("heading", { level: 1, name: "Veza means connection." }).waitFor();

  await context.setOffline(false);
  await expect.poll(() => status.innerText(), ALOUD_MS).toBe("On the line");
  expect(await journal(page).first().innerText()).toMatch(/^(Back|Now) on \S+ after \d+\.\d s\.$/);
});

test("opened offline, Veza says that it is out of reach, and the way back leads to the page", async () => {
  const { page, context } = await visit("/");
  await page.waitForFunction(() => navigator.serviceWorker.controller?.state === "activated");
  await context.setOffline(true);
  await page.goto(`${VEZA_URL}/rooms/kitchen`);
  await page.getByRole("heading", { name: "Veza is out of reach." }).waitFor();

  await context.setOffline(false);
  await page.getByRole("link", { name: "Try again" }).click();
  await roundTrips(page, 1);
});

/** What the liner notes say of `term`. */
function noted(page: Page, term: string): Locator {
  const notes = page.getByRole("region", { name: "What serves you" });
  return notes.locator("dt", { hasText: term }).locator("+ dd");
}

/** The journal's sentences, newest first. */
function journal(page: Page): Locator {
  return page.getByRole("region", { name: "What the line has seen" }).getByRole("listitem").locator("span");
}

async function json(path: string): Promise<{ commit: string }> {
  const response = await fetch(VEZA_URL + path);
  expect(response.status, path).toBe(200);
  return (await response.json()) as { commit: string };
}
