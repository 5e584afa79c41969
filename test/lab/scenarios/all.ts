// The scenarios that the lab knows, the usual one first.
import type { Scenario } from '../run.ts';
import { cold, rolling, update } from './cold.ts';
import { ownerKilled, restart, trackerKilled } from './killed.ts';
import { corruptPeer, slowPeer } from './peers.ts';
import { wanCut } from './wan-cut.ts';
import { warm } from './warm.ts';

export const scenarios: readonly Scenario[] = [
  cold,
  warm,
  update,
  rolling,
  restart,
  ownerKilled,
  trackerKilled,
  slowPeer,
  corruptPeer,
  wanCut,
];
