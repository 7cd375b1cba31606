/** Every release has a colour of its own, so that a new one is seen at a glance: a hue in degrees from its commit. */
export function releaseHue(commit: string): number {
  const number = Number.parseInt(commit.slice(0, 6), 16);
  return Number.isNaN(number) ? 55 : number % 360;
}
