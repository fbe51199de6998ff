// Counts results of the cache-tests suite as the suite's own page does: a test
// that depends on one that failed, or whose setup failed, is not scored.
import fs from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'

const [suite, file] = process.argv.slice(2)
const load = name => import(pathToFileURL(path.join(suite, name)))
const { default: groups } = await load('tests/index.mjs')
const { determineTestResult, resultTypes } = await load('test-engine/lib/results.mjs')
const results = JSON.parse(fs.readFileSync(file, 'utf8'))

const names = new Map(Object.entries(resultTypes).map(([name, type]) => [type, name]))
const counts = { required: {}, optimal: {}, check: {} }
for (const group of groups) {
  for (const test of group.tests) {
    if (test.browser_only) continue
    const kind = test.kind ?? 'required'
    const result = names.get(determineTestResult(groups, test.id, results))
    counts[kind][result] = (counts[kind][result] ?? 0) + 1
    if (kind !== 'check' && result !== 'pass') {
      console.log(`${kind}\t${result}\t${test.id}\t${results[test.id]?.[1] ?? ''}`)
    }
  }
}
for (const [kind, count] of Object.entries(counts)) {
  console.log(`${kind}: ${Object.entries(count).map(([result, n]) => `${n} ${result}`).join(', ')}`)
}
process.exitCode = counts.required.fail ? 1 : 0
