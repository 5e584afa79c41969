// A status report as a busy workstation in a fleet of sixty would give it.

import type { MemberReport, StatusReport } from '../../node/doors/status/report.ts';
import { type CounterName, Counters } from '../../node/metrics/counters.ts';

const NOW = Date.UTC(2026, 7, 1, 10, 0, 0);
const archive = 'http://archive.ubuntu.com/ubuntu';

export function sampleReport(changes: Partial<StatusReport> = {}): StatusReport {
  return {
    id: idOf(1),
    name: 'ws-ilm-07',
    version: '0.1.0',
    role: 'member',
    startedAtMs: NOW - 3.2 * 86_400_000,
    nowMs: NOW,
    view: 214,
    members: members(60),
    trackers: [
      { url: 'https://puppet.studio.example:3144', connected: true },
      { url: 'https://render-head.studio.example:3144', connected: false },
    ],
    objects: 4812,
    bytes: 11_420_000_000,
    bytesMax: 20_000_000_000,
    counters: counters(),
    wanAmplification: 1.003,
    flights: flights(),
    blames: [
      {
        member: idOf(17),
        name: 'render-17',
        fault: 'corrupt',
        detail: `piece 214 of ${archive}/pool/linux-image-6.8.0-79_amd64.deb differs`,
        atMs: NOW - 42_000,
        untilMs: NOW + 558_000,
      },
      {
        member: idOf(33),
        name: 'render-33',
        fault: 'stalled',
        detail: 'no byte for 3 s in the middle of cuda-libraries-12-6_12.6.3-1_amd64.deb',
        atMs: NOW - 4_000_000,
        untilMs: NOW - 3_900_000,
      },
    ],
    volatile: [
      { url: `${archive}/dists/noble/InRelease`, status: 200, ageMs: 12_000, stale: false },
      { url: `${archive}/dists/noble-updates/InRelease`, status: 200, ageMs: 12_000, stale: false },
      {
        url: 'https://ppa.launchpad.net/graphics-drivers/ppa/ubuntu/dists/noble/InRelease',
        status: 200,
        ageMs: 5_400_000,
        stale: true,
      },
      { url: `${archive}/dists/noble/Release.gpg`, status: 404, ageMs: 400_000, stale: false },
    ],
    memory: { rss: 104_300_000 },
    ...changes,
  };
}

function idOf(n: number): string {
  return n.toString(16).padStart(40, '0');
}

function members(count: number): MemberReport[] {
  return Array.from({ length: count }, (_, i) => ({
    id: idOf(i + 1),
    name: i === 0 ? 'ws-ilm-07' : `render-${i + 1}`,
    address: i === 4 ? '2001:db8:20::5' : `10.20.${1 + (i >> 5)}.${10 + i}`,
    port: 3143,
    version: i === 9 ? '0.0.9' : '0.1.0',
    self: i === 0,
    upstream: i !== 5,
  }));
}

function counters(): Record<CounterName, number> {
  const all = new Counters();
  const values: Partial<Record<CounterName, number>> = {
    'apt.bytes.local': 3_910_000_000,
    'apt.bytes.flight': 220_000_000,
    'apt.bytes.peer': 8_730_000_000,
    'apt.bytes.upstream': 186_000_000,
    'apt.requests': 18_342,
    'apt.errors': 2,
    'received.bytes.peer': 8_950_000_000,
    'received.bytes.upstream.elected': 191_000_000,
    'received.bytes.upstream.unelected': 3_100_000,
    'received.bytes.tunnel': 14_600_000,
    'upstream.requests.elected': 311,
    'named.by.dht': 2204,
    'named.by.owner': 3871,
    'flights.started': 6382,
  };
  for (const [name, value] of Object.entries(values)) all.add(name as CounterName, value);
  return all.all();
}

function flights(): StatusReport['flights'] {
  const pool = `${archive}/pool`;
  return [
    {
      object: 'ab'.repeat(32),
      url: `${pool}/universe/b/blender/blender-data_4.0.2+dfsg-1ubuntu8_all.deb`,
      bytes: 21_300_000,
      size: 31_204_116,
      source: 'render-12',
      sourceKind: 'member',
      readers: 2,
      startedAtMs: NOW - 2_100,
    },
    {
      object: 'cd'.repeat(32),
      url: `${pool}/restricted/n/nvidia-graphics-drivers-570/libnvidia-compute_570.181_amd64.deb`,
      bytes: 4_100_000,
      size: 52_118_332,
      source: 'upstream',
      sourceKind: 'upstream',
      readers: 5,
      startedAtMs: NOW - 900,
    },
    {
      object: 'https://ppa.launchpad.net/x/unlisted.tar.gz',
      url: 'https://ppa.launchpad.net/x/unlisted.tar.gz',
      bytes: 0,
      source: 'none',
      sourceKind: 'none',
      readers: 0,
      startedAtMs: NOW - 20,
    },
  ];
}
