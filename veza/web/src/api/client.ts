/** What `GET /api/v1/status` tells. */
export interface Status {
  service: string;
  version: string;
  /** 40 hex digits, or `unknown`. */
  commit: string;
  instance: string;
  /** RFC 3339. */
  started_at: string;
  uptime_s: number;
}

/** What the web release tells of itself. */
export interface WebVersion {
  commit: string;
}

/** An answer that came and was no good, or that did not come at all. Its message is fit to be shown. */
export class ApiError extends Error {}

export const getStatus = (signal: AbortSignal) => getJson("/api/v1/status", isStatus, signal);
export const getWebVersion = (signal: AbortSignal) => getJson("/version.json", isWebVersion, signal);

const ANSWER_MS_MAX = 8_000;

async function getJson<T>(path: string, is: (body: unknown) => body is T, signal: AbortSignal): Promise<T> {
  const options: RequestInit = {
    cache: "no-store",
    signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS_MAX)]),
  };
  const response = await fetch(path, options).catch((cause: unknown) => {
    throw new ApiError("no answer", { cause });
  });
  if (!response.ok) throw new ApiError(`answered ${response.status}`);
  const body: unknown = await response.json().catch(() => undefined);
  if (!is(body)) throw new ApiError("answered something else than expected");
  return body;
}

function isStatus(body: unknown): body is Status {
  return (
    isObject(body) &&
    ["service", "version", "commit", "instance", "started_at"].every((key) => typeof body[key] === "string") &&
    typeof body.uptime_s === "number"
  );
}

function isWebVersion(body: unknown): body is WebVersion {
  return isObject(body) && typeof body.commit === "string";
}

function isObject(body: unknown): body is Record<string, unknown> {
  return typeof body === "object" && body !== null;
}
