// Percent-encoding (RFC 3986 section 2.1), read without throwing: what is escaped comes from
// outside and need not be UTF-8.

/** The text that `escaped` stands for; undefined when its bytes are not UTF-8. */
export function unescapeText(escaped: string): string | undefined {
  try {
    return decodeURIComponent(escaped);
  } catch {
    return undefined;
  }
}

/** The bytes that `escaped` stands for, as characters 0 to 255. */
export function unescapeBytes(escaped: string): string {
  return escaped.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}
