import type { Entry } from "../live/line.ts";
import styles from "./Journal.module.css";

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** What happened to the line, newest first. A restart of a machine shows here, and nowhere else. */
export function Journal({ entries }: { entries: readonly Entry[] }) {
  return (
    <section aria-labelledby="journal" className={styles.journal}>
      <h2 id="journal">What the line has seen</h2>
      {entries.length === 0 ? (
        <p className={styles.empty}>Nothing yet: it is just being opened.</p>
      ) : (
        <ol aria-live="polite">
          {entries.map(({ id, at_ms, text }) => (
            <li key={id}>
              <time dateTime={new Date(at_ms).toISOString()}>{clock.format(at_ms)}</time>
              <span>{text}</span>
            </li>
          ))}
        </ol>
      )}
      <p className={styles.remark}>A machine that restarts says so here. Nothing else on the page should change.</p>
    </section>
  );
}
