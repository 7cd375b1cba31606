import type { CSSProperties } from "react";
import { GROOVES, type Line } from "../live/line.ts";
import { releaseHue } from "./hue.ts";
import styles from "./RoomRecord.module.css";

const DEGREES = 360 / GROOVES;
const INNER = 122;
const OUTER = 212;
/** Where the needle is, in degrees clockwise from the top. */
const NEEDLE = 40;

/** The record: a groove for every round trip, long for a slow one, and the latest in figures on its label. */
export function RoomRecord({ line }: { line: Line }) {
  const { beats, peer, roundTrips_ms } = line;
  const latest_ms = line.state === "open" ? roundTrips_ms.at(-1) : undefined;
  const first = beats - roundTrips_ms.length;
  const tint = { "--hue": releaseHue(peer?.commit ?? "") } as CSSProperties;

  return (
    <figure className={styles.figure} data-open={line.state === "open"} style={tint}>
      <svg viewBox="0 0 500 480" role="img" aria-label={spoken(line)}>
        <circle className={styles.disc} cx="240" cy="240" r="228" />
        {[220, 198, 176, 154, 132].map((r) => (
          <circle key={r} className={styles.groove} cx="240" cy="240" r={r} />
        ))}
        <path
          className={styles.sheen}
          d="M240 240 30 150A228 228 0 0 1 92 66ZM240 240 450 330A228 228 0 0 1 388 414Z"
        />
        <g transform="translate(240 240)">
          {/* One groove further with every beat, in one second: it turns as long as the line is open. */}
          <g className={styles.turning} style={{ transform: `rotate(${NEEDLE - beats * DEGREES}deg)` }}>
            {roundTrips_ms.map((ms, index) => {
              const beat = first + index + 1;
              return (
                <line
                  key={beat}
                  className={styles.cut}
                  y1={-INNER}
                  y2={-INNER - length(ms)}
                  transform={`rotate(${beat * DEGREES})`}
                  opacity={0.3 + (0.7 * (index + 1)) / roundTrips_ms.length}
                />
              );
            })}
          </g>
        </g>
        <circle className={styles.label} cx="240" cy="240" r="100" />
        <circle className={styles.rim} cx="240" cy="240" r="92" />
        <text className={styles.figureText} x="240" y="236">
          {latest_ms === undefined ? "· · ·" : figure(latest_ms)}
        </text>
        <text className={styles.unit} x="240" y="190">
          {latest_ms === undefined ? "" : "ms there and back"}
        </text>
        <circle className={styles.hole} cx="240" cy="262" r="5" />
        <text className={styles.unit} x="240" y="298">
          {latest_ms === undefined ? "finding the line" : peer?.instance}
        </text>
        <g className={styles.arm}>
          <path d="M456 62 436 160 374 118" />
          <circle cx="456" cy="62" r="22" />
          <circle className={styles.pivot} cx="456" cy="62" r="8" />
          <path className={styles.head} d="M382 124 358 107" />
        </g>
      </svg>
      <figcaption>The label takes its colour from the release. When it changes, a new one is playing.</figcaption>
    </figure>
  );
}

/** From 1 ms to 1 s over the width of the disc, logarithmic: a slow answer stands out, a fast one is still seen. */
function length(ms: number): number {
  const share = Math.log10(Math.min(Math.max(ms, 1), 1_000) * 1.6) / Math.log10(1_600);
  return share * (OUTER - INNER);
}

export function figure(ms: number): string {
  return ms < 100 ? ms.toFixed(1) : ms.toFixed(0);
}

function spoken(line: Line): string {
  const latest_ms = line.roundTrips_ms.at(-1);
  if (line.state !== "open" || latest_ms === undefined) return "A record that waits for the line";
  return `A record; the last round trip took ${figure(latest_ms)} ms`;
}
