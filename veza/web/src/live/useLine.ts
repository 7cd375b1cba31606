import { useEffect, useReducer } from "react";
import { echoUrl, keepEcho } from "../api/echo.ts";
import { heard, type Line, quiet } from "./line.ts";

/** Keeps the echo open while the component is shown. */
export function useLine(): Line {
  const [line, tell] = useReducer(heard, quiet);
  useEffect(() => keepEcho(echoUrl(window.location), (event) => tell({ ...event, at_ms: Date.now() })), []);
  return line;
}
