// Prints the first machine that a file in TypeScript makes with XState as JSON, so that it can be imported:
//   node xstate_json.js FILE.ts > machine.json
// It needs the program `esbuild`, and neither XState nor what else the file imports. A function is no JSON: as a
// condition or an action it becomes {}, which has no name; elsewhere it is left out.
const { readFileSync } = require('fs');
const { execFileSync } = require('child_process');
const Module = require('module');

const CODE = ['guard', 'cond', 'actions', 'entry', 'exit', 'onEntry', 'onExit'];
const ACTIONS = ['assign', 'raise', 'sendTo', 'sendParent', 'log', 'stopChild', 'spawnChild', 'emit', 'cancel', 'enqueueActions'];

function plain(value, code) {
  if (typeof value === 'function') return code ? {} : undefined;
  if (Array.isArray(value)) return value.map((it) => plain(it, code) ?? null);
  if (!value || typeof value !== 'object') return value;
  return Object.fromEntries(Object.keys(value).map((key) => [key, plain(value[key], CODE.includes(key))]));
}

function createMachine(config) {
  console.log(JSON.stringify(plain(config, false), null, 1));
  process.exit(0);
}

// Stands for whatever else a file uses: it can be called, made and asked for any member.
const any = new Proxy(function () {}, {
  get: (_, key) => (key === Symbol.toPrimitive ? () => '' : any),
  apply: () => any,
  construct: () => any,
});
const xstate = { createMachine, setup: () => ({ createMachine }) };
for (const name of ACTIONS) xstate[name] = () => ({ type: 'xstate.' + name });
for (const name of ['and', 'or']) xstate[name] = (guards) => ({ type: 'xstate.' + name, guards });
xstate.not = (guard) => ({ type: 'xstate.not', guards: [guard] });

// A machine is made before the first `await` of a file is done, so these may go.
const source = readFileSync(process.argv[2], 'utf8').replace(/^(.*= )?await /gm, '$1');
const loader = process.argv[2].endsWith('x') ? 'tsx' : 'ts';
const script = execFileSync('esbuild', ['--format=cjs', '--log-level=error', '--loader=' + loader], { input: source });
const load = Module._load;
Module._load = (name, ...rest) => {
  if (name === 'xstate') return new Proxy(xstate, { get: (its, key) => its[key] ?? any });
  return Module.builtinModules.includes(name) ? load(name, ...rest) : any;
};
new Module('machine')._compile(script.toString(), '/machine.js');
