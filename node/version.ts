import about from '../package.json' with { type: 'json' };

/** debherd's version, from package.json. */
export const version: string = about.version;
