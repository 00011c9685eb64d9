ALTER TABLE products ADD COLUMN discontinued BOOLEAN NOT NULL DEFAULT false;

-- What requests with an idempotency key were answered, other than an order's placing (data: src/db/codec.rs).
CREATE TABLE answers (
    key BYTEA PRIMARY KEY,
    body BYTEA NOT NULL,
    answer BYTEA NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX answers_by_expiry ON answers (expires_at);

CREATE INDEX audit_log_of_stock ON audit_log (id) WHERE action = 'stock';
