// `debherd status`: what this machine's daemon does.
import type { StatusReport } from '../../doors/status/report.ts';
import { pause } from '../../platform/pause.ts';
import type { Verb } from './verb.ts';

const PERIOD_MS = 1_000;

export const status: Verb = {
  summary: 'tell what the daemon of this machine does',
  fields: ['state', 'runtime'],
  switches: {
    json: 'the report as it is, for programs',
    watch: 'again every second, until Ctrl-C; with --json a line each time',
  },
  async perform({ load, on }) {
    const { askDaemon, NoAnswer } = await import('../control-client.ts');
    const { controlSocket } = await import('../../doors/control/socket.ts');
    const { redrawn, statusText } = await import('../status-text.ts');
    const { stdout } = process;
    const socket = controlSocket(load().config.runtime);
    const watch = on.has('watch');
    const show = (report: StatusReport) => {
      if (on.has('json')) return `${JSON.stringify(report, null, watch ? 0 : 1)}\n`;
      const text = statusText(report);
      return watch && stdout.isTTY ? redrawn(text, stdout) : text;
    };
    if (watch) endQuietly();
    try {
      do {
        stdout.write(show(await askDaemon<StatusReport>(socket, '/v1/status')));
        if (watch) await pause(PERIOD_MS);
      } while (watch);
      return 0;
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      process.stderr.write(`debherd: ${error.message}\n`);
      return 1;
    }
  },
};

/** Who watched has seen enough, or reads no more. */
function endQuietly(): void {
  const end = () => process.exit(0);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, end);
  process.stdout.once('error', end);
}
