-- The list that a person works on is that of the open letters, by time; closed ones are many more.
CREATE INDEX dead_letters_open_by_time ON dead_letters (created_at, id) WHERE state = 'OPEN';
