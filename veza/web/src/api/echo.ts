import { retryDelay_ms } from "./backoff.ts";

/** Who is at the other end of the echo. */
export interface Peer {
  instance: string;
  commit: string;
}

export type EchoEvent =
  | { type: "opened"; peer: Peer }
  | { type: "echoed"; roundTrip_ms: number }
  /** Closed by either side, or never opened; the next try is `retryIn_ms` away. */
  | { type: "closed"; code: number; retryIn_ms: number }
  | { type: "trying" };

const BEAT_MS = 1_000;
/** An answer that takes longer than this will not come: the line is dead, whatever TCP believes. */
const ANSWER_MS_MAX = 6_000;
/** Our own code for that; 4000 and up are the application's to use. */
export const CLOSE_SILENT = 4000;

/** Keeps an echo open for as long as the page lives, through restarts and dead networks. Returns what ends it. */
export function keepEcho(url: string, tell: (event: EchoEvent) => void): () => void {
  let ended = false;
  let failures = 0;
  let endSession = () => {};
  let retry: ReturnType<typeof setTimeout> | undefined;

  const open = () => {
    retry = undefined;
    tell({ type: "trying" });
    endSession = session(url, {
      opened: (peer) => tell({ type: "opened", peer }),
      echoed: (roundTrip_ms) => {
        failures = 0;
        tell({ type: "echoed", roundTrip_ms });
      },
      closed: (code) => {
        if (ended) return;
        const retryIn_ms = retryDelay_ms(code, failures, Math.random());
        failures += 1;
        retry = setTimeout(open, retryIn_ms);
        tell({ type: "closed", code, retryIn_ms });
      },
    });
  };
  // A network that comes back is worth a try at once.
  const online = () => {
    if (retry === undefined) return;
    clearTimeout(retry);
    open();
  };
  window.addEventListener("online", online);
  open();

  return () => {
    ended = true;
    clearTimeout(retry);
    window.removeEventListener("online", online);
    endSession();
  };
}

interface Session {
  opened: (peer: Peer) => void;
  echoed: (roundTrip_ms: number) => void;
  closed: (code: number) => void;
}

/** One WebSocket: the first message tells who is there, then one beat a second comes back as it was sent. */
function session(url: string, told: Session): () => void {
  const socket = new WebSocket(url);
  let greeted = false;
  /** Since when an answer is due: first the greeting, then each echo. */
  let waitingSince: number | undefined = performance.now();

  const send = () => {
    waitingSince = performance.now();
    socket.send("beat");
  };
  const leave = () => {
    clearInterval(beat);
    socket.onclose = null;
    socket.onmessage = null;
  };
  const beat = setInterval(() => {
    if (waitingSince === undefined) {
      send();
    } else if (performance.now() - waitingSince > ANSWER_MS_MAX) {
      // Told at once: a browser may wait minutes before it gives up on a dead line.
      leave();
      socket.close(CLOSE_SILENT, "no echo");
      told.closed(CLOSE_SILENT);
    }
  }, BEAT_MS);

  socket.onmessage = ({ data }: MessageEvent<string>) => {
    if (!greeted) {
      greeted = true;
      told.opened(JSON.parse(data) as Peer);
      send();
    } else if (waitingSince !== undefined) {
      told.echoed(performance.now() - waitingSince);
      waitingSince = undefined;
    }
  };
  socket.onclose = ({ code }) => {
    leave();
    told.closed(code);
  };

  return () => {
    leave();
    socket.close(1000);
  };
}

/** The echo of the origin that served the page. */
export function echoUrl(location: Location): string {
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/v1/echo`;
}
