// The rules of how modules hang together, over all sources at once.
import type { Complaint } from './rules.ts';
import type { Source } from './source.ts';

/** Who would understand one file of a circle must read them all. Imports of types count. */
export function moduleCircles(sources: readonly Source[]): Complaint[] {
  const targets = new Map(
    sources.filter(isShipped).map((source) => [source.path, targetsOf(source)]),
  );
  const circles: Complaint[] = [];
  const done = new Set<string>();
  const follow = (file: string, way: readonly string[]) => {
    const start = way.indexOf(file);
    if (start >= 0) circles.push(`a circle: ${[...way.slice(start), file].join(' > ')}`);
    if (start >= 0 || done.has(file)) return;
    for (const target of targets.get(file) ?? []) follow(target, [...way, file]);
    done.add(file);
  };
  for (const file of targets.keys()) follow(file, []);
  return circles;
}

/**
 * Exported values that only tests use. `except`: stand-ins that tests share with the lab, by path
 * or by name. Types may be exported for whoever reads a signature.
 */
export function deadExports(sources: readonly Source[], except: RegExp): Complaint[] {
  const shipped = sources.filter(isShipped);
  const imported = new Set(shipped.flatMap(importedNames));
  return shipped.flatMap((source) =>
    source.exports
      .filter(({ name, isType }) => {
        if (isType || except.test(`${source.path} ${name}`)) return false;
        const used = imported.has(`${source.path} ${name}`) || imported.has(`${source.path} *`);
        return !used && mentions(source, name) < 2;
      })
      .map(({ name, line }) => `${source.path}:${line}: nobody but tests uses ${name}; remove it`),
  );
}

function isShipped({ path }: Source): boolean {
  return /^(node|tracker)\//.test(path) && !path.endsWith('.d.ts');
}

function targetsOf({ imports }: Source): string[] {
  return imports.flatMap(({ target }) => target ?? []);
}

/** `path name` for each name, `path *` for a module as a whole. */
function importedNames({ imports }: Source): string[] {
  return imports.flatMap(({ target, names = ['*'] }) => names.map((name) => `${target} ${name}`));
}

/** How often a name stands in its own file, where it is declared included. */
function mentions(source: Source, name: string): number {
  return source.nodes.filter(({ node }) => node.type === 'Identifier' && node.name === name).length;
}
