// The baseline: which tests do not pass in a profile, and why. Everything else must pass.

import { readFile } from 'node:fs/promises'

import { passes } from './suite.mjs'

// Profiles that differ from another one in these tests only, which pass.
const VARIATIONS = { 'post-fills': { of: 'default', passing: ['method-POST'] } }

// baseline-PROFILE.json is a list of { reason, results: { id: verdict } }.
export async function readBaseline (profile) {
  const variation = VARIATIONS[profile]
  if (variation !== undefined) {
    const entries = await readBaseline(variation.of)
    for (const id of variation.passing) {
      if (!entries.delete(id)) throw new Error(`${id} passes in ${variation.of} too`)
    }
    return entries
  }
  const url = new URL(`baseline-${profile}.json`, import.meta.url)
  const entries = new Map()
  for (const { reason, results } of JSON.parse(await readFile(url, 'utf8'))) {
    for (const [id, verdict] of Object.entries(results)) {
      if (typeof reason !== 'string' || reason === '') throw new Error(`${id} is listed without a reason`)
      if (entries.has(id)) throw new Error(`${id} is listed twice`)
      if (passes(verdict)) throw new Error(`${id} is listed as ${verdict}: list only what does not pass`)
      entries.set(id, { verdict, reason })
    }
  }
  return entries
}

// Returns the number of tests that are as the baseline says, and what is not.
export function compare (suite, found, baseline) {
  const complaints = []
  const differing = []
  let matching = 0
  for (const { id, kind } of suite.tests) {
    const now = found.get(id) ?? 'untested'
    const listed = baseline.get(id)?.verdict
    if (listed === undefined ? passes(now) : listed === now) {
      matching += 1
      continue
    }
    differing.push(id)
    complaints.push({ id, text: `${id} (${kind}): ${difference(now, listed)}` })
  }
  for (const id of baseline.keys()) {
    if (!suite.byId.has(id)) complaints.push({ text: `${id} is in the baseline but not in the suite: remove it` })
  }
  return { matching, differing, complaints }
}

function difference (now, listed) {
  if (listed === undefined) return `"${now}", and the baseline does not list it`
  if (passes(now)) return `"${now}", no longer "${listed}": remove it from the baseline`
  return `"${now}", but the baseline says "${listed}"`
}
