// A source file as the tidy rules see it: text and syntax tree.
import path from 'node:path';
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
  /** Where it leads, from the top of the repository; undefined for packages and Node. */
  readonly target: string | undefined;
  /** What is imported or exported again by name; undefined for the module as a whole. */
  readonly names: readonly string[] | undefined;
}

export interface Export {
  readonly name: string;
  readonly line: number;
  /** An interface or a type alias: nothing at run time. */
  readonly isType: boolean;
}

export interface Source {
  /** From the top of the repository: `node/config/table.ts`. */
  readonly path: string;
  readonly text: string;
  readonly lines: readonly string[];
  /** All nodes with the chain of nodes above each, outermost last. */
  readonly nodes: readonly { readonly node: SyntaxNode; readonly above: readonly SyntaxNode[] }[];
  readonly imports: readonly Import[];
  /** What the file declares and exports. */
  readonly exports: readonly Export[];
  lineAt(offset: number): number;
}

export function readSource(file: string, text: string): Source {
  const { program, errors } = parseSync(file, text);
  if (errors.length > 0) throw new Error(`${file}: ${errors[0]?.message}`);
  const nodes: Source['nodes'][number][] = [];
  collect(program as unknown as SyntaxNode, [], nodes);
  const lineAt = (offset: number) => text.slice(0, offset).split('\n').length;
  const imports = nodes.flatMap(({ node }) => {
    const specifier = isNode(node.source) ? node.source.value : undefined;
    if (typeof specifier !== 'string') return [];
    const target = specifier.startsWith('.')
      ? path.posix.join(path.posix.dirname(file), specifier)
      : undefined;
    return [{ specifier, target, line: lineAt(node.start), names: namesOf(node) }];
  });
  const exports = nodes.flatMap(({ node }) =>
    exportsOf(node).map((each) => ({ ...each, line: lineAt(node.start) })),
  );
  return { path: file, text, lines: text.split('\n'), nodes, imports, exports, lineAt };
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

function namesOf(node: SyntaxNode): string[] | undefined {
  if (!Array.isArray(node.specifiers)) return undefined;
  const specifiers: SyntaxNode[] = node.specifiers;
  if (specifiers.some(({ type }) => type === 'ImportNamespaceSpecifier')) return undefined;
  return specifiers.map(({ type, imported, local }) => {
    if (type === 'ImportDefaultSpecifier') return 'default';
    return nameOf(imported ?? local);
  });
}

function exportsOf(node: SyntaxNode): Omit<Export, 'line'>[] {
  if (node.type !== 'ExportNamedDeclaration' || !isNode(node.declaration)) return [];
  const { type, declarations, id } = node.declaration;
  const isType = type === 'TSInterfaceDeclaration' || type === 'TSTypeAliasDeclaration';
  const declared: SyntaxNode[] = Array.isArray(declarations) ? declarations : [node.declaration];
  return declared.map((each) => ({ name: nameOf(each.id ?? id), isType }));
}

function nameOf(identifier: unknown): string {
  return isNode(identifier) ? String(identifier.name) : '';
}
