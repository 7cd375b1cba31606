import { SERVICE_RESTART } from "../api/backoff.ts";
import { CLOSE_SILENT, type EchoEvent, type Peer } from "../api/echo.ts";

/** The line between this page and the machine that serves it, as far as it was heard. */
export interface Line {
  state: "trying" | "open" | "waiting";
  /** Who is, or was last, at the other end. */
  peer: Peer | undefined;
  /** The last round trips, oldest first; at most {@link GROOVES}. */
  grooves: readonly Groove[];
  /** All echoes so far. */
  beats: number;
  /** What happened, newest first. */
  journal: readonly Entry[];
  lostAt_ms: number | undefined;
}

/** One round trip, and the release that answered. */
export interface Groove {
  roundTrip_ms: number;
  commit: string;
}

export interface Entry {
  id: number;
  at_ms: number;
  text: string;
}

/** One a second: a turn of the record takes a minute. */
export const GROOVES = 60;
const ENTRIES = 8;

export const quiet: Line = {
  state: "trying",
  peer: undefined,
  grooves: [],
  beats: 0,
  journal: [],
  lostAt_ms: undefined,
};

export function heard(line: Line, event: EchoEvent & { at_ms: number }): Line {
  switch (event.type) {
    case "trying":
      return { ...line, state: "trying" };
    case "opened": {
      const text = greeting(line, event.peer, event.at_ms);
      return { ...line, ...noted(line, event.at_ms, text), state: "open", peer: event.peer, lostAt_ms: undefined };
    }
    case "echoed": {
      const groove = { roundTrip_ms: event.roundTrip_ms, commit: line.peer?.commit ?? "unknown" };
      return { ...line, beats: line.beats + 1, grooves: [...line.grooves, groove].slice(-GROOVES) };
    }
    case "closed": {
      // One line for one loss, however many tries it takes to get over it.
      if (line.lostAt_ms !== undefined) return { ...line, state: "waiting" };
      const text = farewell(event.code, line.peer);
      return { ...line, ...noted(line, event.at_ms, text), state: "waiting", lostAt_ms: event.at_ms };
    }
  }
}

function greeting({ peer: before, lostAt_ms }: Line, peer: Peer, at_ms: number): string {
  if (!before) return `Connected to ${peer.instance}.`;
  const after = lostAt_ms === undefined ? "" : ` after ${((at_ms - lostAt_ms) / 1000).toFixed(1)} s`;
  const release = before.commit === peer.commit ? "" : `, release ${peer.commit.slice(0, 7)}`;
  const same = before.instance === peer.instance && before.commit === peer.commit;
  return `${same ? "Back on" : "Now on"} ${peer.instance}${release}${after}.`;
}

function farewell(code: number, peer: Peer | undefined): string {
  if (!peer) return "Nobody answers yet. Trying again.";
  if (code === SERVICE_RESTART) return `${peer.instance} restarts and sent us on (${code}).`;
  if (code === CLOSE_SILENT) return `${peer.instance} fell silent. Looking for another line.`;
  return `Lost ${peer.instance} (${code}). Looking for another line.`;
}

function noted({ journal }: Line, at_ms: number, text: string): Pick<Line, "journal"> {
  return { journal: [{ id: (journal[0]?.id ?? 0) + 1, at_ms, text }, ...journal].slice(0, ENTRIES) };
}
