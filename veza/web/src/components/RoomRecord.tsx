import type { CSSProperties } from "react";
import { GROOVES, type Line } from "../live/line.ts";
import { releaseHue } from "./hue.ts";
import styles from "./RoomRecord.module.css";

const DEGREES = 360 / GROOVES;
/** The middle of the ring of grooves, and how far a groove reaches to either side of it. */
const RING = 166;
const REACH_MIN = 3;
const REACH_MAX = 44;
/** Where the needle is, in degrees clockwise from the top. */
const NEEDLE = 40;

/** The record: a groove for every round trip, wide for a slow one, and the latest in figures on its label. */
export function RoomRecord({ line }: { line: Line }) {
  const { beats, grooves, peer } = line;
  const latest_ms = line.state === "open" ? grooves.at(-1)?.roundTrip_ms : undefined;
  const first = beats - grooves.length;

  return (
    <figure className={styles.figure} data-open={line.state === "open"} style={tint(peer?.commit ?? "")}>
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
            {grooves.map(({ roundTrip_ms, commit }, index) => {
              const beat = first + index + 1;
              return (
                <line
                  key={beat}
                  className={styles.cut}
                  y1={-RING - reach(roundTrip_ms)}
                  y2={-RING + reach(roundTrip_ms)}
                  transform={`rotate(${beat * DEGREES})`}
                  opacity={0.3 + (0.7 * (index + 1)) / grooves.length}
                  style={tint(commit)}
                />
              );
            })}
          </g>
        </g>
        <circle className={styles.label} cx="240" cy="240" r="100" />
        <circle className={styles.rim} cx="240" cy="240" r="92" />
        <text className={styles.small} x="240" y="186">
          {latest_ms === undefined ? "finding the line" : peer?.instance}
        </text>
        <text className={styles.large} x="240" y="236">
          {latest_ms === undefined ? "· · ·" : figure(latest_ms)}
        </text>
        <circle className={styles.hole} cx="240" cy="264" r="5" />
        <text className={styles.small} x="240" y="300">
          {latest_ms === undefined ? "" : "ms there and back"}
        </text>
        <g className={styles.arm}>
          <path d="M456 62 434 172 366 132" />
          <circle cx="456" cy="62" r="22" />
          <circle className={styles.pivot} cx="456" cy="62" r="8" />
          <path className={styles.head} d="M376 138 346 120" />
        </g>
      </svg>
      <figcaption>Label and grooves take their colour from the release that answers. A new one would show.</figcaption>
    </figure>
  );
}

function tint(commit: string): CSSProperties {
  return { "--hue": releaseHue(commit) } as CSSProperties;
}

/** From 1 ms to 1 s over the width of the ring, logarithmic: a slow answer stands out, a fast one is still seen. */
function reach(ms: number): number {
  const share = Math.log10(Math.min(Math.max(ms, 1), 1_000)) / 3;
  return REACH_MIN + share * (REACH_MAX - REACH_MIN);
}

export function figure(ms: number): string {
  return ms < 100 ? ms.toFixed(1) : ms.toFixed(0);
}

function spoken(line: Line): string {
  const latest_ms = line.grooves.at(-1)?.roundTrip_ms;
  if (line.state !== "open" || latest_ms === undefined) return "A record that waits for the line";
  return `A record; the last round trip took ${figure(latest_ms)} ms`;
}
