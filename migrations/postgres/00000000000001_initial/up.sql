-- The tables and columns of the specification have its names and types; its TIMESTAMP columns hold UTC. Ours are additions.
--
-- No foreign keys: checking them costs 15 µs of the server an order, a third of all that an order costs, and the order's and the
-- roles' rows may lie in databases of their own. `ordermill verify` names rows whose order does not exist.
--
-- A row that changes is written anew. Where no index knows a changed column and the page has room, the indexes are not touched
-- (HOT): so no index knows a status, a quantity or whether an order is open, and the pages of what changes are left part empty.

CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE orders (
    id UUID PRIMARY KEY,
    customer_id UUID NOT NULL,
    total_amount DECIMAL(10,2) NOT NULL CHECK (total_amount >= 0),
    status VARCHAR(50) NOT NULL,
    created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    -- ours: the order's slice, whether anything is owed, and two blobs (src/db/codec.rs): the order as placed, its owner's record
    shard SMALLINT NOT NULL,
    open BOOLEAN NOT NULL,
    details BYTEA NOT NULL,
    record BYTEA NOT NULL
) WITH (fillfactor = 55);
CREATE INDEX orders_by_customer ON orders (customer_id, id);

-- The orders that owe anything. A table and not a partial index, because leaving that index would write a settled order's row to
-- all the others.
CREATE TABLE open_orders (
    id UUID PRIMARY KEY,
    shard SMALLINT NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.05);

-- The orders of the statuses that few have, so that these can be listed. The others are found by their id or by being open.
CREATE TABLE rare_orders (
    id UUID PRIMARY KEY,
    status VARCHAR(50) NOT NULL
);
CREATE INDEX rare_orders_by_status ON rare_orders (status, id);

-- Ids of items and reservations begin with the first half of their order's id, so an order's rows are found by their primary key.
CREATE TABLE order_items (
    id UUID PRIMARY KEY,
    order_id UUID NOT NULL,
    product_id UUID NOT NULL,
    quantity INTEGER NOT NULL CHECK (quantity > 0),
    price DECIMAL(10,2) NOT NULL CHECK (price >= 0)
);

CREATE TABLE products (
    id UUID PRIMARY KEY,
    name VARCHAR(255) NOT NULL,
    available_quantity INTEGER NOT NULL CHECK (available_quantity >= 0),
    reserved_quantity INTEGER NOT NULL DEFAULT 0 CHECK (reserved_quantity >= 0),
    price DECIMAL(10,2) NOT NULL CHECK (price >= 0),
    -- ours
    shipped_quantity INTEGER NOT NULL DEFAULT 0 CHECK (shipped_quantity >= 0),
    supplied_quantity INTEGER NOT NULL DEFAULT 0,
    CHECK (available_quantity + reserved_quantity + shipped_quantity = supplied_quantity)
) WITH (fillfactor = 30);

CREATE TABLE inventory_reservations (
    id UUID PRIMARY KEY,
    order_id UUID NOT NULL,
    product_id UUID NOT NULL,
    quantity INTEGER NOT NULL CHECK (quantity > 0),
    status VARCHAR(50) NOT NULL,
    created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
);

-- The stock keeper's other outcomes: INSUFFICIENT (data: the shortages), RELEASED, HELD, SHIPPED. A successful reservation's
-- outcome are its rows above.
CREATE TABLE inventory_steps (
    order_id UUID NOT NULL,
    step VARCHAR(50) NOT NULL,
    at TIMESTAMPTZ NOT NULL,
    data BYTEA,
    PRIMARY KEY (order_id, step)
);

CREATE TABLE payments (
    order_id UUID PRIMARY KEY,
    attempt INTEGER NOT NULL,
    amount DECIMAL(10,2) NOT NULL CHECK (amount >= 0),
    method VARCHAR(50) NOT NULL,
    status VARCHAR(50) NOT NULL,
    reason VARCHAR(200),
    updated_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE notifications (
    order_id UUID NOT NULL,
    kind VARCHAR(50) NOT NULL,
    channel VARCHAR(50) NOT NULL,
    status VARCHAR(50) NOT NULL,
    attempt INTEGER NOT NULL,
    next_try_at TIMESTAMPTZ,
    reason VARCHAR(200),
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    shard SMALLINT NOT NULL,
    PRIMARY KEY (order_id, kind, channel)
);
-- A notice is stored when it is sent; only one that failed waits.
CREATE INDEX notifications_pending ON notifications (order_id, shard) WHERE status = 'PENDING';

CREATE TABLE writers (
    writer BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node TEXT NOT NULL,
    url TEXT NOT NULL,
    -- names with commas between
    roles TEXT NOT NULL,
    alive BOOLEAN NOT NULL,
    lease_until TIMESTAMPTZ NOT NULL,
    commits BIGINT NOT NULL DEFAULT 0,
    last_seq BIGINT NOT NULL DEFAULT 0,
    published_seq BIGINT NOT NULL DEFAULT 0,
    -- who publishes the log of a dead writer, and until when
    publisher BIGINT,
    publish_until TIMESTAMPTZ
) WITH (fillfactor = 10);

-- topic and kind are the numbers of src/domain/event.rs; both are 255 for the marker of a taken shard, which is of no order.
CREATE TABLE events (
    writer BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    at TIMESTAMPTZ NOT NULL,
    order_id UUID,
    topic SMALLINT NOT NULL,
    kind SMALLINT NOT NULL,
    shard SMALLINT NOT NULL,
    data BYTEA NOT NULL,
    PRIMARY KEY (writer, seq)
);

CREATE TABLE shards (
    role VARCHAR(50) NOT NULL,
    shard SMALLINT NOT NULL,
    writer BIGINT,
    after_writer BIGINT,
    after_seq BIGINT,
    PRIMARY KEY (role, shard)
) WITH (fillfactor = 50);

CREATE TABLE idempotency_keys (
    key BYTEA PRIMARY KEY,
    body BYTEA NOT NULL,
    order_id UUID NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX idempotency_keys_by_expiry ON idempotency_keys (expires_at);

CREATE TABLE dead_letters (
    id UUID PRIMARY KEY,
    kind VARCHAR(50) NOT NULL,
    role VARCHAR(50) NOT NULL,
    order_id UUID,
    shard SMALLINT,
    step VARCHAR(64) NOT NULL,
    cause VARCHAR(64) NOT NULL,
    detail VARCHAR(1000) NOT NULL,
    tries INTEGER NOT NULL,
    state VARCHAR(50) NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    closed_at TIMESTAMPTZ,
    origin TEXT
);
CREATE INDEX dead_letters_by_time ON dead_letters (created_at, id);
CREATE INDEX dead_letters_open ON dead_letters (kind, cause, step, created_at) WHERE state = 'OPEN';
CREATE INDEX dead_letters_by_order ON dead_letters (order_id) WHERE order_id IS NOT NULL;

CREATE TABLE audit_log (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at TIMESTAMPTZ NOT NULL,
    by_whom VARCHAR(100) NOT NULL,
    action VARCHAR(50) NOT NULL,
    subject TEXT NOT NULL,
    note TEXT
);
CREATE INDEX audit_log_by_subject ON audit_log (subject, id);

CREATE TABLE analytics (
    minute BIGINT NOT NULL,
    metric SMALLINT NOT NULL,
    key BYTEA NOT NULL,
    value BIGINT NOT NULL,
    PRIMARY KEY (minute, metric, key)
) WITH (fillfactor = 50);

CREATE TABLE analytics_positions (
    writer BIGINT PRIMARY KEY,
    seq BIGINT NOT NULL
) WITH (fillfactor = 10);

-- Copies of orders whose owner is elsewhere, and events that came before them: what a node needs that hosts some roles only.
CREATE TABLE known_orders (
    id UUID PRIMARY KEY,
    shard SMALLINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    details BYTEA NOT NULL
);

CREATE TABLE held_events (
    order_id UUID NOT NULL,
    kind SMALLINT NOT NULL,
    shard SMALLINT NOT NULL,
    at TIMESTAMPTZ NOT NULL,
    data BYTEA NOT NULL,
    PRIMARY KEY (order_id, kind)
);
