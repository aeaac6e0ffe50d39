// schema.js SOURCE_DIR - see schema.sh
'use strict';
const fs = require('fs');
const path = require('path');
const Ajv = require('ajv/dist/2020');

const source = process.argv[2];

// Comments are for the loader alone; strings are stepped over.
const withoutComments = (text) => text.replace(/"(?:[^"\\]|\\.)*"|\/\/[^\n]*|\/\*[\s\S]*?\*\//g, (m) => (m[0] === '"' ? m : ' '));
const isGraph = (name) => /\.jsonc?$/.test(name);
let failures = 0;
let checked = 0;
const complain = (name, what) => {
  failures++;
  console.error(`${name}: ${what}`);
};
const check = (schemaFile, folder, more) => {
  const schema = JSON.parse(fs.readFileSync(path.join(source, schemaFile), 'utf8'));
  const validate = new Ajv({ strict: true, strictRequired: false, strictTypes: false, strictTuples: false, allErrors: true }).compile(schema);
  const beyond = new Set(fs.readFileSync(path.join(folder, 'bad/beyond-schema.txt'), 'utf8').split('\n').filter(Boolean));
  for (const name of fs.readdirSync(path.join(folder, 'good')).filter(isGraph)) {
    const text = fs.readFileSync(path.join(folder, 'good', name), 'utf8');
    checked++;
    if (!validate(JSON.parse(name.endsWith('.jsonc') ? withoutComments(text) : text)))
      complain(name, 'good, but refused: ' + JSON.stringify(validate.errors.slice(0, 3)));
  }
  for (const name of fs.readdirSync(path.join(folder, 'bad')).filter(isGraph)) {
    let accepted = false;
    try {
      accepted = validate(JSON.parse(fs.readFileSync(path.join(folder, 'bad', name), 'utf8')));
    } catch {
      // no JSON at all
    }
    checked++;
    if (accepted && !beyond.has(name)) complain(name, 'bad, but accepted');
    beyond.delete(name);
  }
  for (const name of beyond) complain(name, 'stands in beyond-schema.txt and is no file');
  for (const file of more) {
    checked++;
    if (!validate(JSON.parse(fs.readFileSync(file, 'utf8')))) complain(file, 'shipped, but refused: ' + JSON.stringify(validate.errors.slice(0, 3)));
  }
};
const shipped = path.join(source, 'src/recipe/shipped');
check('schemas/task-graph.schema.json', path.join(source, 'tests/data/graphs'), []);
check('schemas/recipe.schema.json', path.join(source, 'tests/data/recipes'), fs.readdirSync(shipped).map((name) => path.join(shipped, name)));
console.log(`${checked} files checked against their schemas, ${failures} disagreements`);
process.exit(failures > 0 ? 1 : 0);
