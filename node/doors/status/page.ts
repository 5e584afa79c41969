// The pages of a node on its apt door: `/` for people, `/status.json`, `/events` and `/ways.json`
// for programs.
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { canonicalUrl } from '../../apt/canonical-url.ts';
import { sha256 } from '../../content/digest.ts';
import { counters } from '../../metrics/counters.ts';
import type { Ways } from '../../metrics/ways.ts';
import type { Clock, Timer } from '../../platform/clock.ts';
import { isLoopback } from '../../wire/addresses.ts';
import type { StatusReport } from './report.ts';

export interface StatusPageDeps {
  report(): StatusReport;
  readonly ways: Pick<Ways, 'find'>;
  readonly clock: Clock;
}

export interface StatusPageOptions {
  /** How often watchers of `/events` get a report. */
  readonly periodMs?: number;
  /** More watchers at once are refused with 503. */
  readonly watchersMax?: number;
}

export class StatusPage {
  readonly #deps: StatusPageDeps;
  readonly #periodMs: number;
  readonly #watchersMax: number;
  readonly #watchers = new Set<ServerResponse>();
  #timer: Timer | undefined;
  #html: { readonly text: string; readonly policy: string } | undefined;

  constructor(deps: StatusPageDeps, options: StatusPageOptions = {}) {
    this.#deps = deps;
    this.#periodMs = options.periodMs ?? 1_000;
    this.#watchersMax = options.watchersMax ?? 64;
  }

  /** Answers a GET or HEAD of a path of this node. */
  handle(req: IncomingMessage, res: ServerResponse, path: string): void {
    // A page elsewhere whose name was rebound to 127.0.0.1 may not read this.
    if (!isLoopbackHost(req.headers.host)) {
      send(res, 403, 'text/plain', 'debherd: pages of this node are for localhost only\n');
      return;
    }
    const { pathname: name, searchParams } = new URL(`http://localhost${path}`);
    if (name === '/') this.#page(res);
    else if (name === '/status.json') {
      send(res, 200, 'application/json', `${JSON.stringify(this.#deps.report(), null, 1)}\n`);
    } else if (name === '/events') this.#follow(req, res);
    else if (name === '/ways.json') this.#ways(res, searchParams);
    else
      send(
        res,
        404,
        'text/plain',
        `debherd: no page ${name}; there are /, /status.json, /events, /ways.json\n`,
      );
  }

  /** Ends all event streams. */
  close(): void {
    for (const watcher of this.#watchers) watcher.end();
  }

  #page(res: ServerResponse): void {
    this.#html ??= load();
    res.setHeader('Content-Security-Policy', this.#html.policy);
    const plain = plainTable(this.#deps.report());
    send(
      res,
      200,
      'text/html',
      this.#html.text.replace('<!--plain-->', () => plain),
    );
  }

  /** How requests were answered: of a `url`, of an object by its `digest`, of a request `id`. */
  #ways(res: ServerResponse, query: URLSearchParams): void {
    const asked: { url?: string; digest?: string; id?: string } = {};
    for (const key of ['url', 'digest', 'id'] as const) {
      const value = query.get(key);
      if (value !== null) asked[key] = key === 'url' ? urlOf(value) : value;
    }
    const ways = this.#deps.ways.find(asked);
    send(res, 200, 'application/json', `${JSON.stringify({ ways }, null, 1)}\n`);
  }

  #follow(req: IncomingMessage, res: ServerResponse): void {
    if (this.#watchers.size >= this.#watchersMax) {
      send(res, 503, 'text/plain', 'debherd: too many watch this node already\n');
      return;
    }
    res.writeHead(200, { ...commonHeaders, 'Content-Type': 'text/event-stream' });
    if (req.method === 'HEAD') {
      res.end();
      return;
    }
    res.write(this.#event());
    this.#watchers.add(res);
    this.#timer ??= this.#deps.clock.every(this.#periodMs, () => this.#tell());
    res.once('close', () => {
      this.#watchers.delete(res);
      if (this.#watchers.size > 0) return;
      this.#timer?.cancel();
      this.#timer = undefined;
    });
  }

  #tell(): void {
    const event = this.#event();
    for (const watcher of this.#watchers) {
      // A watcher that does not keep up misses reports; each one is complete.
      if (!watcher.writableNeedDrain) watcher.write(event);
    }
  }

  #event(): string {
    return `data: ${JSON.stringify(this.#deps.report())}\n\n`;
  }
}

/** As requests are noted. A `+` in a query reads as a space, which no URL of theirs has. */
function urlOf(value: string): string {
  const text = value.replaceAll(' ', '+');
  const canonical = canonicalUrl(text);
  return 'url' in canonical ? canonical.url : text;
}

/** True for `localhost`, 127.0.0.0/8 and [::1] with any port; and for no Host at all (HTTP/1.0). */
export function isLoopbackHost(header: string | undefined): boolean {
  if (header === undefined) return true;
  const host = header
    .replace(/:\d*$/, '')
    .replace(/^\[(.*)\]$/, '$1')
    .toLowerCase();
  return host === 'localhost' || isLoopback(host);
}

const commonHeaders = {
  'Cache-Control': 'no-store',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
};

function send(res: ServerResponse, status: number, type: string, text: string): void {
  const body = Buffer.from(text);
  res.writeHead(status, {
    ...commonHeaders,
    'Content-Type': `${type}; charset=utf-8`,
    'Content-Length': body.length,
  });
  res.end(body);
}

/** The page and a policy that lets nothing but its own script and style run. */
function load(): { text: string; policy: string } {
  const text = readFileSync(new URL('page.html', import.meta.url), 'utf8');
  const hashOf = (tag: string) => {
    const content = new RegExp(`<${tag}>([^]*?)</${tag}>`).exec(text)?.[1] ?? '';
    return `'sha256-${sha256(Buffer.from(content)).toString('base64')}'`;
  };
  const policy =
    `default-src 'none'; script-src ${hashOf('script')}; style-src ${hashOf('style')}; ` +
    `connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; ` +
    `frame-ancestors 'none'`;
  return { text: text.replace('<!--counters-->', () => counterLines()), policy };
}

/** Names of all counters with what they count; the script fills in the values. */
function counterLines(): string {
  const lines = Object.entries(counters).map(([name, { help }]) => {
    return `<div title="${escapeHtml(help)}"><dt>${name}</dt><dd></dd></div>`;
  });
  return lines.join('\n');
}

/** The main figures for a browser without scripts. */
function plainTable(report: StatusReport): string {
  const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
  const rows: [string, string | number][] = [
    ['Node', `${report.name}, debherd ${report.version}, ${report.role}`],
    ['Members', report.members.map((member) => member.name).join(', ')],
    ['Store', `${report.objects} objects, ${megabytes(report.bytes)}`],
    ['WAN amplification', report.wanAmplification?.toFixed(2) ?? '–'],
    ...Object.entries(report.counters),
  ];
  const cells = rows.map(([name, value]) => {
    return `<tr><th>${escapeHtml(name)}</th><td>${escapeHtml(String(value))}</td></tr>`;
  });
  return `<table>${cells.join('\n')}</table>`;
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}
