// posthog-node: every call, by the usual way and by the one with results for each event (--app v1).
import { PostHog } from 'posthog-node'
import { args, Facts, uuidOf, visitorUuid } from './facts.mjs'

const { run } = args
const facts = new Facts()
if (args.app) process.env.POSTHOG_CAPTURE_MODE = args.app
const client = new PostHog(args.key, { host: args.url, flushAt: 100, fetchRetryCount: 4, fetchRetryDelay: 300 })
client.on('error', facts.error)

if (args.one) {
  client.capture({ distinctId: `ann-${run}`, event: `One ${run}`, properties: { n: 1 } })
  facts.event('track', `One ${run}`, '', { properties: { n: 1 } })
} else {
  calls()
}
await client.shutdown(20000)
await facts.say()

function calls() {
  const ann = `ann-${run}`
  const anonymous = visitorUuid('visitor')
  const timestamp = new Date(Date.now() - 86400_000 - 7)
  const uuid = uuidOf('viewed')
  for (let i = 0; i < 2; i++) {
    client.capture({ distinctId: anonymous, event: `viewed ${run}`, properties: { price: 12.5, nested: { 茶: [1] } }, timestamp, uuid })
  }
  facts.event('track', `viewed ${run}`, 'ann', { message_id: uuid, time: timestamp.getTime(), properties: { price: 12.5, nested: { 茶: [1] } } })
  client.capture({ distinctId: ann, event: '$identify', properties: { $anon_distinct_id: anonymous } })
  facts.event('identify', '', 'ann')
  client.identify({ distinctId: ann, properties: { $set: { city: '上海', email: `${ann}@example.com` } } })
  facts.event('identify', '', 'ann', { traits: { city: '上海' } })
  const former = visitorUuid('former')
  client.capture({ distinctId: former, event: `before ${run}` })
  facts.event('track', `before ${run}`, 'ann')
  client.alias({ distinctId: ann, alias: former })
  facts.event('alias', '', 'ann')
  client.groupIdentify({ groupType: 'company', groupKey: `c-${run}`, properties: { name: 'Tea Ltd' }, distinctId: ann })
  facts.item('company', `c-${run}`, 'set', { name: 'Tea Ltd' })
  client.capture({ distinctId: ann, event: '$pageview', properties: { $current_url: `https://shop.example/${run}`, $title: `Page ${run}` } })
  facts.event('page', `Page ${run}`, 'ann')
  client.capture({ distinctId: ann, event: `bought ${run}`, properties: { n: 1, $set: { vip: true }, $set_once: { first: 'yes' } }, groups: { company: 'c' } })
  facts.event('track', `bought ${run}`, 'ann', { properties: { n: 1 } })
  facts.event('profile', 'set_once', 'ann', { traits: { first: 'yes' } })
  facts.person('ann', [`user_id:${ann}`, `anonymous_id:${anonymous}`, `anonymous_id:${former}`, `email:${ann}@example.com`], { city: '上海', vip: true, first: 'yes' })
}
