import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Browser, chromium } from 'playwright-core';
import { afterEach, beforeAll, expect, test } from 'vitest';
import { StatusPage } from '../../node/doors/status/page.ts';
import type { StatusReport } from '../../node/doors/status/report.ts';
import { systemClock } from '../../node/platform/clock.ts';
import { ensureDebianPackages } from '../fixtures/debian-packages.ts';
import { waysFixture } from '../fixtures/ways.ts';
import { sampleReport } from '../support/sample-report.ts';

const CHROMIUM = '/usr/bin/chromium';
const quiet =
  '--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking ' +
  '--disable-component-update --disable-sync';
const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function servedReport(first: StatusReport) {
  let report = first;
  const page = new StatusPage(
    { ways: waysFixture(), report: () => report, clock: systemClock },
    { periodMs: 20 },
  );
  const server = createServer((req, res) => page.handle(req, res, req.url ?? ''));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanups.push(
    () => server.close(),
    () => server.closeAllConnections(),
  );
  const set = (next: StatusReport) => {
    report = next;
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, set, server };
}

async function browser(): Promise<Browser> {
  const launched = await chromium.launch({ executablePath: CHROMIUM, args: quiet.split(' ') });
  cleanups.push(() => launched.close());
  return launched;
}

beforeAll(() => ensureDebianPackages(['chromium']), 300_000);

test('the page shows the fleet, follows it live and stays on this host', async () => {
  const { url, set, server } = await servedReport(sampleReport());
  const page = await (await browser()).newPage();
  const complaints: string[] = [];
  const asked: string[] = [];
  page.on('console', (message) => complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('request', (request) => asked.push(request.url()));
  await page.goto(url);
  const rows = page.locator('#members tbody tr');
  await rows.first().waitFor();
  expect(await rows.count()).toBe(60);
  expect(await rows.nth(0).textContent()).toContain('this node');
  expect(await rows.nth(1).textContent()).toContain('avoided: corrupt');
  expect(await page.locator('#wan').textContent()).toContain('1.00');
  expect(await page.locator('#flights tbody tr').count()).toBe(3);
  expect(await page.locator('#volatile .warn').textContent()).toContain('stale');

  // An event changes what is shown; a name is never markup.
  const [self] = sampleReport().members;
  set(sampleReport({ members: [{ ...self!, name: '<b id=bold>x</b>' }], flights: [], blames: [] }));
  await page.getByText('<b id=bold>x</b>').waitFor();
  expect(await page.locator('#bold').count()).toBe(0);
  expect(await rows.count()).toBe(1);
  await page.getByText('Nothing is being fetched.').waitFor();

  // Wide or narrow, nothing sticks out at the side.
  for (const width of [1400, 700, 340]) {
    await page.setViewportSize({ width, height: 800 });
    const inner = await page.evaluate('document.documentElement.scrollWidth');
    expect(inner).toBeLessThanOrEqual(width);
  }
  expect(complaints).toEqual([]);
  expect(asked.filter((address) => !address.startsWith(`${url}/`) && address !== 'data:,')).toEqual(
    [],
  );

  server.close();
  server.closeAllConnections();
  await page.getByText('no connection to the daemon').waitFor();
}, 90_000);
