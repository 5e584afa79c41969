/** Callers that come while an answer for `key` is on its way share it. */
export function once<T>(
  pending: Map<string, Promise<T>>,
  key: string,
  run: () => Promise<T>,
): Promise<T> {
  const known = pending.get(key);
  if (known) return known;
  const promise = run().finally(() => pending.delete(key));
  pending.set(key, promise);
  return promise;
}
