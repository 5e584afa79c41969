// deploy/CONFIGURATION.md, made from the table of keys. Run by itself it writes the file.
import { writeFileSync } from 'node:fs';
import { configFields, keyOf, options } from '../../node/config/table.ts';

const head = `# Configuration

<!-- Made by test/tidy/configuration.ts from node/config/table.ts. -->

Every key may stand in a TOML file (\`/etc/debherd/debherd.toml\`, or the one that \`--config\`
names), in the environment (\`cache-max\` is \`DEBHERD_CACHE_MAX\`; lists have spaces or commas) and
on the command line (\`--cache-max 20GiB\`; flags for lists are repeated). Flags win over the
environment, the environment over the file. \`debherd config\` prints every value and where it comes
from.

Sizes are written \`20GiB\` or \`500MB\`, times \`30s\` or \`10m\`.
`;

export const configurationText = () => `${head}\n${table()}\n`;

function table(): string {
  const rows = configFields.map((field) => {
    const { help, why, shown } = options[field];
    return `| \`${keyOf(field)}\` | ${help} | ${shown} | ${why} |`.replaceAll(
      'yes|no',
      'yes or no',
    );
  });
  return ['| key | what it sets | default | why |', '|---|---|---|---|', ...rows].join('\n');
}

if (import.meta.main) {
  writeFileSync(new URL('../../deploy/CONFIGURATION.md', import.meta.url), configurationText());
}
