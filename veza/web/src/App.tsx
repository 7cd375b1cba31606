import { useState } from "react";
import styles from "./App.module.css";
import { getStatus, getWebVersion } from "./api/client.ts";
import { Journal } from "./components/Journal.tsx";
import { LineState } from "./components/LineState.tsx";
import { Notes } from "./components/Notes.tsx";
import { RoomRecord } from "./components/RoomRecord.tsx";
import { Sides } from "./components/Sides.tsx";
import { useTone } from "./live/tone.ts";
import { useLine } from "./live/useLine.ts";
import { usePolled } from "./live/usePolled.ts";

/** The listening room: what serves you, live. */
export function App() {
  const line = useLine();
  const [audible, setAudible] = useState(false);
  useTone(line, audible);
  // Whoever answers the echo now has a commit and an uptime of its own.
  const met = line.peer && `${line.peer.instance} ${line.peer.commit}`;
  const status = usePolled(getStatus, met);
  const web = usePolled(getWebVersion, met);

  return (
    <>
      <header className={styles.header}>
        <a className={styles.name} href="/">
          <img src="/icon.svg" alt="" width="32" height="32" />
          Veza
        </a>
        <LineState line={line} />
      </header>
      <main>
        <section className={styles.room}>
          <div className={styles.words}>
            <h1>
              Veza means <em>connection</em>.
            </h1>
            <p className={styles.lede}>
              The music comes later. What you see is already real: this record is being cut from the line between you
              and the machine that serves you, one groove for every round trip.
            </p>
            <button type="button" className={styles.listen} aria-pressed={audible} onClick={() => setAudible(!audible)}>
              {audible ? "Stop listening" : "Listen to the line"}
            </button>
            <p className={styles.hint}>One soft note a second. A fast answer sounds high, a slow one low.</p>
          </div>
          <RoomRecord line={line} />
        </section>
        <div className={styles.sleeve}>
          <Notes line={line} status={status} web={web} />
          <Journal entries={line.journal} />
        </div>
        <Sides />
      </main>
      <footer className={styles.footer}>
        <p>Served whole from its own machines: no font, script or counter from anywhere else.</p>
      </footer>
    </>
  );
}
