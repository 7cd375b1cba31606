import { render, screen, within } from "@testing-library/react";
import { expect, test, vi } from "vitest";
import { App } from "../src/App.tsx";
import { BLUE, FakeSocket, GREEN, passes, statusOf, world } from "./world.ts";

const notes = () => within(screen.getByRole("region", { name: "What serves you" }));
const journal = () => within(screen.getByRole("region", { name: "What the line has seen" }));
const state = () => screen.getByRole("status").textContent;

test("the notes tell instance, releases and an uptime that goes on", async () => {
  world({ status: statusOf(BLUE, 3_600), version: { commit: BLUE.commit } });
  render(<App />);
  await passes(0);
  expect(notes().getByText("api-blue-1")).toBeTruthy();
  expect(notes().getAllByText("1111111111")).toHaveLength(2);
  expect(notes().getByText("1 h 0 min")).toBeTruthy();
  expect(notes().getByText("Page and API are of the same release.")).toBeTruthy();
  await passes(60_000);
  expect(notes().getByText("1 h 0 min")).toBeTruthy();
});

test("the uptime is counted on between two answers", async () => {
  world({ status: statusOf(BLUE, 5), version: { commit: BLUE.commit } });
  render(<App />);
  await passes(4_000);
  expect(notes().getByText("9 s")).toBeTruthy();
});

test("a page and an API of different releases are told apart", async () => {
  world({ status: statusOf(GREEN), version: { commit: BLUE.commit } });
  render(<App />);
  await passes(0);
  expect(notes().getByText(/of different releases/)).toBeTruthy();
});

test("a newer page is offered, not forced", async () => {
  const answers = world({ status: statusOf(BLUE), version: { commit: BLUE.commit } });
  render(<App />);
  await passes(0);
  expect(screen.queryByRole("button", { name: "Load it" })).toBeNull();
  answers.version = { commit: GREEN.commit };
  await passes(15_000);
  expect(screen.getByRole("button", { name: "Load it" })).toBeTruthy();
});

test("without an API the page stands and says why the figures are missing", async () => {
  const answers = world({ status: undefined, version: { commit: BLUE.commit } });
  render(<App />);
  await passes(0);
  expect(screen.getByRole("heading", { level: 1 }).textContent).toBe("Veza means connection.");
  expect(notes().getAllByText("The API gave no answer").length).toBeGreaterThan(0);
  answers.status = 503;
  await passes(15_000);
  expect(notes().getAllByText("The API answered 503").length).toBeGreaterThan(0);
  answers.status = { hello: "a captive portal" };
  await passes(15_000);
  expect(notes().getAllByText("The API answered something else than expected").length).toBeGreaterThan(0);
});

test("figures that were good stay when the API goes away, and are marked", async () => {
  const answers = world({ status: statusOf(BLUE), version: { commit: BLUE.commit } });
  render(<App />);
  await passes(0);
  answers.status = 502;
  await passes(15_000);
  expect(notes().getByText("api-blue-1")).toBeTruthy();
  expect(notes().getByText(/last good figures: the API answered 502/)).toBeTruthy();
});

test("every echo is measured and shown on the record", async () => {
  world({ status: statusOf(BLUE), version: { commit: BLUE.commit } });
  render(<App />);
  expect(state()).toBe("Connecting");
  FakeSocket.last.greets(BLUE);
  expect(state()).toBe("On the line");
  await passes(12);
  FakeSocket.last.echoes();
  expect(screen.getByRole("img", { name: "A record; the last round trip took 12.0 ms" })).toBeTruthy();
  await passes(1_000);
  expect(FakeSocket.last.sent).toHaveLength(2);
});

test("a restart moves the line to another machine and the page stays", async () => {
  const answers = world({ status: statusOf(BLUE), version: { commit: BLUE.commit } });
  render(<App />);
  FakeSocket.last.greets(BLUE);
  expect(journal().getByText("Connected to api-blue-1.")).toBeTruthy();

  answers.status = statusOf(GREEN);
  FakeSocket.last.closes(1012);
  expect(state()).toBe("Reconnecting");
  expect(journal().getByText("api-blue-1 restarts and sent us on (1012).")).toBeTruthy();
  await passes(250);
  expect(FakeSocket.opened).toHaveLength(2);
  FakeSocket.last.greets(GREEN);
  await passes(0);

  expect(state()).toBe("On the line");
  expect(journal().getByText(/^Now on api-green-2, release 2222222 after 0\.\d s\.$/)).toBeTruthy();
  expect(notes().getByText("api-green-2")).toBeTruthy();
});

test("a lost line is tried again ever more slowly, without an end and with one line in the journal", async () => {
  vi.spyOn(Math, "random").mockReturnValue(0.999);
  world({ status: undefined, version: undefined });
  render(<App />);
  FakeSocket.last.greets(BLUE);
  for (const wait_ms of [500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]) {
    const before = FakeSocket.opened.length;
    FakeSocket.last.closes(1006);
    await passes(wait_ms - 50);
    expect(FakeSocket.opened).toHaveLength(before);
    await passes(50);
    expect(FakeSocket.opened).toHaveLength(before + 1);
  }
  expect(journal().getAllByRole("listitem")).toHaveLength(2);
  FakeSocket.last.greets(BLUE);
  expect(journal().getByText(/^Back on api-blue-1 after/)).toBeTruthy();
});

test("a line that is open and silent is given up", async () => {
  world({ status: statusOf(BLUE), version: { commit: BLUE.commit } });
  render(<App />);
  FakeSocket.last.greets(BLUE);
  await passes(8_000);
  expect(FakeSocket.opened[0]?.closedWith).toBe(4000);
  expect(journal().getByText(/api-blue-1 fell silent/)).toBeTruthy();
  expect(FakeSocket.opened.length).toBeGreaterThan(1);
});

test("a network that comes back is tried at once", async () => {
  world({ status: undefined, version: undefined });
  render(<App />);
  FakeSocket.last.closes(1006);
  window.dispatchEvent(new Event("online"));
  expect(FakeSocket.opened).toHaveLength(2);
  await passes(1_000);
  expect(FakeSocket.opened).toHaveLength(2);
});

test("a page that is left closes its line", () => {
  world({ status: undefined, version: undefined });
  render(<App />).unmount();
  expect(FakeSocket.last.closedWith).toBe(1000);
});
