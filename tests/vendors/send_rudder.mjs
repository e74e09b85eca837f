// @rudderstack/rudder-sdk-node: all calls. Its bodies are gzip that calls itself a form; its own time is `originalTimestamp`.
import Analytics from '@rudderstack/rudder-sdk-node'
import { args, Facts, sleep } from './facts.mjs'

const { run } = args
const facts = new Facts()
const client = new Analytics(args.key, { dataPlaneUrl: args.url, flushInterval: 100, retryCount: 4, logLevel: 'error', errorHandler: facts.error })

if (args.one) {
  client.track({ userId: `ann-${run}`, event: `One ${run}`, properties: { n: 1 } })
  facts.event('track', `One ${run}`, '', { properties: { n: 1 } })
} else {
  await calls()
}
await client.flush().catch(facts.error)
await client.flush().catch(facts.error)
await facts.say()

async function calls() {
  const ann = `ann-${run}`
  const visitor = `visitor-${run}`
  const timestamp = new Date(Date.now() - 2 * 86400_000 - 7)
  client.track({ anonymousId: visitor, event: `Viewed ${run}`, properties: { price: 9.5, name: '茶' }, timestamp })
  facts.event('track', `Viewed ${run}`, 'ann', { time: timestamp.getTime(), properties: { price: 9.5, name: '茶' } })
  await client.flush()
  const before = Date.now() // made now, sent more than a second later: the time of the making counts
  client.track({ userId: ann, event: `Waited ${run}`, properties: { list: [1, { a: null }] } })
  facts.event('track', `Waited ${run}`, 'ann', { time: before, within: 300, properties: { list: [1, { a: null }] } })
  client.flushTimer && clearTimeout(client.flushTimer)
  await sleep(1300)
  client.identify({ userId: ann, anonymousId: visitor, traits: { email: `${ann}@example.com`, level: 'gold' } })
  facts.event('identify', '', 'ann', { traits: { level: 'gold' } })
  const order = { order_id: `o-${run}`, total: 9.5, currency: 'CNY', products: [{ sku: 's', price: 9.5, quantity: 1 }] }
  for (let i = 0; i < 2; i++) {
    client.track({ userId: ann, event: 'Order Completed', properties: order, messageId: `m-${run}`, timestamp })
  }
  facts.event('track', 'Order Completed', 'ann', { time: timestamp.getTime(), message_id: `m-${run}`, properties: order })
  client.page({ userId: ann, category: 'Docs', name: `Page ${run}`, properties: { url: 'https://shop.example/docs' } })
  facts.event('page', `Page ${run}`, 'ann', { properties: { url: 'https://shop.example/docs' } })
  client.screen({ userId: ann, name: `Screen ${run}`, properties: { width: 320 } })
  facts.event('screen', `Screen ${run}`, 'ann', { properties: { width: 320 } })
  client.group({ userId: ann, groupId: `g-${run}`, traits: { name: 'Tea lovers' } })
  facts.event('group', '', 'ann', { traits: { name: 'Tea lovers' } })
  client.alias({ userId: ann, previousId: `old-${run}` })
  facts.event('alias', '', 'ann')
  facts.person('ann', [`user_id:${ann}`, `anonymous_id:${visitor}`, `anonymous_id:old-${run}`, `email:${ann}@example.com`], { level: 'gold' })
}
