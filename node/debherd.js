#!/usr/bin/env -S MALLOC_ARENA_MAX=1 MALLOC_MMAP_THRESHOLD_=65536 node --no-maglev --single-threaded-gc --min-semi-space-size=8 --initial-old-space-size=64
// The launcher. JavaScript, as all TypeScript comes after it. V8 takes four options at its start
// only: to leave out the middle one of its compilers, which in a short rollout costs more than it
// saves; to collect garbage without helper threads, which would take cores from a render and from
// each other; to give the young 8 MiB, as that is where the chunks of a transfer die; and not to
// mark the old before they have 64 MiB, as what a start leaves is collected when it is over. glibc
// takes two: one arena for all threads, and a mapping for each 64 KiB buffer that Node gives a TLS
// connection, of which little is used: a piece of the heap that others used before is all there.
// An older Node must be able to read this file, to say which one is needed: imports come after.
const NODE_NEEDED = 24;
if (Number.parseInt(process.versions.node, 10) < NODE_NEEDED) {
  process.stderr.write(
    `debherd: this is Node ${process.versions.node}, but Node ${NODE_NEEDED} is needed: ` +
      'run it with npm start, or with the Node that npm brings, node_modules/.bin/node\n',
  );
  process.exit(1);
}
await import('./runtime.js');
await import('./cli/main.ts');
