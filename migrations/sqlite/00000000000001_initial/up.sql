-- Money is in minor units, times are microseconds since 1970 UTC, ids are the 16 bytes of a UUID.
-- Indexes are few because each is paid for by every order: order ids are UUIDv7, so a primary key is also the order of creation.

CREATE TABLE meta (
    name TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- With a rowid (n, the order of arrival): rows are wide, and a tree that keeps wide rows in its inner pages as well grows deep.
CREATE TABLE orders (
    n INTEGER PRIMARY KEY NOT NULL,
    id BLOB NOT NULL UNIQUE,
    customer_id BLOB NOT NULL,
    total_amount INTEGER NOT NULL CHECK (total_amount >= 0),
    status TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    -- ours: the order's slice, whether anything is owed, and two blobs (src/db/codec.rs): the order as placed, its owner's record
    shard INTEGER NOT NULL,
    open INTEGER NOT NULL,
    details BLOB NOT NULL,
    record BLOB NOT NULL
) STRICT;
CREATE INDEX orders_open ON orders (id, shard) WHERE open = 1;
-- In parts of 4,096 orders: a new one touches a page of the last part, which is small and at hand, however many there are before
-- it. By customer alone it would touch a random page of a tree that grows without end. Who reads asks each part.
CREATE INDEX orders_by_customer ON orders (n / 4096, customer_id, id);
-- Orders of the other statuses are found by their id or by being open. Compared one by one: a list (IN) would be built as a
-- temporary table at every write of an order.
CREATE INDEX orders_of_rare_status ON orders (status, id)
    WHERE status <> 'PENDING' AND status <> 'CONFIRMED' AND status <> 'SHIPPED' AND status <> 'INVENTORY_RESERVED';

-- Ids of items and reservations begin with the first half of their order's id, so an order's rows are found by their primary key.
CREATE TABLE order_items (
    id BLOB PRIMARY KEY NOT NULL,
    order_id BLOB NOT NULL,
    product_id BLOB NOT NULL,
    quantity INTEGER NOT NULL CHECK (quantity > 0),
    price INTEGER NOT NULL CHECK (price >= 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE products (
    id BLOB PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    available_quantity INTEGER NOT NULL CHECK (available_quantity >= 0),
    reserved_quantity INTEGER NOT NULL DEFAULT 0 CHECK (reserved_quantity >= 0),
    price INTEGER NOT NULL CHECK (price >= 0),
    shipped_quantity INTEGER NOT NULL DEFAULT 0 CHECK (shipped_quantity >= 0),
    supplied_quantity INTEGER NOT NULL,
    CHECK (available_quantity + reserved_quantity + shipped_quantity = supplied_quantity)
) STRICT, WITHOUT ROWID;

CREATE TABLE inventory_reservations (
    id BLOB PRIMARY KEY NOT NULL,
    order_id BLOB NOT NULL,
    product_id BLOB NOT NULL,
    quantity INTEGER NOT NULL CHECK (quantity > 0),
    status TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The stock keeper's other outcomes: INSUFFICIENT (data: the shortages), RELEASED, HELD, SHIPPED. A successful reservation's
-- outcome are its rows above.
CREATE TABLE inventory_steps (
    order_id BLOB NOT NULL,
    step TEXT NOT NULL,
    at INTEGER NOT NULL,
    data BLOB,
    PRIMARY KEY (order_id, step)
) STRICT, WITHOUT ROWID;

CREATE TABLE payments (
    order_id BLOB PRIMARY KEY NOT NULL,
    attempt INTEGER NOT NULL,
    amount INTEGER NOT NULL CHECK (amount >= 0),
    method TEXT NOT NULL,
    status TEXT NOT NULL,
    reason TEXT,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE notifications (
    order_id BLOB NOT NULL,
    kind TEXT NOT NULL,
    channel TEXT NOT NULL,
    status TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    next_try_at INTEGER,
    reason TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    shard INTEGER NOT NULL,
    PRIMARY KEY (order_id, kind, channel)
) STRICT, WITHOUT ROWID;
CREATE INDEX notifications_pending ON notifications (order_id, shard) WHERE status = 'PENDING';

CREATE TABLE writers (
    writer INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    node TEXT NOT NULL,
    url TEXT NOT NULL,
    -- names with commas between
    roles TEXT NOT NULL,
    alive INTEGER NOT NULL,
    lease_until INTEGER NOT NULL,
    commits INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    published_seq INTEGER NOT NULL,
    -- who publishes the log of a dead writer, and until when
    publisher INTEGER,
    publish_until INTEGER
) STRICT;

-- topic and kind are the numbers of src/domain/event.rs; both are 255 for the marker of a taken shard, which is of no order.
CREATE TABLE events (
    writer INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    topic INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    shard INTEGER NOT NULL,
    order_id BLOB,
    at INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (writer, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE shards (
    role TEXT NOT NULL,
    shard INTEGER NOT NULL,
    writer INTEGER,
    after_writer INTEGER,
    after_seq INTEGER,
    PRIMARY KEY (role, shard)
) STRICT, WITHOUT ROWID;

-- With a rowid, because rows expire in the order of their arrival: retention walks from the front without an index on the time.
CREATE TABLE idempotency_keys (
    id INTEGER PRIMARY KEY NOT NULL,
    key BLOB NOT NULL UNIQUE,
    body BLOB NOT NULL,
    order_id BLOB NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE TABLE dead_letters (
    id BLOB PRIMARY KEY NOT NULL,
    kind TEXT NOT NULL,
    role TEXT NOT NULL,
    order_id BLOB,
    shard INTEGER,
    step TEXT NOT NULL,
    cause TEXT NOT NULL,
    detail TEXT NOT NULL,
    tries INTEGER NOT NULL,
    state TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    closed_at INTEGER,
    origin TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX dead_letters_by_time ON dead_letters (created_at, id);
CREATE INDEX dead_letters_open ON dead_letters (kind, cause, step, created_at) WHERE state = 'OPEN';
CREATE INDEX dead_letters_by_order ON dead_letters (order_id) WHERE order_id IS NOT NULL;

CREATE TABLE audit_log (
    id INTEGER PRIMARY KEY NOT NULL,
    at INTEGER NOT NULL,
    by_whom TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    note TEXT
) STRICT;
CREATE INDEX audit_log_by_subject ON audit_log (subject, id);

CREATE TABLE analytics (
    minute INTEGER NOT NULL,
    metric INTEGER NOT NULL,
    key BLOB NOT NULL,
    value INTEGER NOT NULL,
    PRIMARY KEY (minute, metric, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE analytics_positions (
    writer INTEGER PRIMARY KEY NOT NULL,
    seq INTEGER NOT NULL
) STRICT;

-- Copies of orders whose owner is elsewhere, and events that came before them: what a node needs that hosts some roles only.
CREATE TABLE known_orders (
    id BLOB PRIMARY KEY NOT NULL,
    shard INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    details BLOB NOT NULL
) STRICT;

CREATE TABLE held_events (
    order_id BLOB NOT NULL,
    kind INTEGER NOT NULL,
    shard INTEGER NOT NULL,
    at INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (order_id, kind)
) STRICT, WITHOUT ROWID;
