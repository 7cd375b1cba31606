import { defineConfig } from "vitest/config";
// Read here, so that a missing VEZA_URL is told before any journey is looked for.
import "./environment.ts";

export default defineConfig({
  test: {
    include: ["journeys/*.journey.ts"],
    globalSetup: "journeys/reachable.ts",
    // One person, one browser at a time: a journey must not be slowed by its neighbour.
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
