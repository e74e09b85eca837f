// What a page says it sent; facts.py says what the fields mean. A page imports this and ends with `say`.
export const { url, key, run, one } = await (await fetch('/arguments')).json()

const facts = { sent: [], people: {}, items: [], errors: [], began: Date.now() }
addEventListener('error', (event) => facts.errors.push(event.message))
addEventListener('unhandledrejection', (event) => facts.errors.push(String(event.reason)))

export const event = (kind, name, person = '', more = {}) => facts.sent.push({ kind, event: name, person, ...more })
export const person = (name, ids, attributes = {}, absent = []) => { facts.people[name] = { ids, attributes, absent } }
export const item = (item_type, item_id, operation, properties) => facts.items.push({ item_type, item_id, operation, properties })
export const sleep = (ms) => new Promise((done) => setTimeout(done, ms))

async function wait(path, count, wanted) {
  const done = (entry) => entry.name.startsWith(url) && entry.name.includes(path) && wanted(entry)
  for (let i = 0; i < 200 && performance.getEntriesByType('resource').filter(done).length < count; i++) await sleep(100)
}

/** Wait, at most 20 s, until so many requests to such a path of the collector are answered, other than by a server's error. */
export const answered = (path, count = 1) => wait(path, count, ({ responseStatus: status }) => status >= 200 && status < 500)

/** Wait, at most 20 s, until so many requests are over; of images and beacons, a page learns no more. */
export const over = (path, count) => wait(path, count, ({ responseEnd }) => responseEnd > 0)

export async function say(calls) {
  try {
    await calls()
  } catch (error) {
    facts.errors.push(String(error))
  }
  await fetch('/done', { method: 'POST', body: JSON.stringify({ ...facts, ended: Date.now() }) })
}
