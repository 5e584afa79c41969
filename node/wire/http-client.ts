// The one importer of undici: HTTP as a client, to peers, trackers and upstream.
export type { Dispatcher } from 'undici';
export { Agent, errors, Pool, request } from 'undici';
