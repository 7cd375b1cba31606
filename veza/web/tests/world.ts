import { act } from "@testing-library/react";
import { vi } from "vitest";

export const BLUE = { instance: "api-blue-1", commit: "1111111111111111111111111111111111111111" };
export const GREEN = { instance: "api-green-2", commit: "2222222222222222222222222222222222222222" };

/** The server's end of the page's WebSockets, in the order in which the page opened them. */
export class FakeSocket {
  static opened: FakeSocket[] = [];
  static get last(): FakeSocket {
    const socket = FakeSocket.opened.at(-1);
    if (!socket) throw new Error("the page has opened no WebSocket");
    return socket;
  }

  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  sent: string[] = [];
  closedWith: number | undefined;

  constructor(readonly url: string) {
    FakeSocket.opened.push(this);
  }
  send(data: string) {
    this.sent.push(data);
  }
  close(code: number) {
    this.closedWith = code;
  }

  greets(peer: typeof BLUE) {
    act(() => this.onmessage?.({ data: JSON.stringify(peer) }));
  }
  echoes() {
    act(() => this.onmessage?.({ data: this.sent.at(-1) ?? "" }));
  }
  closes(code: number) {
    act(() => this.onclose?.({ code }));
  }
}

/** What the two addresses answer; a number stands for a bare status, undefined for no answer at all. */
export interface Answers {
  status: object | number | undefined;
  version: object | number | undefined;
}

/** A browser whose page has a commit, and a server that answers as told. Time stands still until it is moved. */
export function world(answers: Answers, pageCommit = BLUE.commit): Answers {
  vi.useFakeTimers();
  FakeSocket.opened = [];
  vi.stubGlobal("WebSocket", FakeSocket);
  vi.stubGlobal("fetch", async (path: string) => {
    const answer = path === "/version.json" ? answers.version : path === "/api/v1/status" ? answers.status : 404;
    if (answer === undefined) throw new TypeError("Failed to fetch");
    if (typeof answer === "number") return new Response("", { status: answer });
    return Response.json(answer);
  });
  document.head.innerHTML = `<meta name="commit" content="${pageCommit}">`;
  return answers;
}

export async function passes(ms: number): Promise<void> {
  await act(() => vi.advanceTimersByTimeAsync(ms));
}

export function statusOf(peer: typeof BLUE, uptime_s = 0): object {
  return { service: "veza-api", version: "0.1.0", started_at: "2026-01-01T00:00:00Z", uptime_s, ...peer };
}
