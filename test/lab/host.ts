// One test host: runs programs inside its network namespace.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { adopt, type RunResult, run } from '../fixtures/process.ts';
import { treeOf, type Usage, usageOf } from './usage.ts';

export interface StartOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Standard output and error go there; default: nowhere. */
  readonly logFile?: string;
}

export class Host {
  readonly name: string;
  readonly address: string;
  readonly #namespace: string;

  constructor(name: string, address: string, namespace: string) {
    this.name = name;
    this.address = address;
    this.#namespace = namespace;
  }

  /** Starts a program that stays. */
  start(command: readonly string[], options: StartOptions = {}): LabProcess {
    const log = options.logFile === undefined ? 'ignore' : openSync(options.logFile, 'a');
    const child = spawn('nsenter', this.#inside(command), {
      env: { ...process.env, LC_ALL: 'C', ...options.env },
      stdio: ['pipe', log, log],
    });
    return new LabProcess(child, `${command[0]} on ${this.name}`);
  }

  /** Like `start`, with standard output for the caller. */
  startPiped(command: readonly string[], env: Readonly<Record<string, string>>): LabProcess {
    const child = spawn('nsenter', this.#inside(command), {
      env: { ...process.env, LC_ALL: 'C', ...env },
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    return new LabProcess(child, `${command[0]} on ${this.name}`);
  }

  /** Runs a program to its end. */
  run(command: readonly string[], timeoutMs = 60_000): Promise<RunResult> {
    return run('nsenter', this.#inside(command), { timeoutMs });
  }

  /** Body of a 2xx answer as the host sees it, or undefined. */
  async fetch(url: string): Promise<string | undefined> {
    const curl = ['curl', '--silent', '--fail', '--max-time', '10', '--noproxy', '*', url];
    const result = await this.run(curl);
    return result.code === 0 ? result.stdout.toString() : undefined;
  }

  #inside(command: readonly string[]): string[] {
    return [`--net=/run/netns/${this.#namespace}`, '--', ...command];
  }
}

export class LabProcess {
  readonly child: ChildProcess;
  readonly title: string;
  #usage: Usage = { cpuSeconds: 0, rssMax: 0 };
  #ended = false;

  constructor(child: ChildProcess, title: string) {
    this.child = child;
    this.title = title;
    adopt(child);
    child.stdin?.on('error', () => {});
    child.once('error', () => {
      this.#ended = true;
    });
    child.once('close', () => {
      this.#ended = true;
    });
  }

  get running(): boolean {
    return !this.#ended;
  }

  /** Cost so far; after the end, what `stop` saw last. */
  usage(): Usage {
    if (!this.#ended && this.child.pid !== undefined) this.#usage = usageOf(this.child.pid);
    return this.#usage;
  }

  /** Signals the process and its descendants; SIGKILL follows after `graceMs`. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', graceMs = 5000): Promise<void> {
    const { pid } = this.child;
    if (this.#ended || pid === undefined) return;
    this.usage();
    const closed = once(this.child, 'close');
    const family = treeOf(pid);
    for (const each of signal === 'SIGKILL' ? family : [pid]) send(each, signal);
    await Promise.race([closed, sleep(graceMs, undefined, { ref: false })]);
    if (this.#ended) return;
    for (const each of [...new Set([...family, ...treeOf(pid)])]) send(each, 'SIGKILL');
    await closed;
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended by itself.
  }
}
