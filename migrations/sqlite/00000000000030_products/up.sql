ALTER TABLE products ADD COLUMN discontinued INTEGER NOT NULL DEFAULT 0;

-- What requests with an idempotency key were answered, other than an order's placing (data: src/db/codec.rs). With a rowid, because
-- rows expire in the order of their arrival.
CREATE TABLE answers (
    id INTEGER PRIMARY KEY NOT NULL,
    key BLOB NOT NULL UNIQUE,
    body BLOB NOT NULL,
    answer BLOB NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE INDEX audit_log_of_stock ON audit_log (id) WHERE action = 'stock';
