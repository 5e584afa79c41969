// What a verb of the command line is; each has a file of its own beside this one.
import type { ConfigField, LoadedConfig } from '../../config/table.ts';
import type { InheritedSocket } from '../../platform/listen-fds.ts';

export interface Verb {
  /** One line, for the list of verbs. */
  readonly summary: string;
  /** Keys of the configuration that it takes as flags. */
  readonly fields: readonly ConfigField[];
  /** Flags that are shorter here than the key they set. */
  readonly flags?: Partial<Record<ConfigField, string>>;
  readonly defaults?: Partial<Record<ConfigField, string>>;
  readonly required?: readonly ConfigField[];
  /** Flags without a value, with their help. */
  readonly switches?: Readonly<Record<string, string>>;
  /** Resolves to the exit code. What it needs besides the table is loaded only here. */
  perform(call: Call): Promise<number>;
}

export interface Call {
  /** The configuration from flags, environment and file. Throws ConfigError. */
  load(): LoadedConfig;
  /** Switches that were given. */
  readonly on: ReadonlySet<string>;
  readonly sockets: readonly InheritedSocket[];
}
