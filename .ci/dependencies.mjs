// Reads the output of `cargo metadata` and fails when a package that is built for users, so none
// that only tests need, asks for a newer Rust than the version given: `node dependencies.mjs 1.88`.

const oldest = process.argv[2]
const { packages, resolve, workspace_members: members } = JSON.parse(await read(process.stdin))
const byId = new Map(packages.map(it => [it.id, it]))
const nodes = new Map(resolve.nodes.map(it => [it.id, it]))

const built = new Set()
const waiting = [...members]
while (waiting.length > 0) {
  const id = waiting.pop()
  if (built.has(id)) continue
  built.add(id)
  for (const { pkg, dep_kinds: kinds } of nodes.get(id).deps) {
    if (kinds.some(({ kind }) => kind !== 'dev')) waiting.push(pkg)
  }
}

const tooNew = [...built].map(id => byId.get(id)).filter(it => isNewer(it.rust_version, oldest))
for (const { name, version, rust_version: needs } of tooNew) {
  console.error(`FAILED ${name} ${version} needs Rust ${needs}, and Rust ${oldest} is promised`)
}
console.log(`${built.size - tooNew.length} of ${built.size} packages can be built with Rust ${oldest}`)
process.exit(tooNew.length === 0 ? 0 : 1)

function isNewer (version, than) {
  if (version === null) return false
  const [a, b] = [version, than].map(it => it.split('.').map(Number))
  for (let i = 0; i < 3; i++) {
    if ((a[i] ?? 0) !== (b[i] ?? 0)) return (a[i] ?? 0) > (b[i] ?? 0)
  }
  return false
}

async function read (stream) {
  let text = ''
  for await (const chunk of stream.setEncoding('utf8')) text += chunk
  return text
}
