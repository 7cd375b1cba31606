import styles from "./Sides.module.css";

/** What is there and what is not: nothing here is promised that cannot be tried. */
export function Sides() {
  return (
    <section className={styles.sides} aria-label="What is here, and what is not yet">
      <div>
        <h2>
          <span>Side A</span> Playing now
        </h2>
        <ul>
          <li>A page and an API that always tell which release they are.</li>
          <li>Releases that do not cut you off: a machine that leaves says goodbye first, and the line moves on.</li>
          <li>A page that stays, whatever happens to the line.</li>
        </ul>
      </div>
      <div className={styles.silent}>
        <h2>
          <span>Side B</span> Still silent
        </h2>
        <ul>
          <li>Uploading your music.</li>
          <li>Streaming it, with a queue that follows you from room to room.</li>
          <li>Searching, collecting, and listening together.</li>
        </ul>
      </div>
    </section>
  );
}
