// Which programs a test file starts, itself or through what it imports.
import path from 'node:path';
import type { Source, SyntaxNode } from './source.ts';

const starters = new Set(['spawn', 'spawnSync', 'execFile', 'execFileSync', 'run', 'runOrThrow']);

/** Names of the programs that `source` itself starts, as far as they are written there. */
export function programsStarted({ nodes }: Source): string[] {
  return nodes.flatMap(({ node }) => {
    if (node.type !== 'CallExpression') return [];
    const callee = node.callee as SyntaxNode;
    const [first] = node.arguments as SyntaxNode[];
    const starts = callee.type === 'Identifier' && starters.has(String(callee.name));
    return starts && typeof first?.value === 'string' ? [path.posix.basename(first.value)] : [];
  });
}

/** `file` and all that it imports, with what those import. */
export function closureOf(file: string, sources: ReadonlyMap<string, Source>): Source[] {
  const reached = new Map<string, Source>();
  const visit = (at: string) => {
    const source = sources.get(at);
    if (source === undefined || reached.has(at)) return;
    reached.set(at, source);
    for (const { specifier } of source.imports) {
      if (specifier.startsWith('.')) visit(path.posix.join(path.posix.dirname(at), specifier));
    }
  };
  visit(file);
  return [...reached.values()];
}
