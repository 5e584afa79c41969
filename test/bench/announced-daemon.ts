// Entry point of a daemon that has announced its store before: it goes on with the slow cycle at
// once, where the product's first takes 83 minutes for 5,000 objects. The rest is the product.
import { systemClock } from '../../node/platform/clock.ts';
import { runDecorated } from '../fixtures/run-decorated.ts';
import { AnnouncedBefore } from './announced-before.ts';

await runDecorated({
  discovery: (discovery) =>
    new AnnouncedBefore({ discovery, clock: systemClock, phase: Math.random() }),
});
