const UNITS: readonly [seconds: number, name: string][] = [
  [86_400, "d"],
  [3_600, "h"],
  [60, "min"],
  [1, "s"],
];

/** The two largest units that say something: `3 d 4 h`, `12 min 5 s`, `0 s`. */
export function duration(seconds: number): string {
  const whole = Math.floor(seconds);
  const largest = UNITS.findIndex(([unit]) => whole >= unit);
  if (largest === -1) return "0 s";
  return UNITS.slice(largest, largest + 2)
    .map(([unit, name], index) => {
      const above = index === 0 ? Number.POSITIVE_INFINITY : (UNITS[largest]?.[0] ?? 1);
      return `${Math.floor((whole % above) / unit)} ${name}`;
    })
    .join(" ");
}
