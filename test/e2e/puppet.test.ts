// The Puppet module: real puppet, applied for real to a throw-away copy of this machine. systemd
// does not run there: units are checked by systemd-analyze, and where the module is to start them,
// a stand-in for systemctl notes what it is told.
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ensureDebianPackages } from '../fixtures/debian-packages.ts';
import { openThrowawayRoot, type ThrowawayRoot } from '../fixtures/throwaway-root.ts';

const REPO = fileURLToPath(new URL('../..', import.meta.url));
const SECONDS = 1000;
// Exit codes of --detailed-exitcodes.
const UNCHANGED = 0;
const CHANGED = 2;

const UNITS = '/etc/systemd/system';
const KEY_FILE = '/etc/debherd/fleet.key';
const KEY = '0123456789abcdef0123456789abcdef';
const MEMBER = `class { 'debherd':
  fleet_key      => Sensitive('${KEY}'),
  trackers       => ['https://tracker.example:3144', 'https://10.0.0.2:3144'],
  cache_max      => '20GiB',
  source         => '/opt/debherd',
  manage_service => false,
}`;
const MEMBER_TOML = `# Managed by Puppet.
peer-listen = "0.0.0.0:3143"
state = "/var/lib/debherd"
tracker = ["https://tracker.example:3144", "https://10.0.0.2:3144"]
cache-max = "20GiB"
`;
const SOLO = `class { 'debherd': source => '/opt/debherd', manage_service => false }`;

const TRACES = `ls -d /etc/debherd /usr/share/debherd /usr/bin/debherd /var/lib/debherd \
  ${UNITS}/debherd.* /etc/apt/apt.conf.d/30debherd 2>/dev/null || :`;

// Puppet takes a machine for one with systemd by the name of process 1.
const STAND_IN_SYSTEMD = `
cat > /usr/bin/systemctl <<'STANDIN'
#!/bin/sh
unit=$3
case $1 in
is-active) [ -e /run/active.$unit ]; exit ;;
is-enabled) [ -e /run/enabled.$unit ] && echo enabled && exit; echo disabled; exit 1 ;;
start|restart) touch /run/active.$unit ;;
stop) rm -f /run/active.$unit ;;
enable) touch /run/enabled.$unit ;;
disable) rm -f /run/enabled.$unit ;;
*) exit 0 ;;
esac
echo "$1 $unit" >> /run/told
STANDIN
chmod 755 /usr/bin/systemctl
echo systemd > /run/comm
mount --bind /run/comm /proc/1/comm
`;

beforeAll(async () => {
  await ensureDebianPackages(['puppet', 'puppet-lint', 'systemd']);
}, 300 * SECONDS);

describe('the Puppet module', { timeout: 90 * SECONDS }, () => {
  let root: ThrowawayRoot;
  beforeEach(async () => {
    root = await openThrowawayRoot(REPO);
  });
  afterEach(() => root.close());

  test('parses and lints without a warning', async () => {
    const module = '/mnt/repo/deploy/puppet/debherd';
    const parsed = await root.sh(`cd ${module}; puppet parser validate .`);
    expect(parsed).toEqual({ code: 0, output: '' });
    const linted = await root.sh(`puppet-lint --fail-on-warnings ${module}`);
    expect(linted).toEqual({ code: 0, output: '' });
  });

  test('makes a member, changes nothing the second time, and a machine alone again', async () => {
    const log = await applied(root, MEMBER, CHANGED);
    await applied(root, MEMBER, UNCHANGED);

    expect(await read(root, '/etc/debherd/debherd.toml')).toBe(MEMBER_TOML);
    const owner = await root.sh(`stat -c '%a %U %G' ${KEY_FILE}`);
    expect(owner.output).toBe('640 root debherd\n');
    expect(await read(root, KEY_FILE)).toBe(KEY);
    expect(log).not.toContain(KEY);
    await unitsAreAccepted(root);

    await applied(root, SOLO, CHANGED);
    const left = await root.sh(`ls ${KEY_FILE} ${UNITS}/debherd.service.d`);
    expect(left.output).not.toContain('fleet-key.conf');
    expect(left.output).toContain(`cannot access '${KEY_FILE}'`);
    expect(await read(root, '/etc/debherd/debherd.toml')).toContain('tracker = []\n');
    // Removed means gone: not even Puppet's own backup has the key.
    const copies = await root.sh(`grep -rl ${KEY} /var/lib/puppet /var/cache/puppet || :`);
    expect(copies.output).not.toContain('bucket');
    await unitsAreAccepted(root);
    await probeSendsAptDirectly(root);
  });

  test('starts the port first, restarts the daemon alone, and takes everything away', async () => {
    const { code, output } = await root.sh(STAND_IN_SYSTEMD);
    expect(code, output).toBe(0);
    const told = async () => (await root.sh('cat /run/told; rm /run/told')).output;
    const member = (settings: string) =>
      `class { 'debherd': fleet_key => Sensitive('${KEY}'), source => '/opt/x', ${settings} }`;

    await applied(root, member(''), CHANGED);
    expect((await told()).match(/^start .*$/gm)).toEqual([
      'start debherd.socket',
      'start debherd.service',
    ]);
    await applied(root, member("cache_max => '5GiB'"), CHANGED);
    expect(await told()).toBe('restart debherd.service\n');

    await root.sh('mkdir -p /var/lib/debherd/objects && echo x > /var/lib/debherd/objects/x');
    expect((await root.sh(TRACES)).output.trim().split('\n')).toHaveLength(8);
    await applied(root, member('ensure => absent'), CHANGED);
    expect((await told()).match(/^stop .*$/gm)).toEqual([
      'stop debherd.socket',
      'stop debherd.service',
    ]);
    expect((await root.sh(TRACES)).output).toBe('');
    await applied(root, member('ensure => absent'), UNCHANGED);
  });

  test('installs a .deb that lies on the machine', async () => {
    await root.sh(`mkdir -p /tmp/d/DEBIAN /tmp/d/usr/bin; cd /tmp
      printf '#!/bin/sh\\n' > d/usr/bin/debherd; chmod 755 d/usr/bin/debherd
      printf 'Package: debherd\\nVersion: 1\\nArchitecture: all\\n' > d/DEBIAN/control
      printf 'Maintainer: x <x@mirror.example>\\nDescription: x\\n' >> d/DEBIAN/control
      dpkg-deb -b d /tmp/debherd.deb`);
    const fromDeb = "package_source => '/tmp/debherd.deb', manage_service => false";
    await applied(root, `class { 'debherd': ${fromDeb} }`, CHANGED);
    expect((await root.sh('dpkg-query -W debherd')).output).toBe('debherd\t1\n');
  });

  test('refuses values that cannot work and names each', async () => {
    const wrong = [
      ['trackers', "['http://tracker.example:3144']"],
      ['cache_max', "'20'"],
      ['peer_listen', `'0.0.0.0:3143"'`],
      ['source', "'/opt/deb herd'"],
    ];
    const settings = wrong.map((pair) => pair.join(' => ')).join(', ');
    const { code, output } = await apply(root, `class { 'debherd': ${settings} }`);
    expect([UNCHANGED, CHANGED]).not.toContain(code);
    for (const [name] of wrong) expect(output).toContain(`'${name}'`);

    const short = await apply(root, "class { 'debherd': fleet_key => Sensitive('short') }");
    expect([UNCHANGED, CHANGED]).not.toContain(short.code);
    expect(short.output).toContain('fleet_key is too short');
  });
});

async function unitsAreAccepted({ sh }: ThrowawayRoot): Promise<void> {
  const tracker = '/mnt/repo/deploy/systemd/debherd-tracker.service';
  const units = `${UNITS}/debherd.socket ${UNITS}/debherd.service ${tracker}`;
  expect(await sh(`systemd-analyze verify ${units}`)).toEqual({ code: 0, output: '' });
  // Exposure in tenths: a service without any sandbox has 96.
  const limit = 'systemd-analyze security --offline=yes --threshold=20 --no-pager';
  const exposure = await sh(`${limit} ${UNITS}/debherd.service && ${limit} ${tracker}`);
  expect(exposure.code, exposure.output).toBe(0);
}

async function probeSendsAptDirectly({ sh }: ThrowawayRoot): Promise<void> {
  // apt asks as _apt. Port 9 stands for a daemon that is not there, whatever this machine runs.
  const asApt = 'DEBHERD_APT_LISTEN=127.0.0.1:9 setpriv --reuid=_apt --clear-groups';
  const answer = await sh(`eval "$(apt-config shell probe Acquire::http::Proxy-Auto-Detect)"
    ${asApt} "$probe" http://mirror.example/debian/dists/x/InRelease`);
  expect(answer).toEqual({ code: 0, output: 'DIRECT\n' });
}

function apply({ sh }: Pick<ThrowawayRoot, 'sh'>, manifest: string) {
  return sh(`cat > /tmp/site.pp <<'PUPPET'
${manifest}
PUPPET
puppet apply --modulepath $REPO/deploy/puppet --detailed-exitcodes --color=false /tmp/site.pp`);
}

async function applied(root: Pick<ThrowawayRoot, 'sh'>, manifest: string, code: number) {
  const result = await apply(root, manifest);
  expect(result.code, result.output).toBe(code);
  return result.output;
}

async function read({ sh }: ThrowawayRoot, path: string): Promise<string> {
  return (await sh(`cat ${path}`)).output;
}
