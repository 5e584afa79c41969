// The Puppet module: real puppet, applied for real to a throw-away copy of this machine. systemd
// does not run there: units are checked by systemd-analyze, and where the module is to start them,
// a stand-in for systemctl notes what it is told.
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { ensureDebianPackages } from '../fixtures/debian-packages.ts';
import { openThrowawayRoot, type ThrowawayRoot } from '../fixtures/throwaway-root.ts';

const REPO = fileURLToPath(new URL('../..', import.meta.url));
const SECONDS = 1000;
// Exit codes of --detailed-exitcodes.
const UNCHANGED = 0;
const CHANGED = 2;

const MEMBER = `class { 'debherd':
  fleet_key      => Sensitive('0123456789abcdef0123456789abcdef'),
  trackers       => ['https://tracker.example:3144', 'https://10.0.0.2:3144'],
  cache_max      => '20GiB',
  source         => '/opt/debherd',
  manage_service => false,
}`;
const SOLO = `class { 'debherd': source => '/opt/debherd', manage_service => false }`;
const GONE = `class { 'debherd':
  ensure => absent, source => '/opt/debherd', manage_service => false,
}`;

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
  let root: ThrowawayRoot | undefined;
  afterEach(() => root?.close());

  async function machine(): Promise<ThrowawayRoot> {
    root = await openThrowawayRoot(REPO);
    return root;
  }

  test('parses and lints without a warning', async () => {
    const { sh } = await machine();
    const module = '/mnt/repo/deploy/puppet/debherd';
    expect(
      await sh(`cd ${module}; puppet parser validate . && puppet epp validate templates/*.epp`),
    ).toMatchObject({ code: 0 });
    expect(await sh(`puppet-lint --fail-on-warnings ${module}`)).toEqual({ code: 0, output: '' });
  });

  test('makes a member from a key and trackers; the second run changes nothing', async () => {
    const machine1 = await machine();
    const first = await applied(machine1, MEMBER, CHANGED);
    expect(first).not.toContain('0123456789abcdef');
    await applied(machine1, MEMBER, UNCHANGED);

    expect(await read(machine1, '/etc/debherd/debherd.toml')).toBe(
      [
        '# Managed by Puppet.',
        'peer-listen = "0.0.0.0:3143"',
        'state = "/var/lib/debherd"',
        'tracker = ["https://tracker.example:3144", "https://10.0.0.2:3144"]',
        'cache-max = "20GiB"',
        '',
      ].join('\n'),
    );
    expect((await machine1.sh("stat -c '%a %U %G' /etc/debherd/fleet.key")).output).toBe(
      '640 root debherd\n',
    );
    expect(await read(machine1, '/etc/debherd/fleet.key')).toBe('0123456789abcdef0123456789abcdef');
    // Nobody else gets at the key, not through Puppet's own copies either.
    expect(
      (await machine1.sh('grep -rl 0123456789abcdef /var/lib/puppet /var/cache/puppet || :'))
        .output,
    ).toBe('');
  });

  test('units that systemd accepts, closed to what they do not need', async () => {
    const { sh } = await machine();
    await applied({ sh }, MEMBER, CHANGED);
    const units = '/etc/systemd/system';
    expect(
      await sh(`systemd-analyze verify ${units}/debherd.service ${units}/debherd.socket`),
    ).toEqual({ code: 0, output: '' });
    const tracker = '/mnt/repo/deploy/systemd/debherd-tracker.service';
    expect(await sh(`systemd-analyze verify ${tracker}`)).toEqual({ code: 0, output: '' });
    // Exposure from 0.0 to 10.0, here in tenths of it; a plain service has 9.6.
    for (const unit of [`${units}/debherd.service`, tracker]) {
      const { code, output } = await sh(
        `systemd-analyze security --offline=yes --threshold=20 --no-pager ${unit}`,
      );
      expect(output.trim().split('\n').at(-1)).toContain('OK');
      expect(code).toBe(0);
    }
  });

  test('apt finds the probe where the snippet says, and without a daemon goes directly', async () => {
    const { sh } = await machine();
    await applied({ sh }, SOLO, CHANGED);
    const probe = 'p=$(apt-config shell p Acquire::http::Proxy-Auto-Detect); eval "$p"';
    // Port 9 stands for a daemon that is not there, whatever runs on this machine.
    const ask = `${probe}; DEBHERD_APT_LISTEN=127.0.0.1:9 setpriv --reuid=_apt --clear-groups "$p"`;
    expect(await sh(`${ask} http://mirror.example/debian/dists/x/InRelease`)).toEqual({
      code: 0,
      output: 'DIRECT\n',
    });
  });

  test('a machine alone has no key; one that leaves the fleet loses its key', async () => {
    const machine1 = await machine();
    await applied(machine1, MEMBER, CHANGED);
    await applied(machine1, SOLO, CHANGED);
    const key = '/etc/debherd/fleet.key /etc/systemd/system/debherd.service.d/fleet-key.conf';
    expect((await machine1.sh(`ls ${key} 2>/dev/null || :`)).output).toBe('');
    expect(await read(machine1, '/etc/debherd/debherd.toml')).toContain('tracker = []\n');
  });

  test('ensure => absent takes away everything, the cache too; twice is once', async () => {
    const machine1 = await machine();
    const traces =
      'ls -d /etc/debherd /usr/share/debherd /usr/bin/debherd /etc/systemd/system/debherd*' +
      ' /etc/apt/apt.conf.d/30debherd /var/lib/debherd 2>/dev/null || :; getent passwd debherd || :';
    await applied(machine1, MEMBER, CHANGED);
    await machine1.sh('mkdir -p /var/lib/debherd/objects && echo x > /var/lib/debherd/objects/x');
    expect((await machine1.sh(traces)).output.split('\n').length).toBeGreaterThan(7);
    await applied(machine1, GONE, CHANGED);
    expect((await machine1.sh(traces)).output).toBe('');
    await applied(machine1, GONE, UNCHANGED);
  });

  test('installs a .deb that lies on the machine', async () => {
    const machine1 = await machine();
    await machine1.sh(`mkdir -p /tmp/d/DEBIAN /tmp/d/usr/bin; cd /tmp
      printf '#!/bin/sh\\n' > d/usr/bin/debherd; chmod 755 d/usr/bin/debherd
      printf 'Package: debherd\\nVersion: 1\\nArchitecture: all\\n' > d/DEBIAN/control
      printf 'Maintainer: x <x@mirror.example>\\nDescription: x\\n' >> d/DEBIAN/control
      dpkg-deb -b d /tmp/debherd.deb`);
    const deb = `class { 'debherd':
      package_source => '/tmp/debherd.deb', manage_service => false }`;
    await applied(machine1, deb, CHANGED);
    expect((await machine1.sh('dpkg-query -W debherd')).output).toBe('debherd\t1\n');
    await applied(machine1, deb, UNCHANGED);
  });

  test('starts the port before the daemon and then restarts the daemon alone', async () => {
    const machine1 = await machine();
    const { code, output } = await machine1.sh(STAND_IN_SYSTEMD);
    expect(code, output).toBe(0);
    const told = () => machine1.sh('cat /run/told; rm /run/told');
    const service = (settings: string) =>
      `class { 'debherd': source => '/opt/debherd', ${settings} }`;

    await applied(machine1, service(''), CHANGED);
    expect((await told()).output.match(/^start .*$/gm)).toEqual([
      'start debherd.socket',
      'start debherd.service',
    ]);
    await applied(machine1, service(''), UNCHANGED);
    await applied(machine1, service("cache_max => '5GiB'"), CHANGED);
    expect((await told()).output).toBe('restart debherd.service\n');
    await applied(machine1, service('ensure => absent'), CHANGED);
    expect((await told()).output.match(/^stop .*$/gm)).toEqual([
      'stop debherd.socket',
      'stop debherd.service',
    ]);
    await applied(machine1, service('ensure => absent'), UNCHANGED);
  });

  test.each([
    ['a key that is too short', `fleet_key => Sensitive('short')`, 'fleet_key'],
    ['a tracker without TLS', `trackers => ['http://tracker.example:3144']`, 'trackers'],
    ['a size without a unit', `cache_max => '20'`, 'cache_max'],
    ['a quote in an address', `peer_listen => '0.0.0.0:3143"'`, 'peer_listen'],
  ])('refuses %s and names it', async (_what, setting, name) => {
    const { sh } = await machine();
    const { code, output } = await apply({ sh }, `class { 'debherd': ${setting} }`);
    expect(code).not.toBe(UNCHANGED);
    expect(output).toContain(name);
  });
});

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
