// What a sender says it sent, as one JSON object on standard output; facts.py says what the fields mean.
import { createHash } from 'node:crypto'
import { parseArgs } from 'node:util'

const text = { type: 'string', default: '' }

export const args = parseArgs({
  options: { url: text, key: text, run: text, app: text, one: { type: 'boolean', default: false } },
}).values

/** The same UUID for the same name. */
export function uuidOf(name) {
  const hex = createHash('sha256').update(`${args.run}/${name}`).digest('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}

/** The same UUID for the same name, as a browser would give to a visitor: of version 7. */
export const visitorUuid = (name) => `${uuidOf(name).slice(0, 14)}7${uuidOf(name).slice(15)}`

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms))

setInterval(() => {}, 1000) // as in a server: some packages wait by timers that keep no program alive

export class Facts {
  began = Date.now()
  sent = []
  people = {}
  items = []
  errors = []

  event(kind, event, person = '', more = {}) {
    this.sent.push({ kind, event, person, ...more })
  }

  person(name, ids, attributes = {}, absent = []) {
    this.people[name] = { ids, attributes, absent }
  }

  item(item_type, item_id, operation, properties) {
    this.items.push({ item_type, item_id, operation, properties })
  }

  error = (error) => {
    this.errors.push(String(error?.message ?? error?.reason ?? error))
  }

  async say() {
    const { sent, people, items, errors, began } = this
    const all = JSON.stringify({ sent, people, items, errors, began, ended: Date.now() })
    await new Promise((done) => process.stdout.write(`${all}\n`, done))
    process.exit(0)
  }
}
