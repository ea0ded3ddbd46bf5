import { defineConfig, globalIgnores } from 'eslint/config'
import tseslint from 'typescript-eslint'

/** node:test waits for its own tests and hooks; awaiting them at top level would only serialise the files. */
const testRunnerCalls = { from: 'package', package: 'node:test', name: ['test', 'suite', 'describe', 'it', 'before', 'after', 'beforeEach', 'afterEach'] }

/** What needs types is what linting is for here: promises nobody awaits, unions nobody finishes, `any` that creeps in. Layout is not linted. */
export default defineConfig(globalIgnores(['node_modules/', 'test/bench/results/']), {
  files: ['src/**/*.ts', 'test/**/*.ts'],
  extends: [tseslint.configs.recommendedTypeChecked],
  languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
  linterOptions: { reportUnusedDisableDirectives: 'error' },
  rules: {
    '@typescript-eslint/no-floating-promises': ['error', { allowForKnownSafeCalls: [testRunnerCalls] }],
    '@typescript-eslint/no-explicit-any': 'error',
    '@typescript-eslint/no-non-null-assertion': 'error',
    // An implementation of one of our ports is async because the port is, whether it waits or not.
    '@typescript-eslint/require-await': 'off',
    '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_', destructuredArrayIgnorePattern: '^_' }],
    '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
    // A `default` would swallow the member that somebody adds to a union next year.
    '@typescript-eslint/switch-exhaustiveness-check': [
      'error',
      { allowDefaultCaseForExhaustiveSwitch: false, considerDefaultExhaustiveForUnions: false, requireDefaultForNonUnion: false },
    ],
  },
})
