#!/usr/bin/env node
// Runs the public HTTP caching suite against the example proxy and compares the outcome with the
// checked-in baseline. `node run.mjs --help` lists the options.

import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'

import { compare, readBaseline } from './baseline.mjs'
import { startOrigin } from './origin.mjs'
import { startProxy, waitUntilReady } from './proxy.mjs'
import { loadSuite, passes, runTests, verdicts } from './suite.mjs'
import { describeTest, summary } from './report.mjs'

const HELP = `usage: node run.mjs --proxy PATH [options]

  --proxy PATH        the proxy program to start and test
  --profile NAME      default, rfc-literal or post-fills: the proxy's settings and the baseline (default: default)
  --test ID           run this test only and show what was sent and answered (may be repeated)
  --report FILE       write every result with its whole exchange as JSON
  --against URL       test a server that is already running instead of starting the proxy;
                      it must forward to --origin-port on 127.0.0.1; no baseline is applied
  --origin-port PORT  the port of the suite's origin (default: any free one)
`

// The whole run is over within this time or it is a failure.
const TIME_LIMIT_MS = 8 * 60 * 1000
// Beyond this many differences it is the proxy, not the clock, and whole exchanges fill the screen.
const FEW = 20

const options = readOptions()
const cleanups = []
let watchdog

async function main () {
  const suite = await loadSuite()
  const origin = await startOrigin(Number(options['origin-port'] ?? 0))
  cleanups.push(() => origin.stop())

  let base = options.against
  if (base === undefined) {
    const proxy = await startProxy(options.proxy, options.profile, origin.url)
    cleanups.push(() => proxy.stop())
    base = proxy.url
  }
  await waitUntilReady(base)

  const wanted = options.test
  const tests = wanted ? suite.withDependencies(wanted) : suite.tests
  const results = await runTests(tests, base, origin)

  if (wanted) {
    for (const id of wanted) console.log(describeTest(suite, id, verdicts(suite, results), results, origin))
    return 0
  }
  if (options.against !== undefined) {
    console.log(summary(suite, verdicts(suite, results)))
    await writeReport(suite, results, origin)
    return 0
  }
  return judge(suite, results, base, origin)
}

// A test that differs from the baseline is run once more, alone, before it counts: the suite
// measures in whole seconds, and a busy machine can push one of its exchanges over the edge.
async function judge (suite, results, base, origin) {
  const baseline = await readBaseline(options.profile)
  const again = compare(suite, verdicts(suite, results), baseline).differing
  if (again.length > 0 && again.length <= FEW) {
    console.log(`differs from the baseline, running again alone: ${again.join(' ')}`)
    const second = await runTests(again.map(id => suite.byId.get(id)), base, origin)
    for (const [id, result] of second) results.set(id, result)
  }

  const found = verdicts(suite, results)
  const outcome = compare(suite, found, baseline)
  console.log(summary(suite, found))
  await writeReport(suite, results, origin)
  outcome.complaints.forEach(({ id, text }, i) => {
    console.log(`FAILED ${text}`)
    if (id !== undefined && i < FEW && !passes(found.get(id))) console.log(describeTest(suite, id, found, results, origin))
  })
  console.log(`conformance ${options.profile}: ${outcome.matching} passed, ${outcome.complaints.length} failed`)
  return outcome.complaints.length === 0 && outcome.matching > 0 ? 0 : 1
}

async function writeReport (suite, results, origin) {
  if (options.report === undefined) return
  const found = verdicts(suite, results)
  const rows = suite.tests.map(test => ({
    id: test.id,
    name: test.name,
    kind: test.kind,
    verdict: found.get(test.id),
    detail: results.get(test.id)?.detail,
    depends_on: test.depends_on ?? [],
    requests: test.requests,
    client: results.get(test.id)?.exchanges,
    origin: origin.exchanges(test.id)
  }))
  await writeFile(options.report, JSON.stringify(rows, null, 1))
}

function readOptions () {
  let values
  try {
    values = parseArgs({
      options: {
        proxy: { type: 'string' },
        profile: { type: 'string', default: 'default' },
        test: { type: 'string', multiple: true },
        report: { type: 'string' },
        against: { type: 'string' },
        'origin-port': { type: 'string' },
        help: { type: 'boolean', short: 'h' }
      }
    }).values
  } catch (error) {
    console.error(`${error.message}\n\n${HELP}`)
    process.exit(2)
  }
  if (values.help) {
    console.log(HELP)
    process.exit(0)
  }
  if ((values.proxy === undefined) === (values.against === undefined)) {
    console.error(`give either --proxy or --against\n\n${HELP}`)
    process.exit(2)
  }
  if (!['default', 'rfc-literal', 'post-fills'].includes(values.profile)) {
    console.error(`unknown profile ${values.profile}\n\n${HELP}`)
    process.exit(2)
  }
  return values
}

async function finish (code) {
  clearTimeout(watchdog)
  for (const cleanup of cleanups.reverse()) await cleanup()
  process.exit(code)
}

watchdog = setTimeout(() => {
  console.error(`FAILED not finished after ${TIME_LIMIT_MS / 1000} s`)
  finish(1)
}, TIME_LIMIT_MS)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => finish(1))

main().then(finish, error => {
  console.error('FAILED', error)
  finish(1)
})
