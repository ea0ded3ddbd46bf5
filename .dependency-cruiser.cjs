/**
 * The rooms of `src/` and the direction of imports between them. A room is a folder, a file, or a file and the folder of the same
 * name beside it; what is not in this table is not a room. `main` is the one place that wires everything, so it alone imports all.
 */
const rooms = {
  domain: [],
  planner: ['domain'],
  operations: ['domain'],
  failover: ['domain', 'clients'],
  pki: ['domain'],
  render: ['domain'],
  clients: ['domain'],
  observer: ['domain', 'clients'],
  executor: ['domain', 'clients', 'render'],
  store: ['domain'],
  controller: ['domain', 'planner', 'operations', 'store'],
  api: ['domain', 'store'],
  client: [],
  console: ['client'],
  cli: ['client', 'domain', 'bootstrap', 'rig', 'config', 'telemetry', 'main'],
  bootstrap: ['domain', 'clients', 'pki', 'render', 'config'],
  rig: ['domain', 'clients'],
  config: ['domain'],
  telemetry: ['domain'],
}

/** Rooms that decide and never do: time, ids and everything read from the world are arguments. */
const pureRooms = ['domain', 'planner', 'operations']

const allRooms = [...Object.keys(rooms), 'main']
const pathOf = (names) => `^src/(${names.join('|')})(/|\\.m?ts$|\\.mjs$)`

const roomRules = Object.entries(rooms).map(([room, allowed]) => ({
  name: `${room}-imports`,
  comment: `${room} may import ${allowed.length === 0 ? 'no other room' : allowed.join(', ')} only`,
  severity: 'error',
  from: { path: pathOf([room]) },
  to: { path: '^src/', pathNot: pathOf([room, ...allowed]) },
}))

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    ...roomRules,
    {
      name: 'known-rooms',
      comment: 'every file of src belongs to a room of the table',
      severity: 'error',
      from: { path: '^src/', pathNot: pathOf(allRooms) },
      to: {},
    },
    {
      name: 'domain-packages',
      comment: 'the domain needs zod and nothing else',
      severity: 'error',
      from: { path: pathOf(['domain']) },
      to: { path: 'node_modules/', pathNot: 'node_modules/zod/' },
    },
    {
      name: 'pure-rooms',
      comment: 'what decides does no I/O; of Node it uses ciphers, hashes and their promisified forms only',
      severity: 'error',
      from: { path: pathOf(pureRooms) },
      to: { dependencyTypes: ['core'], pathNot: '^(node:)?(crypto|util)$' },
    },
    {
      name: 'product-only',
      comment: 'src never imports tests or what is needed for development only',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypesNot: ['type-only'], dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'] },
    },
    {
      name: 'not-to-tests',
      comment: 'src never imports tests',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^test/' },
    },
    {
      name: 'resolvable',
      comment: 'an import that leads nowhere would escape every rule above',
      severity: 'error',
      from: { path: '^src/' },
      to: { couldNotResolve: true },
    },
    {
      name: 'no-circles',
      comment: 'files that need each other to load are one file, or need a third',
      severity: 'error',
      from: { path: '^src/' },
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsConfig: { fileName: 'tsconfig.json' },
    // Imports of types count: a room that knows another's types knows that room.
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
      extensions: ['.ts', '.mts', '.mjs', '.js', '.cjs', '.json'],
    },
  },
}
