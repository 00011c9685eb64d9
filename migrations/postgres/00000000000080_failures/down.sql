ALTER TABLE payments DROP COLUMN failing_since;
ALTER TABLE payments DROP COLUMN failures;
