import { setTimeout as after } from 'node:timers/promises';

/** Resolves after `delayMs` and keeps the process alive meanwhile, as no timer of a Clock does. */
export function pause(delayMs: number): Promise<void> {
  return after(delayMs);
}
