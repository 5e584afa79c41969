// Starts announced-daemon.ts as the launcher starts the product.
import '../../node/runtime.js';

await import('./announced-daemon.ts');
