// Who should pass an object on to nobody: whoever is behind, slow as a source, or on a narrow link.
import type { Clock } from '../platform/clock.ts';
import { Lags } from './lags.ts';
import { NarrowLinks } from './narrow-links.ts';
import { SlowSources } from './slow-sources.ts';

export class Stragglers {
  readonly lags = new Lags();
  readonly slow = new SlowSources();
  readonly narrow: NarrowLinks;

  constructor(deps: { readonly clock: Clock }) {
    this.narrow = new NarrowLinks(deps);
  }

  has(id: string): boolean {
    return this.lags.isBehind(id) || this.slow.has(id) || this.narrow.has(id);
  }

  forget(id: string): void {
    for (const kind of [this.lags, this.slow, this.narrow]) kind.forget(id);
  }
}
