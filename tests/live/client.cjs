// The real Action Cable client under Node: prints what happens to it, one JSON object a line, and does what stdin says.
const { createRequire } = require('node:module')
const readline = require('node:readline')

const load = createRequire(`${process.argv[2]}/`)
const { WebSocket } = load('ws')
const ActionCable = load('@rails/actioncable')

globalThis.addEventListener ??= () => {}
globalThis.removeEventListener ??= () => {}
globalThis.document ??= { visibilityState: 'visible' }
ActionCable.adapters.WebSocket = WebSocket

const tell = (what, more) => process.stdout.write(`${JSON.stringify({ what, ...more })}\n`)
const consumer = ActionCable.createConsumer(process.argv[3])
const subscription = consumer.subscriptions.create(JSON.parse(process.argv[4]), {
  connected: ({ reconnected }) => tell('connected', { reconnected }),
  disconnected: ({ willAttemptReconnect }) => tell('disconnected', { willAttemptReconnect }),
  rejected: () => tell('rejected'),
  received: (message) => tell('received', { message }),
})
process.on('uncaughtException', (error) => tell('crashed', { error: String(error) }))
readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const { perform, data, unsubscribe } = JSON.parse(line)
  if (perform) subscription.perform(perform, data)
  if (unsubscribe) subscription.unsubscribe()
}).on('close', () => process.exit())
