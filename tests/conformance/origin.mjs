// The suite's origin server, on 127.0.0.1 only, with a record of what it received and answered.

import http from 'node:http'

import handleConfig from 'http-cache-tests/server/handle-config.mjs'
import handleState from 'http-cache-tests/server/handle-state.mjs'
import handleTest from 'http-cache-tests/server/handle-test.mjs'

export async function startOrigin (port) {
  const recorded = new Map()

  const server = http.createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://origin.invalid')
    const [, area, ...rest] = pathname.split('/')
    if (area === 'config') return handleConfig(rest, request, response)
    if (area === 'state') return handleState(rest, request, response)
    if (area !== 'test') {
      response.writeHead(404).end()
      return
    }
    record(recorded, rest[0], request, response)
    handleTest(rest, request, response)
  })
  // Longer than any pause in the suite: a connection that the origin closes just as the proxy
  // reuses it would show as a failure that says nothing about caching.
  server.keepAliveTimeout = 120_000

  await new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', resolve)
  })

  const runOf = new Map()
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    // Says under which token a test's latest run can be found in the record.
    assign: (testId, token) => runOf.set(testId, token),
    exchanges: testId => recorded.get(runOf.get(testId)) ?? [],
    stop: () => new Promise(resolve => {
      server.close(resolve)
      server.closeAllConnections?.()
    })
  }
}

function record (recorded, token, request, response) {
  const exchange = {
    request: `${request.method} ${request.url}`,
    request_headers: pairs(request.rawHeaders),
    status: undefined,
    response_headers: undefined
  }
  if (!recorded.has(token)) recorded.set(token, [])
  recorded.get(token).push(exchange)
  response.on('close', () => {
    exchange.status = response.headersSent ? response.statusCode : 'disconnected'
    exchange.response_headers = Object.entries(response.getHeaders())
  })
}

function pairs (raw) {
  const fields = []
  for (let i = 0; i < raw.length; i += 2) fields.push([raw[i], raw[i + 1]])
  return fields
}
