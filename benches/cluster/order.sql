-- One order in one transaction, with all the rows that ordermill stores of one: what a careful service without group commit does.
BEGIN;
UPDATE writers SET commits = commits + 1, last_seq = :seq5 WHERE writer = :writer AND alive;
INSERT INTO orders (id, customer_id, total_amount, status, created_at, updated_at, shard, open, details, record) VALUES (bench_id(:high, :low), bench_id(7, :customer), 59.97, 'PENDING', now(), now(), 3, true, bench_blob(:details), bench_blob(:record));
INSERT INTO open_orders (id, shard) VALUES (bench_id(:high, :low), 3);
INSERT INTO order_items (id, order_id, product_id, quantity, price) VALUES (bench_id(:high, :low1), bench_id(:high, :low), bench_id(9, :one), 1, 19.99), (bench_id(:high, :low2), bench_id(:high, :low), bench_id(9, :two), 2, 19.99);
UPDATE products SET available_quantity = available_quantity - 1, reserved_quantity = reserved_quantity + 1 WHERE id = bench_id(9, :one) AND available_quantity >= 1 AND price = 19.99;
UPDATE products SET available_quantity = available_quantity - 2, reserved_quantity = reserved_quantity + 2 WHERE id = bench_id(9, :two) AND available_quantity >= 2 AND price = 19.99;
INSERT INTO inventory_reservations (id, order_id, product_id, quantity, status, created_at) VALUES (bench_id(:high, :low3), bench_id(:high, :low), bench_id(9, :one), 1, 'RESERVED', now()), (bench_id(:high, :low4), bench_id(:high, :low), bench_id(9, :two), 2, 'RESERVED', now());
INSERT INTO payments (order_id, attempt, amount, method, status, reason, updated_at) VALUES (bench_id(:high, :low), 1, 59.97, 'CARD', 'CHARGED', NULL, now());
UPDATE orders SET status = 'CONFIRMED', updated_at = now(), open = false, record = bench_blob(:record) WHERE id = bench_id(:high, :low);
DELETE FROM open_orders WHERE id = bench_id(:high, :low);
INSERT INTO notifications (order_id, kind, channel, status, attempt, next_try_at, reason, created_at, updated_at, shard) VALUES (bench_id(:high, :low), 'CONFIRMATION', 'EMAIL', 'SENT', 1, NULL, NULL, now(), now(), 3);
INSERT INTO events (writer, seq, at, order_id, topic, kind, shard, data) VALUES (:writer, :seq1, now(), bench_id(:high, :low), 0, 0, 3, bench_blob(1)), (:writer, :seq2, now(), bench_id(:high, :low), 1, 1, 3, bench_blob(:event)), (:writer, :seq3, now(), bench_id(:high, :low), 2, 5, 3, bench_blob(:event)), (:writer, :seq4, now(), bench_id(:high, :low), 0, 9, 3, bench_blob(:event)), (:writer, :seq5, now(), bench_id(:high, :low), 3, 15, 3, bench_blob(:event));
COMMIT;
