// The units under a real systemd: what Puppet puts in place boots, hands over apt's port, closes
// the daemon in, and keeps the port open whatever happens to the daemon.
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, test } from 'vitest';
import { ensureDebianPackages } from '../fixtures/debian-packages.ts';
import { runUnderSystemd } from '../fixtures/systemd-machine.ts';

const REPO = fileURLToPath(new URL('../..', import.meta.url));
const SECONDS = 1000;

beforeAll(async () => {
  const machine = ['systemd', 'systemd-container', 'puppet'];
  await ensureDebianPackages([...machine, 'curl', 'iproute2', 'gpgv']);
}, 300 * SECONDS);

const PREPARE = `
mkdir -p /opt/witness/node /opt/witness/node_modules/.bin
ln -s /usr/local/lib/test-node /opt/witness/node_modules/.bin/node
cp /mnt/repo/test/fixtures/unit-witness.ts /opt/witness/node/main.ts
(head -n 1 /mnt/repo/node/debherd.js; echo "import('./main.ts')") > /opt/witness/node/debherd.js
chmod 755 /opt/witness/node/debherd.js
cat > /tmp/site.pp <<'PUPPET'
class { 'debherd':
  fleet_key      => Sensitive('correct horse battery'),
  source         => '/opt/witness',
  manage_service => false,
}
PUPPET
puppet apply --modulepath /mnt/repo/deploy/puppet --detailed-exitcodes /tmp/site.pp || [ $? = 2 ]`;

// One "name: value" a line.
const SCRIPT = `

ip link set lo up
ask() { curl -s -m 10 "$@"; }
kill_daemon() { kill -9 $(systemctl show -p MainPID --value debherd.service); }
echo "seen: $(ask http://127.0.0.1:3142/)"
echo "ipv6: $(ask -o /dev/null -w '%{http_code}' 'http://[::1]:3142/')"
echo "backlog: $(ss -Hltn sport = :3142 | awk '{print $3}' | xargs)"
for i in 1 2 3 4 5 6 7; do
  kill_daemon
  echo "killed: $(ask -o /dev/null -w '%{http_code} %{time_total}' http://127.0.0.1:3142/)"
done
echo "probe alive: $(/usr/share/debherd/apt-proxy-detect http://mirror.example/)"
echo '#!/bin/false' > /opt/witness/node/debherd.js
kill_daemon
echo "probe dead: $(/usr/share/debherd/apt-proxy-detect http://mirror.example/)"
echo "port of the dead: $(systemctl is-active debherd.socket)"
`;

test('the port outlives the daemon, which is closed in', async () => {
  const output = await runUnderSystemd({
    repo: REPO,
    prepare: PREPARE,
    units: ['debherd.socket', 'debherd.service'],
    script: SCRIPT,
    timeoutMs: 80 * SECONDS,
  });
  const values = (name: string) =>
    [...output.matchAll(new RegExp(`^${name}: (.*)$`, 'gm'))].map((match) => match[1] ?? '');

  expect(output).toMatch(/^seen: \{/m);
  const seen = JSON.parse(values('seen')[0] ?? '{}');
  expect(seen.user).toBeGreaterThan(0);
  expect(seen).toMatchObject({
    sockets: '2 apt:apt',
    nice: 10,
    key: 'correct horse battery',
    toml: 'true',
    archives: 'true',
    lists: 'true',
    load: '3',
    interfaces: 'lo',
    verifier: 'true',
    unpacker: 'true',
    writeState: 'done',
    writeRuntime: 'done',
    writeArchives: 'EROFS',
    readHome: 'EACCES',
  });
  expect(values('ipv6')).toEqual(['200']);
  expect(values('backlog')).toEqual(['4096 4096']);
  // Asked right after kill -9: a wait, never a refusal.
  expect(values('killed')).toHaveLength(7);
  for (const answer of values('killed')) expect(answer).toMatch(/^200 /);
  expect(values('probe alive')).toEqual(['http://127.0.0.1:3142']);
  expect(values('probe dead')).toEqual(['DIRECT']);
  expect(values('port of the dead')).toEqual(['active']);
}, 90_000);
