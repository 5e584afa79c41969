import type { HttpServer } from '../../wire/http-server.ts';
import type { StatusReport } from '../status/report.ts';

/** What the verbs of the control door act on. */
export interface ControlDeps {
  report(): StatusReport;
}

/** Adds a verb to the server; each has a file in `routes`. */
export type Route = (server: HttpServer, deps: ControlDeps) => void;
