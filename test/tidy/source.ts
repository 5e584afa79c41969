// A source file as the tidy rules see it: text and syntax tree.
import { parseSync } from 'vite';

export interface SyntaxNode {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [field: string]: unknown;
}

export interface Import {
  /** As written: `./clock.ts`, `node:fs`, `undici`. */
  readonly specifier: string;
  readonly line: number;
  /** Names of a static import; empty for others. */
  readonly names: readonly string[];
}

export interface Source {
  /** From the top of the repository: `node/config/table.ts`. */
  readonly path: string;
  readonly text: string;
  readonly lines: readonly string[];
  /** All nodes with the chain of nodes above each, outermost last. */
  readonly nodes: readonly { readonly node: SyntaxNode; readonly above: readonly SyntaxNode[] }[];
  readonly imports: readonly Import[];
  lineAt(offset: number): number;
}

export function readSource(path: string, text: string): Source {
  const { program, errors } = parseSync(path, text);
  if (errors.length > 0) throw new Error(`${path}: ${errors[0]?.message}`);
  const nodes: Source['nodes'][number][] = [];
  collect(program as unknown as SyntaxNode, [], nodes);
  const lineAt = (offset: number) => text.slice(0, offset).split('\n').length;
  const imports = nodes.flatMap(({ node }) => {
    const specifier = isNode(node.source) ? node.source.value : undefined;
    if (typeof specifier !== 'string') return [];
    return [{ specifier, line: lineAt(node.start), names: namesOf(node) }];
  });
  return { path, text, lines: text.split('\n'), nodes, imports, lineAt };
}

export function isNode(value: unknown): value is SyntaxNode {
  return typeof value === 'object' && value !== null && 'type' in value && 'start' in value;
}

function collect(
  node: SyntaxNode,
  above: readonly SyntaxNode[],
  into: { node: SyntaxNode; above: readonly SyntaxNode[] }[],
): void {
  into.push({ node, above });
  for (const value of Object.values(node)) {
    for (const child of [value].flat()) if (isNode(child)) collect(child, [node, ...above], into);
  }
}

function namesOf(node: SyntaxNode): string[] {
  const specifiers = Array.isArray(node.specifiers) ? node.specifiers : [];
  return specifiers.flatMap((each: SyntaxNode) =>
    isNode(each.imported) ? [String(each.imported.name)] : [],
  );
}
