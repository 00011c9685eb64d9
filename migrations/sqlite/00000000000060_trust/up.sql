-- Shows that the address is that of a node which knows all access keys (src/config/cluster_key.rs).
ALTER TABLE writers ADD COLUMN proof TEXT NOT NULL DEFAULT '';
