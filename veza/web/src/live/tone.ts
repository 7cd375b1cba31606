import { useEffect, useRef } from "react";
import type { Line } from "./line.ts";

/** A minor pentatonic scale over two octaves, high to low, in semitones from A3: any two of them sound well. */
const SCALE = [24, 22, 19, 17, 15, 12, 10, 7, 5, 3, 0];
const A3_HZ = 220;

/** The pitch of a round trip: fast is high. Each step down takes about 1.6 times as long, from 1 ms on. */
export function pitch_hz(roundTrip_ms: number): number {
  const step = Math.floor(Math.log(Math.max(roundTrip_ms, 1)) / Math.log(1.6));
  const semitones = SCALE[Math.min(step, SCALE.length - 1)] ?? 0;
  return A3_HZ * 2 ** (semitones / 12);
}

/** Plays every echo while `on`. Browsers allow that only after a click: `on` must be one's result. */
export function useTone({ beats, grooves }: Line, on: boolean): void {
  const context = useRef<AudioContext | null>(null);
  const latest_ms = grooves.at(-1)?.roundTrip_ms;

  useEffect(() => {
    if (!on) return;
    context.current = new AudioContext();
    return () => {
      void context.current?.close();
      context.current = null;
    };
  }, [on]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: two equal round trips in a row are two tones
  useEffect(() => {
    if (context.current && latest_ms !== undefined) strike(context.current, pitch_hz(latest_ms));
  }, [beats, latest_ms]);
}

function strike(context: AudioContext, frequency_hz: number): void {
  const { currentTime: start } = context;
  const loudness = new GainNode(context, { gain: 0 });
  loudness.gain.linearRampToValueAtTime(0.16, start + 0.015);
  loudness.gain.exponentialRampToValueAtTime(0.0001, start + 1.4);
  const oscillator = new OscillatorNode(context, { type: "triangle", frequency: frequency_hz });
  oscillator.connect(loudness).connect(context.destination);
  oscillator.start(start);
  oscillator.stop(start + 1.5);
}
