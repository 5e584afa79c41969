// Asks this machine's daemon over its Unix socket, and says in one line why it does not answer.
import { readFileSync, statSync } from 'node:fs';
import { get, type IncomingMessage } from 'node:http';
import { dirname } from 'node:path';
import { reasonOf } from '../errors.ts';

const ANSWER_WITHIN_MS = 5_000;

/** Nobody answered, or not as hoped. The message is one line that says what to do. */
export class NoAnswer extends Error {}

/** The JSON answer to `GET path`. Throws NoAnswer. */
export async function askDaemon<T>(socketPath: string, path: string): Promise<T> {
  let answer: Answer;
  try {
    answer = await fetchText(socketPath, path);
  } catch (error) {
    throw new NoAnswer(explain(error, socketPath));
  }
  const json = parse(answer.text);
  if (answer.status === 200 && json !== undefined) return json as T;
  const { message = 'it sent no JSON' } = (json ?? {}) as { message?: string };
  throw new NoAnswer(`the daemon at ${socketPath} answered ${answer.status}: ${message}`);
}

interface Answer {
  readonly status: number | undefined;
  readonly text: string;
}

function fetchText(socketPath: string, path: string): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const request = get({ socketPath, path, agent: false, timeout: ANSWER_WITHIN_MS });
  request.once('timeout', () => request.destroy(timeout()));
  request.once('error', reject);
  request.once('response', (response: IncomingMessage) => {
    const chunks: Buffer[] = [];
    response.on('data', (chunk: Buffer) => chunks.push(chunk));
    response.once('error', reject);
    response.once('end', () => {
      resolve({ status: response.statusCode, text: Buffer.concat(chunks).toString() });
    });
  });
  return promise;
}

function timeout(): Error {
  return Object.assign(new Error(`no answer in ${ANSWER_WITHIN_MS / 1000} s`), { code: 'LATE' });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function explain(error: unknown, socketPath: string): string {
  switch ((error as NodeJS.ErrnoException).code) {
    case 'ENOENT':
    case 'ECONNREFUSED':
      return (
        `no debherd runs on this machine (${socketPath} does not answer): ` +
        'start it with systemctl start debherd, or see systemctl status debherd'
      );
    case 'EACCES':
      return `only root and the group ${groupOf(socketPath)} may ask debherd: try it with sudo`;
    default:
      return `the debherd at ${socketPath} does not answer: ${reasonOf(error)}`;
  }
}

/** Of the nearest folder that may be looked at: the socket's own is closed to others. */
function groupOf(socketPath: string): string {
  for (const path of [socketPath, dirname(socketPath)]) {
    try {
      const { gid } = statSync(path);
      const group = new RegExp(`^([^:]+):[^:]*:${gid}:`, 'm');
      return group.exec(readFileSync('/etc/group', 'utf8'))?.[1] ?? String(gid);
    } catch {
      // The next one.
    }
  }
  return 'of the daemon';
}
