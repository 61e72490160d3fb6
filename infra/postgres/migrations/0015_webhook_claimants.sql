-- Whose claim of a delivery it is, by a dispatcher's name: one that begins anew frees what it had in its hands when it died.
ALTER TABLE webhook_deliveries ADD COLUMN leased_by text;
