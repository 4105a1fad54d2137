"""A stand-in for Stripe on machines that have none: development and tests only.

It speaks the part of Stripe's HTTP API that the portal uses, over real HTTP, shows a hosted Checkout page in the
browser, and sends webhooks with real signatures until they are taken. Start it with
`python -m reseller.stripe_double --port 8010`; it refuses to start unless ENVIRONMENT is development.

Why not localstripe: it (1.15) has no Checkout sessions, no hosted page and no idempotency keys, sends every webhook
once and never again, keeps one store per machine in /tmp and listens on every interface. What it does have
(subscriptions, invoices, plans) the portal does not use, so a front around it would have been nearly this package.
"""
