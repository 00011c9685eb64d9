DELETE FROM meta WHERE name = 'offsets';
DROP TABLE consumed;
