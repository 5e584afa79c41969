// The rules of the source, each a function from sources to complaints. Each is itself tested.
import path from 'node:path';
import { adapter, rooms, trackerServer } from './layers.ts';
import { isNode, type Source, type SyntaxNode } from './source.ts';

/** `node/a.ts:3: what is wrong and what to do instead`. */
export type Complaint = string;

const at = (source: Source, line: number, what: string): Complaint =>
  `${source.path}:${line}: ${what}`;

export function longLines(source: Source): Complaint[] {
  return source.lines.flatMap((line, index) =>
    [...line].length > 100 ? [at(source, index + 1, 'over 100 columns')] : [],
  );
}

const functionTypes = new Set([
  'FunctionDeclaration',
  'FunctionExpression',
  'ArrowFunctionExpression',
]);

/** Groups of tests and contract suites may be long, one test may not. */
export function longFunctions(source: Source): Complaint[] {
  return source.nodes.flatMap(({ node, above }) => {
    if (!functionTypes.has(node.type)) return [];
    const call = above[0];
    const isSuite = source.path.endsWith('.contract.ts') && above.length < 3;
    if (isSuite) return [];
    if (call?.type === 'CallExpression' && textOf(source, call.callee).startsWith('describe'))
      return [];
    const [first, last] = [source.lineAt(node.start), source.lineAt(node.end)];
    const length = last - first + 1;
    return length > 70 ? [at(source, first, `a function of ${length} lines; at most 70`)] : [];
  });
}

const words = ['FIX' + 'ME', 'TO' + 'DO', 'X' + 'XX'];

export function unfinished(file: string, text: string): Complaint[] {
  const word = new RegExp(`\\b(${words.join('|')})\\b`);
  return text.split('\n').flatMap((line, index) => {
    const found = word.exec(line)?.[1];
    return found === undefined ? [] : [`${file}:${index + 1}: ${found}; do it or open an issue`];
  });
}

function textOf(source: Source, node: unknown): string {
  return isNode(node) ? source.text.slice(node.start, node.end) : '';
}

const clock = 'take a Clock (node/platform/clock.ts)';
const random = 'take a Random (node/platform/random.ts)';
const bannedCalls: Readonly<Record<string, string>> = {
  'Date.now': `${clock}: nowMs()`,
  'performance.now': `${clock}: monotonicMs()`,
  'process.hrtime': `${clock}: monotonicMs()`,
  'process.hrtime.bigint': `${clock}: monotonicMs()`,
  setTimeout: `${clock}: after()`,
  setInterval: `${clock}: every()`,
  setImmediate: `${clock}: after(0)`,
  'AbortSignal.timeout': `${clock}: after() and an AbortController`,
  'Math.random': `${random}: next()`,
  'crypto.randomUUID': `${random}: bytes()`,
  'crypto.randomBytes': `${random}: bytes()`,
  'crypto.getRandomValues': `${random}: bytes()`,
};
const bannedImports = new Set([
  'randomBytes',
  'randomUUID',
  'randomInt',
  'randomFillSync',
  'randomFill',
]);

/** Time and chance are injected, so that a fleet fits in a simulation. */
export function timeAndChance(source: Source): Complaint[] {
  if (!/^(node|tracker)\//.test(source.path) || source.path.startsWith('node/platform/')) return [];
  const uses = source.nodes.flatMap(({ node, above }) => {
    const line = source.lineAt(node.start);
    if (node.type === 'NewExpression' && textOf(source, node.callee) === 'Date') {
      const empty = Array.isArray(node.arguments) && node.arguments.length === 0;
      return empty ? [at(source, line, `new Date(): ${clock}: nowMs()`)] : [];
    }
    if (node.type !== 'MemberExpression' && !isFreeIdentifier(node, above[0])) return [];
    const text = textOf(source, node).replace(/^globalThis\./, '');
    const instead = Object.hasOwn(bannedCalls, text) ? bannedCalls[text] : undefined;
    return instead === undefined ? [] : [at(source, line, `${text}: ${instead}`)];
  });
  const imports = source.imports.flatMap(({ specifier, names = [], line }) => {
    if (/^node:timers/.test(specifier)) return [at(source, line, `${specifier}: ${clock}`)];
    return names
      .filter((name) => specifier === 'node:crypto' && bannedImports.has(name))
      .map((name) => at(source, line, `${name}: ${random}: bytes()`));
  });
  return [...uses, ...imports];
}

const decoders = new Set(['decodeURI', 'decodeURIComponent']);

/** What others escape need not be UTF-8, and then these throw where nobody expects it. */
export function throwingDecoders(source: Source): Complaint[] {
  if (!/^(node|tracker)\//.test(source.path)) return [];
  if (source.path === 'node/apt/percent-encoding.ts') return [];
  return source.nodes.flatMap(({ node, above }) =>
    isFreeIdentifier(node, above[0]) && decoders.has(String(node.name))
      ? [at(source, source.lineAt(node.start), `${node.name} throws: take unescapeText()`)]
      : [],
  );
}

/** Not `x.setTimeout`, `{ setTimeout: … }` or a method of that name. */
function isFreeIdentifier(node: SyntaxNode, parent: SyntaxNode | undefined): boolean {
  if (node.type !== 'Identifier') return false;
  const named = parent?.type === 'MemberExpression' ? parent.property : parent?.key;
  return named !== node;
}

export function importLayers(source: Source): Complaint[] {
  if (!/^(node|tracker)\//.test(source.path)) return [];
  const own = levelOf(source.path);
  if (own < 0) return [at(source, 1, 'in no room; add one to test/tidy/layers.ts')];
  return source.imports.flatMap(({ target, line }) => {
    const reason = target === undefined ? undefined : whyNot(source.path, own, target);
    return reason === undefined ? [] : [at(source, line, reason)];
  });
}

/** Of a file's room, counted from the top; below 0: in none. */
function levelOf(file: string): number {
  return rooms.findIndex(({ of }) => of.test(file));
}

/** Why a file of room `own` may not import `target`. */
function whyNot(file: string, own: number, target: string): string | undefined {
  const other = levelOf(target);
  if (other < own) return `may not import ${target}; imports run down`;
  if (other === own) return undefined;
  const { name, sees } = rooms[own]!;
  if (sees && !sees.includes(rooms[other]!.name)) {
    return `${name} may not import ${target}; it sees only ${sees.join(', ')}`;
  }
  const starts = name === 'node' || name === 'cli';
  if (trackerServer.test(target) && !starts) {
    return `${target} is the tracker's server; only node/node.ts and node/cli start one`;
  }
  const near = path.posix.dirname(file) === path.posix.dirname(target);
  if (adapter.test(target) && !near && name !== 'node') {
    return `${target} is an adapter; only node/node.ts imports those`;
  }
  return undefined;
}

/** What a package can do is known to one file; exchanging it changes one file. */
export function onePackageOneImporter(sources: readonly Source[]): Complaint[] {
  const importers = new Map<string, Set<string>>();
  // Declarations of an untyped package name their neighbours, but load nothing.
  const loading = sources.filter(({ path: file }) => !file.endsWith('.d.ts'));
  for (const source of loading.filter(({ path: file }) => /^(node|tracker)\//.test(file))) {
    for (const { specifier } of source.imports) {
      if (/^(\.|node:)/.test(specifier)) continue;
      const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
      importers.set(name, (importers.get(name) ?? new Set()).add(source.path));
    }
  }
  return [...importers]
    .filter(([, files]) => files.size > 1)
    .map(([name, files]) => `${name} has several importers: ${[...files].sort().join(', ')}`);
}

/**
 * Keys of the configuration that are read: `config.cacheMax`, also of `x.config`, and
 * `{ cacheMax }` of `config` or of a parameter of the type `Config`.
 */
export function configReads(source: Source): Set<string> {
  return new Set(
    source.nodes.flatMap(({ node, above }) => {
      if (node.type === 'MemberExpression' && node.computed !== true) {
        return isConfig(source, node.object) ? [textOf(source, node.property)] : [];
      }
      if (node.type !== 'ObjectPattern') return [];
      const owner = above[0];
      const value = owner?.type === 'VariableDeclarator' ? owner.init : undefined;
      const key = owner?.type === 'Property' ? owner.key : undefined;
      const typed = /^:\s*Config$/.test(textOf(source, node.typeAnnotation));
      return typed || isConfig(source, value) || isConfig(source, key) ? keysOf(source, node) : [];
    }),
  );
}

function isConfig(source: Source, node: unknown): boolean {
  return /^(\w+\.)*config$/.test(textOf(source, node));
}

/** `a` and `b` of `{ a, b: c }`. */
function keysOf(source: Source, pattern: SyntaxNode): string[] {
  const properties = (pattern.properties as SyntaxNode[]).filter(({ type }) => type === 'Property');
  return properties.map(({ key }) => textOf(source, key));
}

/**
 * What is added to counters: the first argument of `counters.add()`, both of a choice, what a
 * variable or a function of the same file gives that is named there, and `*` for a word that is
 * filled in.
 */
export function countedNames(source: Source): Set<string> {
  return new Set(
    source.nodes.flatMap(({ node }) => {
      const isAdd = /(^|\.)counters\.add$/.test(textOf(source, node.callee));
      if (node.type !== 'CallExpression' || !isAdd) return [];
      return namesGiven(source, (node.arguments as SyntaxNode[])[0]);
    }),
  );
}

function namesGiven(source: Source, node: unknown): string[] {
  if (!isNode(node)) return [];
  if (node.type === 'Literal') return [String(node.value)];
  if (node.type === 'TemplateLiteral') {
    const parts = node.quasis as { value: { raw: string } }[];
    return [parts.map(({ value }) => value.raw).join('*')];
  }
  if (node.type === 'ConditionalExpression') {
    return [node.consequent, node.alternate].flatMap((each) => namesGiven(source, each));
  }
  const name = textOf(source, node.type === 'CallExpression' ? node.callee : node);
  const isNamed = ({ id }: SyntaxNode) => textOf(source, id) === name;
  return source.nodes.flatMap(({ node: given, above }) => {
    if (given.type === 'VariableDeclarator' && isNamed(given))
      return namesGiven(source, given.init);
    const isReturn = given.type === 'ReturnStatement' && above.some(isNamed);
    return isReturn ? namesGiven(source, given.argument) : [];
  });
}

/** Hosts that everybody's machine has; anything else in a machine's sources is its own business. */
const publicHosts =
  /(^|\.)(ubuntu\.com|debian\.org|launchpad\.net|launchpadcontent\.net|npmjs\.org|example)$/;

/** Hosts of URLs in apt sources and npm's configuration that must not be told to the world. */
export function privateHosts(configuration: string): string[] {
  const hosts = [...configuration.matchAll(/\bhttps?:\/\/(?:[^/\s@]*@)?([^/\s:"']+)/g)].map(
    ([, host = '']) => host.toLowerCase(),
  );
  return [...new Set(hosts)].filter(
    (host) => !publicHosts.test(host) && !/^(localhost|127\.)/.test(host),
  );
}

/** `secrets` are host names and folders of the machine that runs the test. */
export function machineTraces(file: string, text: string, secrets: readonly string[]): Complaint[] {
  return secrets
    .filter((secret) => {
      const escaped = secret.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
      return new RegExp(`(?<![\\w.-])${escaped}(?![\\w-])`, 'i').test(text);
    })
    .map(
      () =>
        `${file}: names a host or a folder of this machine; use mirror.example or a relative path`,
    );
}

interface Known {
  readonly scripts: readonly string[];
  readonly verbs: readonly string[];
  /** Flags of a verb, with their dashes. */
  flagsOf(verb: string): readonly string[];
}

/** Scripts, verbs and flags that a document tells people to type. */
export function typedCommands(file: string, text: string, known: Known): Complaint[] {
  return text.split('\n').flatMap((line, index) => {
    const place = `${file}:${index + 1}`;
    const scripts = [...line.matchAll(/(?:`|^\s*(?:\$ )?)npm (?:run )?(?:-s )?([a-z][\w-]*)/g)]
      .map(([, script = '']) => script)
      .filter(
        (script) => !known.scripts.includes(script) && !['ci', 'run', 'install'].includes(script),
      )
      .map((script) => `${place}: there is no "npm run ${script}"`);
    const commands = [...line.matchAll(/(?:`|^\s*(?:\$ )?|sudo )debherd ([a-z-]+)([^`]*)/g)];
    const verbs = commands.flatMap(([, verb = '', rest = '']) => {
      if (!known.verbs.includes(verb)) return [`${place}: there is no verb "${verb}"`];
      return [...rest.matchAll(/(?<!\S)--[a-z-]+/g)]
        .filter(([flag]) => !known.flagsOf(verb).includes(flag))
        .map(([flag]) => `${place}: debherd ${verb} has no ${flag}`);
    });
    return [...scripts, ...verbs];
  });
}
