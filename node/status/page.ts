// Stand-in until the page is here.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { StatusReport } from './report.ts';

export class StatusPages {
  readonly #report: () => StatusReport;
  constructor(deps: { report: () => StatusReport }) {
    this.#report = deps.report;
  }
  handle(_req: IncomingMessage, res: ServerResponse, _path: string): void {
    res.setHeader('content-type', 'application/json');
    res.end(JSON.stringify(this.#report(), null, 1));
  }
  async close(): Promise<void> {}
}
