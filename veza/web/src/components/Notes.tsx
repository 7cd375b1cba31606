import type { ReactNode } from "react";
import type { Status, WebVersion } from "../api/client.ts";
import type { Groove, Line } from "../live/line.ts";
import { useNow } from "../live/useNow.ts";
import type { Polled } from "../live/usePolled.ts";
import { Commit } from "./Commit.tsx";
import { duration } from "./duration.ts";
import styles from "./Notes.module.css";

interface Props {
  line: Line;
  status: Polled<Status>;
  web: Polled<WebVersion>;
}

/** The liner notes: who plays on this record. */
export function Notes({ line, status, web }: Props) {
  const page = pageCommit();
  const api = status.value;
  const newer = web.value !== undefined && web.value.commit !== page;
  return (
    <section aria-labelledby="notes" className={styles.notes}>
      <h2 id="notes">What serves you</h2>
      <dl>
        <Row term="Instance">{api ? <code>{api.instance}</code> : <Missing problem={status.problem} />}</Row>
        <Row term="API release">{api ? <Commit commit={api.commit} /> : <Missing problem={status.problem} />}</Row>
        <Row term="Page release">
          <Commit commit={page} />
        </Row>
        <Row term="Up for">
          {api ? <Uptime status={api} at_ms={status.at_ms} /> : <Missing problem={status.problem} />}
        </Row>
        <Row term="Round trip">{median(line.grooves)}</Row>
      </dl>
      {newer ? (
        <p className={styles.remark}>
          A newer page was released.{" "}
          <button type="button" onClick={() => window.location.reload()}>
            Load it
          </button>
        </p>
      ) : (
        <p className={styles.remark}>{agreement(page, api?.commit)}</p>
      )}
      {api && status.problem && (
        <p className={styles.remark}>These are the last good figures: the API {told(status.problem)} just now.</p>
      )}
    </section>
  );
}

function Row({ term, children }: { term: string; children: ReactNode }) {
  return (
    <div className={styles.row}>
      <dt>{term}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Missing({ problem }: { problem: string | undefined }) {
  return <span className={styles.missing}>{problem ? `The API ${told(problem)}` : "asking"}</span>;
}

function told(problem: string): string {
  return problem === "no answer" ? "gave no answer" : problem;
}

function Uptime({ status, at_ms }: { status: Status; at_ms: number }) {
  const since_s = Math.max(0, useNow() - at_ms) / 1_000;
  return <time dateTime={status.started_at}>{duration(status.uptime_s + since_s)}</time>;
}

function agreement(page: string, api: string | undefined): string {
  if (api === undefined) return "";
  if (page === "unknown" || api === "unknown") return "Somebody's own build: it was given no commit.";
  if (page === api) return "Page and API are of the same release.";
  return "Page and API are of different releases, as they may be while one is taking over.";
}

function median(grooves: readonly Groove[]): ReactNode {
  const sorted = grooves.map((groove) => groove.roundTrip_ms).toSorted((a, b) => a - b);
  const middle = sorted[Math.floor(sorted.length / 2)];
  if (middle === undefined) return <span className={styles.missing}>listening</span>;
  return `${middle.toFixed(1)} ms median, ${sorted.at(-1)?.toFixed(1)} ms at most`;
}

function pageCommit(): string {
  return document.querySelector<HTMLMetaElement>('meta[name="commit"]')?.content ?? "unknown";
}
