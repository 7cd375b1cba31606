import { type Browser, type BrowserContext, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { onTestFinished } from "vitest";
import { CHROMIUM, trust, VEZA_URL } from "./environment.ts";

export interface Visit {
  page: Page;
  context: BrowserContext;
  /** What a developer would see go wrong: console errors, exceptions, breaches of the policy, failed or foreign requests. */
  troubles: string[];
}

/** A new visitor without any past, who has just opened `path`. Gone when the test is. */
export async function visit(path: string, options: BrowserContextOptions = {}): Promise<Visit> {
  const context = await (await browser()).newContext({
    viewport: { width: 1280, height: 800 },
    locale: "en-GB",
    reducedMotion: "reduce",
    ...options,
  });
  onTestFinished(() => context.close());
  const page = await context.newPage();
  const troubles = await watch(page);
  await page.goto(VEZA_URL + path);
  return { page, context, troubles };
}

/** Waits until so many round trips are cut into the record, one a second. */
export async function roundTrips(page: Page, count: number): Promise<void> {
  const cuts = page.getByRole("img", { name: "the last round trip took" }).locator("line");
  await cuts.nth(count - 1).waitFor({ timeout: count * 1_000 + 30_000 });
}

async function watch(page: Page): Promise<string[]> {
  const troubles: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") troubles.push(message.text());
  });
  page.on("pageerror", (error) => troubles.push(String(error)));
  page.on("request", (request) => {
    if (new URL(request.url()).origin !== VEZA_URL) troubles.push(`asks elsewhere: ${request.url()}`);
  });
  page.on("response", (response) => {
    if (response.status() >= 400) troubles.push(`${response.status()} ${response.url()}`);
  });
  await page.exposeFunction("tellBreach", (breach: string) => troubles.push(breach));
  await page.addInitScript(() => {
    const tellBreach = Reflect.get(window, "tellBreach") as (breach: string) => void;
    document.addEventListener("securitypolicyviolation", ({ effectiveDirective, blockedURI }) => {
      tellBreach(`breach of ${effectiveDirective}: ${blockedURI}`);
    });
  });
  return troubles;
}

let shared: Promise<Browser> | undefined;

function browser(): Promise<Browser> {
  shared ??= chromium.launch({
    executablePath: CHROMIUM,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      // Where there is no certificate, there would be no service worker to try.
      `--unsafely-treat-insecure-origin-as-secure=${VEZA_URL}`,
      ...trust(),
    ],
  });
  return shared;
}

/** For `afterAll`: the next visit would open a new one. */
export async function closeBrowser(): Promise<void> {
  await (await shared)?.close();
  shared = undefined;
}
