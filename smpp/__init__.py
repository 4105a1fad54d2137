"""SMPP 3.4 over asyncio: the portal's own session layer on the `smpp34` codec. It knows nothing of Django or databases.

| module | holds |
|---|---|
| `smpp.text` | how a text becomes parts: `segment` counts, `encode_parts` encodes, `decode_payload` reads back |
| `smpp.pdu` | the messages as plain values (`Submit`, `Deliver`, `SubmitAnswer`), `Status`, encoding and decoding |
| `smpp.receipts` | delivery receipts: `parse_receipt`, `format_receipt` |
| `smpp.receipt_ids` | the ids that a receipt may mean: `receipt_ids` |
| `smpp.query` | asking a carrier what became of a message |
| `smpp.inbound` | messages from phones: their text, and which piece of a long one they are |
| `smpp.link` | what both sides of a connection share: framing, window, keep-alive, time-outs, closing |
| `smpp.client` | `ClientSession`, a bound session to a carrier |
| `smpp.server` | `SmppServer`, to which clients bind |
| `smpp.simulator` | a carrier for development and tests; its journal (`smpp.journal`) survives being killed |
| `smpp.accepted`, `smpp.allowance`, `smpp.behaviours` | its ids and states, its rate, what it does with a number |
| `smpp.phones`, `smpp.texting`, `smpp.control` | its phones: what they show and text, and a port to ask them by |

Two promises hold this layer together. A request ends as an answer, as `NotSent` (it was certainly not written: send it
again) or as `AnswerLost` (it may have been: never send it again blindly). And what a carrier delivers is acknowledged
only after the application has returned from storing it.
"""
