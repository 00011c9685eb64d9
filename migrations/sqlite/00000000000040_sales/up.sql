-- The analytics count sales (src/domain/analytics.rs). Where the log still holds everything, all numbers are counted anew from it.
-- Where it does not, they stay, and a row (minute -3) says since when sales (metric 25) are counted. Metrics 23 and 24 are no more.
INSERT INTO analytics (minute, metric, key, value)
    SELECT -3, 25, x'', CAST(strftime('%s', 'now') AS INTEGER) * 1000000
    WHERE EXISTS (
        SELECT 1 FROM analytics_positions p
        WHERE p.seq > 0 AND NOT EXISTS (SELECT 1 FROM events e WHERE e.writer = p.writer AND e.seq = 1)
    );
DELETE FROM analytics_positions WHERE NOT EXISTS (SELECT 1 FROM analytics a WHERE a.minute = -3);
DELETE FROM analytics WHERE NOT EXISTS (SELECT 1 FROM analytics a WHERE a.minute = -3);
DELETE FROM analytics WHERE metric IN (23, 24);
