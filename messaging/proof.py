"""Proofs that messages and the ledger say the same (PRODUCT.md, money rule 8)."""

from billing.proof import PROOFS as BILLING_PROOFS
from billing.proof import Proof

PROOFS = (
    *BILLING_PROOFS,
    Proof(
        "every batch's hold, captures and releases equal the sums over its messages",
        """WITH {{touched AS (
               SELECT batch_id FROM messaging_message WHERE settlement_id = ANY(:transactions)
               UNION SELECT batch_id FROM billing_hold WHERE created_at >= :since),}}
           summed AS (
               SELECT batch_id, sum(price) AS amount,
                      coalesce(sum(price) FILTER (WHERE settled_at IS NOT NULL AND sent_at IS NOT NULL), 0) AS captured,
                      coalesce(sum(price) FILTER (WHERE settled_at IS NOT NULL AND sent_at IS NULL), 0) AS released
               FROM messaging_message {{WHERE batch_id IN (SELECT batch_id FROM touched)}} GROUP BY batch_id)
           SELECT coalesce(h.batch_id, s.batch_id) AS batch, h.amount, s.amount AS messages, h.captured,
                  s.captured AS messages_captured, h.released, s.released AS messages_released
           FROM (SELECT * FROM billing_hold
                 WHERE NOT is_subsidy {{AND batch_id IN (SELECT batch_id FROM touched)}}) h
           FULL JOIN summed s ON s.batch_id = h.batch_id
           WHERE (h.amount, h.captured, h.released) IS DISTINCT FROM (s.amount, s.captured, s.released)""",
    ),
    Proof(
        "every subsidy's hold, captures and releases equal the margins below zero of its batch's messages",
        """WITH {{touched AS (
               SELECT batch_id FROM messaging_message WHERE settlement_id = ANY(:transactions)
               UNION SELECT batch_id FROM billing_hold WHERE created_at >= :since),}}
           below_zero AS (
               SELECT * FROM (
                   SELECT q.id AS quote_id, (c.level ->> 0)::bigint AS owner_id,
                          (c.level ->> 1)::numeric - lead((c.level ->> 1)::numeric) OVER line AS subsidy
                   FROM billing_quote q, jsonb_array_elements(q.chain) WITH ORDINALITY AS c(level, n)
                   WINDOW line AS (PARTITION BY q.id ORDER BY c.n)) s
               WHERE s.subsidy > 0),
           summed AS (
               SELECT m.batch_id, b.owner_id, sum(m.parts * b.subsidy) AS amount,
                      coalesce(sum(m.parts * b.subsidy) FILTER (WHERE settled_at IS NOT NULL AND sent_at IS NOT NULL), 0)
                          AS captured,
                      coalesce(sum(m.parts * b.subsidy) FILTER (WHERE settled_at IS NOT NULL AND sent_at IS NULL), 0)
                          AS released
               FROM messaging_message m JOIN below_zero b ON b.quote_id = m.quote_id
               {{WHERE m.batch_id IN (SELECT batch_id FROM touched)}} GROUP BY 1, 2)
           SELECT coalesce(h.batch_id, s.batch_id) AS batch, coalesce(h.payer_id, s.owner_id) AS account, h.amount,
                  s.amount AS messages, h.captured, s.captured AS messages_captured, h.released,
                  s.released AS messages_released
           FROM (SELECT * FROM billing_hold
                 WHERE is_subsidy {{AND batch_id IN (SELECT batch_id FROM touched)}}) h
           FULL JOIN summed s ON s.batch_id = h.batch_id AND s.owner_id = h.payer_id
           WHERE (h.amount, h.captured, h.released) IS DISTINCT FROM (s.amount, s.captured, s.released)""",
    ),
    Proof(
        "every message costs its parts at its quote's price",
        """SELECT m.id AS message, m.parts, m.price, q.unit_price, m.display_price, q.display_price AS unit_display
           FROM messaging_message m LEFT JOIN billing_quote q ON q.id = m.quote_id
           WHERE (m.price IS DISTINCT FROM m.parts * q.unit_price
              OR m.display_price IS DISTINCT FROM m.parts * q.display_price
              OR m.payer_id IS DISTINCT FROM q.payer_id OR m.account_id IS DISTINCT FROM q.account_id)
           {{AND (m.settlement_id = ANY(:transactions) OR m.id >= messaging_uuid_floor(:since))}}""",
    ),
    Proof(
        "a message is settled only when it went or ended, in the right direction",
        """SELECT m.id AS message, m.state, m.sent_at, m.settled_at, t.kind
           FROM messaging_message m LEFT JOIN billing_ledgertransaction t ON t.id = m.settlement_id
           WHERE m.settled_at IS NOT NULL {{AND m.settlement_id = ANY(:transactions)}} AND (
                 m.state IN ('scheduled', 'held', 'queued', 'released', 'sending', 'unknown')
              OR (m.price > 0 AND t.kind IS DISTINCT FROM CASE WHEN m.sent_at IS NULL THEN 'release' ELSE 'capture' END))""",
    ),
    Proof(
        "what every account above the payer earned equals its margins in the quotes",
        """WITH levels AS (
               SELECT q.id AS quote_id, (c.level ->> 0)::bigint AS owner_id, c.n,
                      lead((c.level ->> 1)::numeric) OVER (PARTITION BY q.id ORDER BY c.n) - (c.level ->> 1)::numeric AS margin
               FROM billing_quote q, jsonb_array_elements(q.chain) WITH ORDINALITY AS c(level, n)),
           sold AS (
               SELECT settlement_id, quote_id, sum(parts) AS parts FROM messaging_message
               WHERE sent_at IS NOT NULL AND settlement_id IS NOT NULL {{AND settlement_id = ANY(:transactions)}}
               GROUP BY 1, 2),
           expected AS (
               SELECT s.settlement_id AS transaction_id, l.owner_id, sum(s.parts * l.margin) AS earned
               FROM sold s JOIN levels l ON l.quote_id = s.quote_id WHERE l.margin <> 0 GROUP BY 1, 2),
           booked AS (
               SELECT e.transaction_id, a.owner_id, sum(e.amount) AS earned
               FROM billing_ledgerentry e JOIN billing_ledgertransaction t ON t.id = e.transaction_id
               JOIN billing_ledgeraccount a ON a.id = e.ledger_account_id
               WHERE t.kind = 'capture' AND a.kind IN ('wallet', 'subsidy') {{AND t.id = ANY(:transactions)}} GROUP BY 1, 2)
           SELECT coalesce(x.transaction_id, b.transaction_id) AS transaction, coalesce(x.owner_id, b.owner_id) AS account,
                  x.earned AS by_quotes, b.earned AS booked
           FROM expected x FULL JOIN booked b ON b.transaction_id = x.transaction_id AND b.owner_id = x.owner_id
           WHERE x.earned IS DISTINCT FROM b.earned""",
    ),
    Proof(
        "every settlement's amount and count equal its messages",
        """WITH sums AS (
               SELECT settlement_id, sum(price) AS amount, count(*) AS messages
               FROM messaging_message
               WHERE settlement_id IS NOT NULL {{AND settlement_id = ANY(:transactions)}} GROUP BY 1),
           booked AS (
               SELECT t.id, t.quantity, -sum(e.amount) AS amount
               FROM billing_ledgertransaction t JOIN billing_ledgerentry e ON e.transaction_id = t.id
               JOIN billing_ledgeraccount a ON a.id = e.ledger_account_id AND a.kind = 'held'
               WHERE t.kind IN ('capture', 'release') {{AND t.id = ANY(:transactions)}} GROUP BY t.id, t.quantity)
           SELECT coalesce(s.settlement_id, b.id) AS transaction, s.amount AS messages_amount, b.amount AS booked,
                  s.messages, b.quantity
           FROM sums s FULL JOIN booked b ON b.id = s.settlement_id
           WHERE (s.amount, s.messages) IS DISTINCT FROM (b.amount, b.quantity::bigint)""",
    ),
)
