-- Pending notices are taken up again by the time of their next try, each channel for itself.
DROP INDEX notifications_pending;
CREATE INDEX notifications_due ON notifications (channel, next_try_at, order_id, shard) WHERE status = 'PENDING';
