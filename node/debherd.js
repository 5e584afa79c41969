#!/usr/bin/env node
// The launcher: with compiled code at hand, Node neither compiles the daemon nor loads what strips
// its types, which saves half of the start and 20 MB. JavaScript, as all TypeScript comes after it.
import { enableCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';

// NODE_COMPILE_CACHE wins (the service sets it); a folder that cannot be written does no harm.
enableCompileCache(fileURLToPath(new URL('../node_modules/.cache/debherd', import.meta.url)));
await import('./main.ts');
