// The suite's tests: loads them, runs them through the suite's own client and reads each result.

import fetch from 'node-fetch'
import * as config from 'http-cache-tests/client/config.mjs'
import { makeCacheTest, testResults, testUUIDs } from 'http-cache-tests/client/test.mjs'
import sections from 'http-cache-tests/tests/index.mjs'

const AT_ONCE = 100
const REQUEST_LIMIT_MS = 30_000

// Every test of the suite's index except those that only a browser's own cache can take.
export async function loadSuite () {
  const tests = []
  for (const section of sections) {
    for (const test of section.tests) {
      if (test.browser_only) continue
      tests.push({ ...test, kind: test.kind ?? 'required', section: section.name })
    }
  }
  const byId = new Map(tests.map(test => [test.id, test]))
  return {
    tests,
    byId,
    withDependencies (ids) {
      const chosen = new Set()
      const add = id => {
        const test = byId.get(id)
        if (test === undefined) throw new Error(`the suite has no test ${id}`)
        if (chosen.has(test)) return
        chosen.add(test)
        for (const dependency of test.depends_on ?? []) add(dependency)
      }
      ids.forEach(add)
      return [...chosen]
    }
  }
}

// Runs the tests and returns id -> { passed, setup, detail, exchanges }.
export async function runTests (tests, base, origin) {
  const exchanges = new Map()
  config.setBaseUrl(base)
  config.setUseBrowserCache(false)
  config.setFetch((url, init = {}) => recordedFetch(url, init, exchanges))

  const results = new Map()
  for (let first = 0; first < tests.length; first += AT_ONCE) {
    const chunk = tests.slice(first, first + AT_ONCE)
    // The client writes into the tests it is given and refuses to see an id twice.
    await Promise.all(chunk.map(test => {
      delete testResults[test.id]
      return makeCacheTest(structuredClone(test))
    }))
    for (const test of chunk) {
      const result = testResults[test.id]
      results.set(test.id, {
        passed: result === true,
        setup: result[0] === 'Setup',
        detail: result === true ? undefined : `${result[1]}`,
        exchanges: exchanges.get(test.id) ?? []
      })
      origin.assign(test.id, testUUIDs[test.id])
    }
    console.log(`${results.size} of ${tests.length} tests run`)
  }
  return results
}

export const passes = verdict => verdict === 'pass' || verdict === 'yes'

// id -> pass | fail | dependency | setup | retry, and yes | no for tests that only ask.
export function verdicts (suite, results) {
  const known = new Map()
  const verdict = id => {
    if (!known.has(id)) known.set(id, judge(id))
    return known.get(id)
  }
  const judge = id => {
    const test = suite.byId.get(id)
    const result = results.get(id)
    if (test === undefined || result === undefined) return 'untested'
    for (const dependency of test.depends_on ?? []) {
      if (!passes(verdict(dependency))) return 'dependency'
    }
    if (result.setup) return result.detail === 'retry' ? 'retry' : 'setup'
    if (test.kind === 'check') return result.passed ? 'yes' : 'no'
    return result.passed ? 'pass' : 'fail'
  }
  for (const id of results.keys()) verdict(id)
  return known
}

async function recordedFetch (url, init, exchanges) {
  const fields = init.headers ?? []
  const id = fields.find(([name]) => name === 'Test-ID')?.[1]
  const exchange = { request: `${init.method ?? 'GET'} ${url}`, request_headers: fields }
  if (id !== undefined) {
    if (!exchanges.has(id)) exchanges.set(id, [])
    exchanges.get(id).push(exchange)
  }
  try {
    const response = await fetch(url, { timeout: REQUEST_LIMIT_MS, ...init })
    exchange.status = response.status
    exchange.response_headers = Object.entries(response.headers.raw())
    return response
  } catch (error) {
    exchange.status = error.message
    throw error
  }
}
