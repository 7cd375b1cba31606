import type { CSSProperties } from "react";
import styles from "./Commit.module.css";
import { releaseHue } from "./hue.ts";

/** A commit, short, with its release's colour; the whole of it on hover and for a screen reader's details. */
export function Commit({ commit }: { commit: string }) {
  return (
    <span className={styles.commit} title={commit} style={{ "--hue": releaseHue(commit) } as CSSProperties}>
      <span className={styles.swatch} aria-hidden="true" />
      <code>{commit === "unknown" ? commit : commit.slice(0, 10)}</code>
    </span>
  );
}
