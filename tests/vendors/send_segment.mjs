// @segment/analytics-node: all calls, one message twice.
import { Analytics } from '@segment/analytics-node'
import { args, Facts } from './facts.mjs'

const { run } = args
const facts = new Facts()
const analytics = new Analytics({ writeKey: args.key, host: args.url, flushInterval: 100, maxRetries: 4 })
analytics.on('error', facts.error)
const own = (context) => ({ message_id: context.event.messageId, time: context.event.timestamp.getTime() })
const call = (type, message) =>
  new Promise((done) => analytics[type](message, (error, context) => done(error ? facts.error(error) : own(context))))

if (args.one) {
  await call('track', { userId: `ann-${run}`, event: `One ${run}`, properties: { n: 1 } })
  facts.event('track', `One ${run}`, '', { properties: { n: 1 } })
} else {
  await calls()
}
await analytics.closeAndFlush({ timeout: 20000 })
await facts.say()

async function calls() {
  const ann = `ann-${run}`
  const visitor = `visitor-${run}`
  const timestamp = new Date(Date.now() - 3 * 86400_000 - 7)
  const products = [{ product_id: 'p-1', name: 'Tea 茶', price: 19.5, quantity: 2 }]
  const calls = []
  const send = (type, message, kind, event, person, more) =>
    calls.push(call(type, message).then((found) => facts.event(kind, event, person, { ...found, ...more })))
  send('track', { anonymousId: visitor, event: `Viewed ${run}`, properties: products[0], timestamp,
    context: { campaign: { name: 'spring', source: 'wechat' }, page: { url: 'https://shop.example/?a=1' }, ip: '203.0.113.7' } },
  'track', `Viewed ${run}`, 'ann', { time: timestamp.getTime(), properties: products[0], context: { campaign: { name: 'spring', source: 'wechat' } } })
  send('identify', { userId: ann, anonymousId: visitor, traits: { email: `${ann}@example.com`, city: '上海', nested: { a: [1] } } },
    'identify', '', 'ann', { traits: { city: '上海', nested: { a: [1] } } })
  const order = { order_id: `o-${run}`, total: 39, currency: 'CNY', products }
  const bought = { userId: ann, event: 'Order Completed', properties: order, messageId: `m-${run}`, timestamp }
  send('track', bought, 'track', 'Order Completed', 'ann', { time: timestamp.getTime(), properties: order })
  calls.push(call('track', bought))
  send('page', { userId: ann, category: 'Docs', name: `Page ${run}`, properties: { url: 'https://shop.example/docs' } },
    'page', `Page ${run}`, 'ann', { properties: { url: 'https://shop.example/docs' } })
  send('screen', { userId: ann, name: `Screen ${run}`, properties: { width: 320 } }, 'screen', `Screen ${run}`, 'ann', { properties: { width: 320 } })
  send('group', { userId: ann, groupId: `g-${run}`, traits: { name: 'Tea lovers' } }, 'group', '', 'ann', { traits: { name: 'Tea lovers' } })
  send('alias', { userId: ann, previousId: `old-${run}` }, 'alias', '', 'ann')
  await Promise.all(calls)
  facts.person('ann', [`user_id:${ann}`, `anonymous_id:${visitor}`, `anonymous_id:old-${run}`, `email:${ann}@example.com`], { city: '上海' })
}
