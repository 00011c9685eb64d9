-- Whoever continues with a payment's step does not begin its tries anew.
ALTER TABLE payments ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
ALTER TABLE payments ADD COLUMN failing_since INTEGER;
