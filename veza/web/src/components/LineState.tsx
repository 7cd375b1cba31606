import type { Line } from "../live/line.ts";
import styles from "./LineState.module.css";

const WORDS = { trying: "Connecting", open: "On the line", waiting: "Reconnecting" } as const;

/** Whether the line is open, in a word. Changes are read out. */
export function LineState({ line }: { line: Line }) {
  return (
    <p className={styles.state} data-state={line.state} role="status">
      <span className={styles.lamp} aria-hidden="true" />
      {line.state === "trying" && line.peer ? WORDS.waiting : WORDS[line.state]}
    </p>
  );
}
