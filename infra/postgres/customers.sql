-- name: ids_of
-- Whose these tokens are; one that was forgotten is nobody's.
SELECT token, customer_id FROM vault.customers WHERE token = ANY ($1::text[]);

-- name: token_of
SELECT token FROM vault.customers WHERE merchant_id = $1 AND customer_id = $2;

-- name: forget
DELETE FROM vault.customers WHERE token = ANY ($1::text[]);
