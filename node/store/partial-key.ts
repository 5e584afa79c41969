/** The names that a partial object may have: a file name, never a path. */
export const partialKeyPattern = /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,200}$/;
