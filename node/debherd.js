#!/usr/bin/env node
// The launcher. JavaScript, as all TypeScript comes after it.
import './runtime.js';

await import('./main.ts');
