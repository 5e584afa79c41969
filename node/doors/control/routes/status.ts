import type { Route } from '../route.ts';

export const status: Route = (server, { report }) => {
  server.get('/v1/status', async () => report());
};
