// Checks dashboards against the types that Grafana publishes: node check.mjs DASHBOARD...
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import Ajv from 'ajv';
import { createGenerator } from 'ts-json-schema-generator';

const schema = createGenerator({
  path: fileURLToPath(new URL('types.ts', import.meta.url)),
  tsconfig: fileURLToPath(new URL('tsconfig.json', import.meta.url)),
  type: '*',
  expose: 'export',
  additionalProperties: false,
  skipTypeCheck: true,
}).createSchema();
const ajv = new Ajv({ allErrors: true, strict: false, verbose: true });
ajv.addSchema(schema, 'types');

/** The faults of a value that is to be of a type, each with its place. */
function faults(type, value, place) {
  const validate = ajv.getSchema(`types#/definitions/${type}`);
  if (validate(value)) return [];
  // Of a union of types every member complains; what does not name a field is noise.
  return validate.errors
    .filter(({ keyword }) => keyword !== 'anyOf')
    .map(({ instancePath, message, params }) => `${place}${instancePath} ${message} ${JSON.stringify(params)}`);
}

function panelFaults(panel, place) {
  const { options = {}, fieldConfig, targets = [], type, title } = panel;
  const at = `${place} "${title}"`;
  const { custom = {} } = fieldConfig?.defaults ?? {};
  return [
    ...faults(`Kinds/properties/${type}`, { options, custom }, at),
    ...targets.flatMap((target) => faults('Query', target, `${at} ${target.refId}`)),
  ];
}

function dashboardFaults(path) {
  const dashboard = JSON.parse(readFileSync(path, 'utf8'));
  const panels = dashboard.panels.flatMap((panel) => (panel.type === 'row' ? panel.panels : [panel]));
  const name = basename(path);
  return [...faults('Exported', dashboard, name), ...panels.flatMap((panel) => panelFaults(panel, name))];
}

const paths = process.argv.slice(2);
const found = paths.flatMap(dashboardFaults);
found.forEach((fault) => console.error(fault));
console.log(`${paths.length} dashboards checked against Grafana's types, ${found.length} faults`);
process.exitCode = found.length || !paths.length ? 1 : 0;
