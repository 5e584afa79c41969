import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { deriveFleetKey, type FleetKey, readFleetKey } from '../../node/fleet/fleet-key.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fleet-key-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function keyFile(text: string, mode = 0o600): Promise<string> {
  const path = join(folder, `key-${mode}-${text.length}`);
  await writeFile(path, text);
  await chmod(path, mode);
  return path;
}

/** In hexadecimal: of TLS, and of the DHT the seal and the key. */
function partsOf({ credentials, dhtSeal, dhtKey }: FleetKey): string[] {
  const { psk } = credentials.client('127.0.0.1').pskCallback?.(null) ?? {};
  return [psk, dhtSeal, dhtKey].map((part) => Buffer.from(part as Buffer).toString('hex'));
}

describe('readFleetKey', () => {
  const hex = 'ab'.repeat(32);

  it('derives distinct subkeys of 32 bytes, the same from hex and base64', async () => {
    const key = await readFleetKey(await keyFile(`${hex}\n`));
    const parts = partsOf(key);
    expect(new Set(parts).size).toBe(3);
    expect(parts.every((part) => part.length === 64)).toBe(true);
    expect(partsOf(deriveFleetKey(Buffer.from(hex, 'hex').toString('base64')))).toEqual(parts);
    const others = partsOf(deriveFleetKey('cd'.repeat(32)));
    expect(others.filter((part) => parts.includes(part))).toEqual([]);
  });

  it('takes any text of 16 characters', async () => {
    const key = await readFleetKey(await keyFile('correct horse battery staple'));
    expect(partsOf(key)[0]).toHaveLength(64);
  });

  it.each([
    ['a missing file', async () => join(folder, 'none'), /none does not exist: .*openssl rand/],
    ['a short key', () => keyFile('secret'), /too short \(6 characters, at least 16\)/],
    ['an empty key', () => keyFile(' \n'), /too short \(0 characters/],
    ['a file for everyone', () => keyFile(hex, 0o644), /open to every user: run "chmod o= /],
    ['a folder', async () => folder, /cannot be read: EISDIR/],
  ])('refuses %s in one line', async (_, path, message) => {
    const error = await readFleetKey(await path()).catch((e: Error) => e);
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).not.toContain('\n');
  });
});
