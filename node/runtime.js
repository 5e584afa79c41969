// How Node shall run the daemon: to be imported before any TypeScript.
import { enableCompileCache, flushCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';

// Pieces are memory outside V8's heap. By default V8 takes them for a heap that grows without
// bound and marks all of it every 5 MB, a fifth of all the CPU that a transfer takes.
setFlagsFromString('--external-memory-accounted-in-global-limit');
// Four times the living is allowed before V8 marks all of the heap, in the middle of a transfer: the
// node collects while it is idle (platform/garbage.ts). Nor shall V8 do so eight seconds after each
// burst of work, to shrink the heap to what lives: that is in the middle of the next burst.
setFlagsFromString('--heap-growing-percent=300');
setFlagsFromString('--memory-reducer-gc-count=0');
// What was compiled stays, however long no transfer ran: the next one finds it.
setFlagsFromString('--no-flush-bytecode');

// With compiled code at hand, Node neither compiles the daemon nor loads what strips its types,
// which saves half of the start and 25 MB. NODE_COMPILE_CACHE wins (the service sets it); a folder
// that cannot be written does no harm.
enableCompileCache(fileURLToPath(new URL('../node_modules/.cache/debherd', import.meta.url)));
// By itself Node writes the cache at a clean end, which a first start may never have.
setTimeout(flushCompileCache, 10_000).unref();
