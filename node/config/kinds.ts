// How the values of the configuration are written: text to value and back, each kind once.
import { isIP } from 'node:net';
import path from 'node:path';
import { KiB, MiB } from '../limits.ts';

/** Where a socket listens. */
export interface Listen {
  /** IP address without brackets, or a host name. */
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
}

/** A way to write a value. */
export interface Kind<T> {
  /** Stands for the value in help texts: `HOST:PORT`. */
  readonly placeholder: string;
  /**
   * `base` is the folder that relative paths start from. Throws BadValue, whose message says what
   * is wrong and how a right value looks.
   */
  parse(text: string, base: string): T;
  show(value: T): string;
}

/** A value that cannot be read; the message is the second half of a sentence for a person. */
export class BadValue extends Error {}

const hostName =
  /^(?=.{1,253}$)[a-z0-9]([a-z0-9_-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9_-]*[a-z0-9])?)*$/i;

/** `127.0.0.1`, `[::1]` or `archive.ubuntu.com`, without brackets; undefined when it is none. */
function parseHost(text: string): string | undefined {
  const bracketed = /^\[(.*)\]$/.exec(text)?.[1];
  if (bracketed !== undefined) return isIP(bracketed) === 6 ? bracketed : undefined;
  if (/^[\d.]+$/.test(text)) return isIP(text) === 4 ? text : undefined;
  return hostName.test(text) ? text.toLowerCase() : undefined;
}

function parsePort(text: string, lowest: number): number {
  const port = Number(text);
  if (!/^\d{1,6}$/.test(text) || port > 65535 || port < lowest) {
    throw new BadValue(`"${text}" is not a port; ports are ${lowest} to 65535`);
  }
  return port;
}

export function showHostPort({ host, port }: Listen): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
}

export const listen: Kind<Listen> = {
  placeholder: 'HOST:PORT',
  parse(text) {
    const [, hostText = '', portText] = /^(.*):([^:\]]*)$/.exec(text) ?? [];
    if (portText === undefined || hostText === '') {
      const port = /^:?(\d+)$/.exec(text)?.[1] ?? '3142';
      throw new BadValue(`write an address and a port, like 127.0.0.1:${port}`);
    }
    const port = parsePort(portText, 0);
    const host = parseHost(hostText);
    if (host !== undefined) return { host, port };
    if (isIP(hostText) === 6)
      throw new BadValue(`write IPv6 in brackets, like [${hostText}]:${port}`);
    throw new BadValue(`"${hostText}" is neither an IP address nor a host name`);
  },
  show: showHostPort,
};

const units: Record<string, number> = { b: 1, kb: 1e3, mb: 1e6, gb: 1e9, tb: 1e12 };
for (const [index, letter] of ['k', 'm', 'g', 't'].entries()) {
  units[letter] = KiB ** (index + 1);
  units[`${letter}ib`] = KiB ** (index + 1);
}

const shownUnits = { GiB: KiB * MiB, GB: 1e9, MiB, MB: 1e6, KiB, kB: 1e3 };

/** Bytes. `20GiB` and `20G` are powers of 1024, `20GB` of 1000. */
export const bytes: Kind<number> = {
  placeholder: 'SIZE',
  parse(text) {
    const [, amount = '', unit = ''] = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text) ?? [];
    const factor = units[unit.toLowerCase()];
    if (amount === '') throw new BadValue('write a size, like 20GiB or 500MB');
    if (unit === '') throw new BadValue(`write the size with its unit, like ${amount}GiB`);
    if (factor === undefined) throw new BadValue(`there is no unit "${unit}"; write it like 20GiB`);
    return Math.round(Number(amount) * factor);
  },
  show(value) {
    const fit = Object.entries(shownUnits).find(
      ([, factor]) => value >= factor && Number.isInteger((value / factor) * 10),
    );
    return fit === undefined ? `${value}B` : `${value / fit[1]}${fit[0]}`;
  },
};

const milliseconds = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Milliseconds. */
export const duration: Kind<number> = {
  placeholder: 'TIME',
  parse(text) {
    const [, amount, unit] = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)$/.exec(text) ?? [];
    if (amount === undefined)
      throw new BadValue('write a time with its unit (ms, s, m, h, d), like 30s');
    return Math.round(Number(amount) * milliseconds[unit as keyof typeof milliseconds]);
  },
  show(value) {
    const fit = (['d', 'h', 'm', 's'] as const).find(
      (unit) => value >= milliseconds[unit] && value % milliseconds[unit] === 0,
    );
    return fit === undefined ? `${value}ms` : `${value / milliseconds[fit]}${fit}`;
  },
};

/** An absolute path. */
export const filePath: Kind<string> = {
  placeholder: 'PATH',
  parse(text, base) {
    if (text.includes('\0')) throw new BadValue('a path has no NUL byte');
    return path.resolve(base, text);
  },
  show: (value) => value,
};

/** `https://host:port`, without a path; the port is 3144 where none is written. */
export const trackerUrl: Kind<string> = {
  placeholder: 'URL',
  parse(text) {
    const like = 'write it like https://tracker.example:3144';
    const [, scheme, hostText = '', portText, rest] =
      /^([a-z]+):\/\/(\[[^\]]*\]|[^:/?#@]*)(?::([^/?#]*))?(.*)$/i.exec(text) ?? [];
    if (scheme === undefined) throw new BadValue(`it is not a URL; ${like}`);
    if (scheme.toLowerCase() !== 'https')
      throw new BadValue(`a tracker speaks https only; ${like}`);
    const host = parseHost(hostText);
    if (host === undefined) throw new BadValue(`"${hostText}" is not a host; ${like}`);
    if (rest !== '' && rest !== '/') throw new BadValue(`a tracker has no path; ${like}`);
    return `https://${showHostPort({ host, port: parsePort(portText ?? '3144', 1) })}`;
  },
  show: (value) => value,
};

/** `host` or `host:port`, lower case. */
export const archiveHost: Kind<string> = {
  placeholder: 'HOST[:PORT]',
  parse(text) {
    const [, hostText = '', portText] = /^(\[[^\]]*\]|[^:]*)(?::(.*))?$/.exec(text) ?? [];
    const host = parseHost(hostText);
    if (host === undefined || portText?.startsWith('//')) {
      throw new BadValue('write a host, like mirror.example or mirror.example:8080');
    }
    const shown = isIP(host) === 6 ? `[${host}]` : host;
    return portText === undefined ? shown : `${shown}:${parsePort(portText, 1)}`;
  },
  show: (value) => value,
};

export const ipAddress: Kind<string> = {
  placeholder: 'ADDRESS',
  parse(text) {
    const address = /^\[(.*)\]$/.exec(text)?.[1] ?? text;
    if (isIP(address) === 0)
      throw new BadValue('write an IP address without a port, like 192.0.2.7');
    return address;
  },
  show: (value) => value,
};

export const label: Kind<string> = {
  placeholder: 'NAME',
  parse(text) {
    if (/^[A-Za-z0-9._-]{1,64}$/.test(text)) return text;
    throw new BadValue('a name has 1 to 64 letters, digits, dots, hyphens or underscores');
  },
  show: (value) => value,
};

export const yesNo: Kind<boolean> = {
  placeholder: 'yes|no',
  parse(text) {
    if (text === 'yes' || text === 'true') return true;
    if (text === 'no' || text === 'false') return false;
    throw new BadValue('write yes or no');
  },
  show: (value) => (value ? 'yes' : 'no'),
};

export function oneOf<const T extends string>(words: readonly T[]): Kind<T> {
  return {
    placeholder: words.join('|'),
    parse(text) {
      const word = words.find((each) => each === text);
      if (word === undefined) throw new BadValue(`write one of ${words.join(', ')}`);
      return word;
    },
    show: (value) => value,
  };
}

/** A whole number from `lowest` to `highest`. */
export function count(lowest: number, highest: number): Kind<number> {
  return {
    placeholder: 'N',
    parse(text) {
      const value = Number(text);
      if (/^\d+$/.test(text) && value >= lowest && value <= highest) return value;
      throw new BadValue(`write a whole number from ${lowest} to ${highest}`);
    },
    show: String,
  };
}
