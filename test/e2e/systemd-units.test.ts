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

// The product itself, in place of the witness.
const PREPARE_PRODUCT = `
mkdir -p /opt/debherd/node_modules/.bin
ln -s /usr/local/lib/test-node /opt/debherd/node_modules/.bin/node
cd /mnt/repo
cp -r node tracker package.json /opt/debherd
for each in node_modules/*; do
  case $each in */node-linux-*|*/@biomejs|*/@typescript|*/@rolldown|*/lightning*|*/playwright*) ;;
  *) cp -r $each /opt/debherd/node_modules ;; esac
done
cat > /tmp/site.pp <<'PUPPET'
class { 'debherd':
  source         => '/opt/debherd',
  manage_service => false,
}
PUPPET
puppet apply --modulepath /mnt/repo/deploy/puppet --detailed-exitcodes /tmp/site.pp || [ $? = 2 ]`;

const SCRIPT_PRODUCT = `
ip link set lo up
ask() { curl -s -m 10 "$@"; }
probe() { /usr/share/debherd/apt-proxy-detect http://mirror.example/; }
ask -o /dev/null http://127.0.0.1:3142/
echo "probe: $(probe)"
echo "status: $(debherd status | head -n 1)"
echo "socket: $(stat -c '%a %U:%G' /run/debherd/control.sock)"
echo "stranger: $(runuser -u nobody -- debherd status 2>&1)"
cp /etc/debherd/debherd.toml /root/good.toml
echo 'cache-maxx = "1GiB"' >> /etc/debherd/debherd.toml
systemctl restart debherd.service
for i in 1 2 3 4 5; do
  echo "bad: $(ask http://127.0.0.1:3142/)"
  echo "bad probe: $(probe)"
done
echo "restarts: $(systemctl show -p NRestarts --value debherd.service)"
echo "faults: $(journalctl -u debherd.service | grep -c cache-maxx)"
echo "bad status: $(debherd status 2>&1)"
cp /root/good.toml /etc/debherd/debherd.toml
systemctl restart debherd.service
ask -o /dev/null http://127.0.0.1:3142/
echo "mended probe: $(probe)"
`;

test('a bad configuration is told to apt, and starts nothing over and over', async () => {
  const output = await runUnderSystemd({
    repo: REPO,
    prepare: PREPARE_PRODUCT,
    units: ['debherd.socket', 'debherd.service'],
    script: SCRIPT_PRODUCT,
    timeoutMs: 80 * SECONDS,
  });
  const values = (name: string) =>
    [...output.matchAll(new RegExp(`^${name}: (.*)$`, 'gm'))].map((match) => match[1] ?? '');

  const proxy = 'http://127.0.0.1:3142';
  expect(values('probe')).toEqual([proxy]);
  expect(values('status')[0]).toMatch(/^node +\S+, debherd \S+, solo, up \d/);
  expect(values('socket')).toEqual(['660 debherd:debherd']);
  expect(values('stranger')[0]).toMatch(/^debherd: only root and the group debherd may ask/);
  const fault = 'unknown key "cache-maxx" in /etc/debherd/debherd.toml';
  expect(values('bad')).toHaveLength(5);
  for (const answer of values('bad')) {
    expect(answer).toMatch(/^debherd cannot start: .*; mend it, then: systemctl restart debherd$/);
    expect(answer).toContain(fault);
  }
  expect(values('bad probe')).toEqual(Array(5).fill('DIRECT'));
  expect(values('restarts')).toEqual(['0']);
  expect(values('faults')).toEqual(['1']);
  expect(values('bad status')[0]).toContain(`debherd: ${fault}`);
  expect(values('mended probe')).toEqual([proxy]);
}, 90_000);

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
