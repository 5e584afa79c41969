import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, expect, test } from 'vitest';
import { RawClient } from '../support/raw-client.ts';

const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Perl is on every Debian; it holds the socket as a service manager does, on descriptor 3. */
const holder = `
use Socket; $^F = 9; $| = 1;
socket(my $s, PF_INET, SOCK_STREAM, 0); bind($s, sockaddr_in(0, INADDR_LOOPBACK)); listen($s, 128);
die "descriptor " . fileno($s) unless fileno($s) == 3;
pipe(my $r, my $w);
print "port ", (sockaddr_in(getsockname($s)))[0], "\\n";
for (;;) {
  my $pid = fork;
  if (!$pid) { close $w; open(STDIN, '<&', $r); open(STDOUT, '>/dev/null'); exec @ARGV; }
  print "pid $pid\\n"; waitpid($pid, 0); print "dead $pid\\n"; <STDIN> // exit;
}`;

test('behind an inherited socket kill -9 and a restart cost a client only time', async () => {
  const stub = join(import.meta.dirname, '../support/stub-door.ts');
  const perl = spawn('perl', ['-e', holder, process.execPath, stub, '3'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface(perl.stdout)[Symbol.asyncIterator]();
  const next = async () => Number(String((await lines.next()).value).split(' ')[1]);
  const port = await next();
  const pid = await next();
  cleanups.push(() => {
    // The pipe's end goes with perl, and the door ends with its standard input.
    perl.kill('SIGKILL');
    return once(perl, 'exit');
  });
  const request = 'GET http://archive.ubuntu.com/420 HTTP/1.0\r\n\r\n';
  const before = await (await RawClient.to(port)).send(request).answer();
  expect(before.body).toHaveLength(420);
  process.kill(pid, 'SIGKILL');
  await next();
  // Nobody runs: the connection waits in the backlog.
  const client = (await RawClient.to(port)).send(request);
  perl.stdin.write('go\n');
  expect((await client.answer()).status).toBe(200);
});
