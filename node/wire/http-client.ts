// The one importer of undici: HTTP as a client, to trackers and upstream.
export type { Dispatcher } from 'undici';
export { Agent, Pool } from 'undici';
