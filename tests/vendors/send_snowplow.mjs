// @snowplow/node-tracker: every event, by POST and by GET, with base64 and without (--app names the application).
import {
  buildAddToCart, buildEcommerceTransaction, buildEcommerceTransactionItem, buildPageView, buildScreenView, buildSelfDescribingEvent, buildStructEvent, newTracker,
} from '@snowplow/node-tracker'
import { args, Facts, sleep } from './facts.mjs'

const facts = new Facts()
const ways = args.one ? [['post', true]] : [['post', true], ['post', false], ['get', true], ['get', false]]
for (const [eventMethod, encodeBase64] of ways) {
  const run = `${eventMethod}${Number(encodeBase64)}_${args.run}`
  let left = 0
  const failed = ({ events, willRetry, ...more }) => {
    facts.error(more)
    left -= willRetry ? 0 : events.length
  }
  const tracker = newTracker(
    { namespace: 'tests', appId: args.app, encodeBase64 },
    { endpoint: args.url, eventMethod, bufferSize: 100, onRequestSuccess: (batch) => { left -= batch.length }, onRequestFailure: failed },
  )
  tracker.setUserId(`ann-${run}`)
  tracker.setDomainUserId(`duid-${run}`)
  const track = (built, context, timestamp) => {
    left += 1
    return tracker.track(built, context, timestamp).eid
  }
  if (args.one) {
    track(buildStructEvent({ category: 'shop', action: `One ${run}`, value: 1.5 }))
    facts.event('track', `One ${run}`, '', { properties: { value: 1.5 } })
  } else {
    calls(run, track)
  }
  for (let i = 0; i < (args.one ? 80 : 20) && left > 0; i++) { // what failed stays in the tracker's own store until the next flush
    await tracker.flush()
    if (left > 0) await sleep(100)
  }
}
await facts.say()

function calls(run, track) {
  const person = `ann${run}`
  const time = Date.now() - 5 * 86400_000 - 7
  const context = [{ schema: 'iglu:com.acme/basket/jsonschema/1-0-0', data: { items: 2, note: '茶' } }]
  const sent = (message_id, kind, event, more = {}) => facts.event(kind, event, person, { message_id, ...more })
  sent(track(buildPageView({ pageUrl: `https://shop.example/${run}?utm_source=wechat`, pageTitle: `Page ${run}`, referrer: 'https://ref.example/' }), context, { type: 'ttm', value: time }),
    'page', `Page ${run}`, { time })
  sent(track(buildStructEvent({ category: 'shop', action: `add ${run}`, label: 'label', property: 'property', value: 9.5 }), context, { type: 'dtm', value: time }),
    'track', `add ${run}`, { time, properties: { category: 'shop', label: 'label', value: 9.5 } })
  sent(track(buildSelfDescribingEvent({ event: { schema: `iglu:com.acme/video_started/jsonschema/1-0-0`, data: { price: 20.5, nested: { list: [1, '茶'] } } } }), context),
    'track', 'Video Started', { properties: { price: 20.5, nested: { list: [1, '茶'] } } })
  sent(track(buildScreenView({ name: `Screen ${run}`, id: 's-1' })), 'screen', `Screen ${run}`)
  sent(track(buildAddToCart({ sku: 's-1', name: 'Tea', category: 'c', unitPrice: 9.5, quantity: 2, currency: 'CNY' })), 'track', 'Product Added', { properties: { sku: 's-1', price: 9.5, quantity: 2 } })
  sent(track(buildEcommerceTransaction({ orderId: `o-${run}`, total: 19, affiliation: 'west', currency: 'CNY', city: '上海' })), 'track', 'Order Completed', { properties: { order_id: `o-${run}`, total: 19, currency: 'CNY' } })
  sent(track(buildEcommerceTransactionItem({ orderId: `o-${run}`, sku: 's-1', name: 'Tea', price: 9.5, quantity: 2, currency: 'CNY' })), 'track', 'Order Item', { properties: { order_id: `o-${run}`, sku: 's-1', price: 9.5, quantity: 2 } })
  facts.person(person, [`user_id:ann-${run}`, `anonymous_id:duid-${run}`])
}
