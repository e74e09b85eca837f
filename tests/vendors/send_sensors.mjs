// sa-sdk-node: every call, in batches with gzip.
import SensorsAnalytics from 'sa-sdk-node'
import { args, Facts, sleep } from './facts.mjs'

const { run } = args
const facts = new Facts()
const sa = new SensorsAnalytics()
sa.disableReNameOption()
const url = `${args.url}/sa?project=${args.app || 'default'}${args.key ? `&token=${args.key}` : ''}`
const submitter = sa.submitTo({ url, gzip: true, mode: 'track', timeout: 10000 }, args.one ? {} : { count: 6, timeSpan: 200 })
submitter.catch(facts.error)

if (args.one) {
  sa.track(`ann-${run}`, `One_${run}`, { n: 1 })
  facts.event('track', `One_${run}`, '', { properties: { n: 1 } })
} else {
  calls()
}
await sleep(400) // the last batch is closed by the clock
for (let i = 0; i < 100 && (submitter.dataQueue.executing || submitter.dataQueue.hasData); i++) await sleep(50)
await facts.say()

function calls() {
  const ann = `ann-${run}`
  const visitor = `visitor-${run}`
  const time = Date.now() - 86400_000 - 7
  sa.registerSuperProperties({ shop: 'west' })
  sa.track(visitor, `Viewed_${run}`, { product: '茶', price: 12.5, tags: ['a', 'b'], $time: new Date(time) })
  facts.event('track', `Viewed_${run}`, 'ann', { time, properties: { product: '茶', price: 12.5, tags: ['a', 'b'], shop: 'west' } })
  sa.trackSignup(ann, visitor, { from: 'web' })
  facts.event('track', '$SignUp', 'ann', { properties: { from: 'web' } })
  sa.profileSet(ann, { city: '杭州', gone: 1, $time: time })
  facts.event('identify', '', 'ann', { time, traits: { city: '杭州', gone: 1 } })
  sa.profileSetOnce(ann, { first: 'seen' })
  facts.event('profile', 'set_once', 'ann', { traits: { first: 'seen' } })
  sa.profileIncrement(ann, { visits: 2 })
  facts.event('profile', 'increment', 'ann', { traits: { visits: 2 } })
  sa.profileAppend(ann, { likes: ['tea'] })
  facts.event('profile', 'append', 'ann', { traits: { likes: ['tea'] } })
  sa.profileUnset(ann, ['gone'])
  facts.event('profile', 'unset', 'ann')
  sa.itemSet('book', `item-${run}`, { price: 4.5 })
  facts.item('book', `item-${run}`, 'set', { price: 4.5 })
  sa.itemDelete('book', `item-${run}`)
  facts.item('book', `item-${run}`, 'delete', {})
  facts.person('ann', [`user_id:${ann}`, `anonymous_id:${visitor}`], { city: '杭州', first: 'seen', visits: 2, likes: ['tea'] }, ['gone'])
}
