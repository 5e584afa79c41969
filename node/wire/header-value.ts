// What may stand in a header of an answer to apt (RFC 9110, 5.5): no control characters.

/** False for a text that node:http would refuse to send. */
export function isHeaderValue(text: string): boolean {
  return /^[\t\x20-\x7e\x80-\xff]*$/.test(text);
}
