// What a person reads: the summary of a run, and one test with everything sent and answered.

import { passes } from './suite.mjs'

export function summary (suite, found) {
  const count = (kind, verdict) =>
    suite.tests.filter(test => test.kind === kind && found.get(test.id) === verdict).length
  const line = (label, kind, names) => {
    const parts = names.map(([verdict, name]) => `${count(kind, verdict)} ${name}`)
    return `${label.padEnd(9)} ${parts.join(', ')}`
  }
  const unjudged = [['dependency', 'dependency failed'], ['setup', 'setup failed'], ['retry', 'retried']]
  return [
    line('required', 'required', [['pass', 'pass'], ['fail', 'fail'], ...unjudged]),
    line('optional', 'optimal', [['pass', 'pass'], ['fail', 'fail'], ...unjudged]),
    line('checks', 'check', [['yes', 'yes'], ['no', 'no'], ...unjudged])
  ].join('\n')
}

export function describeTest (suite, id, found, results, origin) {
  const test = suite.byId.get(id)
  const result = results.get(id)
  const lines = [`${id}: ${found.get(id)} (${test.kind})`, `  ${test.name}`]
  if (result.detail !== undefined) lines.push(`  ${result.detail}`)
  const blocked = (test.depends_on ?? []).filter(other => !passes(found.get(other)))
  if (blocked.length > 0) lines.push(`  depends on ${blocked.join(', ')}`)
  result.exchanges.forEach((exchange, i) => lines.push(...describeExchange(`client ${i + 1}`, exchange)))
  origin.exchanges(id).forEach((exchange, i) => lines.push(...describeExchange(`origin ${i + 1}`, exchange)))
  return lines.join('\n')
}

function describeExchange (label, exchange) {
  const fields = list => (list ?? []).map(([name, value]) => `      ${name}: ${[value].flat().join(' | ')}`)
  return [
    `    ${label} > ${exchange.request}`,
    ...fields(exchange.request_headers),
    `    ${label} < ${exchange.status}`,
    ...fields(exchange.response_headers)
  ]
}
