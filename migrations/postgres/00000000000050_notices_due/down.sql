DROP INDEX notifications_due;
CREATE INDEX notifications_pending ON notifications (order_id, shard) WHERE status = 'PENDING';
