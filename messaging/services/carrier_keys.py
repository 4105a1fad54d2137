"""For statements that may give messages their carrier's id: receipts find them by it (messaging/key_models.py)."""

# WITH changed AS (UPDATE messaging_message m SET … {CHANGED}, {WITH_IDS}), named AS ({NAMED}) … (CHANGED: rollups.py).
WITH_IDS = "new.route_id, new.carrier_id, new.carrier_id <> old.carrier_id AS is_named"
NAMED = """INSERT INTO messaging_carrierkey (carrier_id, route_id, message_id)
        SELECT carrier_id, route_id, id FROM changed WHERE is_named AND carrier_id <> '' ON CONFLICT DO NOTHING"""
