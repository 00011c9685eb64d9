DROP INDEX audit_log_of_stock;
DROP TABLE answers;
ALTER TABLE products DROP COLUMN discontinued;
