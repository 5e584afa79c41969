// Real apt on every node, all released at one moment.
import type { LabNode, LabRun, Scenario } from './run.ts';

/** Waits for a line, works, and reports each step's exit code on standard output. */
function scriptOf(run: LabRun, node: LabNode, work: Scenario['work']): string {
  const log = (step: string) => `>${node.apt.dir}/log/${step}.log 2>&1`;
  const flags = '-y --download-only --no-install-recommends';
  const packages = run.archive.install.join(' ');
  const update = `apt-get -q -o APT::Update::Error-Mode=any update ${log('update')}`;
  const install = `apt-get -q ${flags} install ${packages} ${log('install')}`;
  return [
    'read go',
    ...(work === 'install' ? [] : [update, 'echo "update $?"']),
    ...(work === 'update' ? [] : [install, 'echo "install $?"']),
  ].join('\n');
}

export interface Herd {
  /** Lets everyone go; resolves when all have ended or `timeoutMs` has passed. */
  go(timeoutMs: number): Promise<void>;
}

export function gatherHerd(run: LabRun, scenario: Scenario): Herd {
  const timed = run.nodes.filter((node) => node.timed);
  for (const node of timed) {
    const script = scriptOf(run, node, scenario.work);
    node.client = node.host.startPiped(['sh', '-c', script], node.apt.env);
  }
  return { go: (timeoutMs) => release(run, scenario, timed, timeoutMs) };
}

async function release(
  run: LabRun,
  scenario: Scenario,
  nodes: readonly LabNode[],
  timeoutMs: number,
): Promise<void> {
  const begin = performance.now();
  const delays: NodeJS.Timeout[] = [];
  const ends = nodes.map((node) => {
    const delay = scenario.delayMs?.(node, run) ?? 0;
    const ended = follow(node, begin + delay);
    const start = () => node.client?.child.stdin?.end('go\n');
    if (delay > 0) delays.push(setTimeout(start, delay));
    else start();
    return ended;
  });
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  await Promise.race([Promise.all(ends), timeout]);
  clearTimeout(timer);
  for (const delay of delays) clearTimeout(delay);
  await Promise.all(nodes.map((node) => node.client?.stop('SIGKILL')));
}

/** Records what the node's script reports; resolves at its end. */
function follow(node: LabNode, begin: number): Promise<void> {
  const { child } = node.client ?? {};
  if (!child?.stdout) return Promise.resolve();
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString();
    for (const [, step, code] of text.matchAll(/^(update|install) (\d+)\n/gm)) {
      if (step === 'update') node.update = Number(code);
      else node.install = Number(code);
    }
  });
  return new Promise((resolve) => {
    child.once('close', () => {
      node.finishedMs = performance.now() - begin;
      resolve();
    });
  });
}
