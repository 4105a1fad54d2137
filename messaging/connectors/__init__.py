"""The connector process: hands released messages to carriers over SMPP and stores what they say (docs/message-way.md).

| module | holds |
|---|---|
| `process` | the process: which binds it runs, wake-ups, statuses, signals, the end |
| `bind` | one bind's life: the right to it, connecting, reconnecting, leaving |
| `sending` | what a bind does while it is connected: claim, pace, submit, record |
| `asking` | asking carriers about messages whose answer was lost |
| `backlog` | claimed messages that wait for their submit, the most urgent first |
| `flight` | one message on its way: its parts, their answers, what becomes of it |
| `pace` | never more submits in any second than the route allows |
| `shares` | which part of the route's throughput a bind may use |
| `statements` | the SQL of all this, each statement one transaction |
| `database` | connections that break and come back |
| `configuration` | what the tables say about connectors |

Two rules hold it together. A message is marked ``sending`` in a committed transaction before a byte of it is written.
And an answer stays in memory until it is recorded, however long the database is away.
"""
