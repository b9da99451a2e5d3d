// Starts the proxy under test on a free port of 127.0.0.1 and ends it by its own process handle.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import { randomUUID } from 'node:crypto'

const READY_WITHIN_MS = 20_000
const STOP_WITHIN_MS = 5_000
const LOG_LINES_KEPT = 40
const HOST = '127.0.0.1'

export async function startProxy (program, profile, origin) {
  const port = await freePort()
  const settings = ['--host', HOST, '--port', `${port}`, '--origin', origin, '--profile', profile]
  const child = spawn(program, settings, { stdio: ['ignore', 'pipe', 'pipe'] })
  const log = []
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', text => {
      log.push(...text.split('\n').filter(line => line !== ''))
      log.splice(0, log.length - LOG_LINES_KEPT)
    })
  }
  let stopping = false
  child.once('error', error => {
    console.error(`FAILED cannot start ${program}: ${error.message}`)
    process.exit(1)
  })
  child.once('exit', (code, signal) => {
    if (stopping) return
    console.error(`FAILED the proxy ended by itself (${signal ?? code}):\n${log.join('\n')}`)
    process.exit(1)
  })
  return {
    url: `http://${HOST}:${port}`,
    stop: async () => {
      stopping = true
      if (child.exitCode !== null || child.signalCode !== null) return
      const gone = once(child, 'exit')
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_WITHIN_MS)
      await gone
      clearTimeout(timer)
    }
  }
}

// Ready means that a request reaches the origin and its answer comes back. The suite hands every
// test to its origin by a PUT through the proxy, so a PUT it is.
export async function waitUntilReady (base) {
  const deadline = Date.now() + READY_WITHIN_MS
  let problem
  while (Date.now() < deadline) {
    try {
      const status = await putOnce(`${base}/config/warm-up-${randomUUID()}`)
      if (status === 201) return
      problem = `PUT through the proxy was answered ${status}, not 201`
    } catch (error) {
      problem = error.message
    }
    await new Promise(resolve => setTimeout(resolve, 100))
  }
  throw new Error(`the proxy is not ready after ${READY_WITHIN_MS / 1000} s: ${problem}`)
}

function putOnce (url) {
  return new Promise((resolve, reject) => {
    const request = http.request(url, { method: 'PUT', timeout: 2_000 }, response => {
      response.resume().on('end', () => resolve(response.statusCode)).on('error', reject)
    })
    request.on('timeout', () => request.destroy(new Error('no answer within 2 s')))
    request.on('error', reject)
    request.end('[]')
  })
}

async function freePort () {
  const probe = net.createServer().listen(0, HOST)
  await once(probe, 'listening')
  const { port } = probe.address()
  probe.close()
  await once(probe, 'close')
  return port
}
