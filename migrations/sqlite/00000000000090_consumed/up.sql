-- How far each role is done with the partitions that it consumes: `next` is the first offset that it is not done with. It is stored behind
-- what the messages before it caused, so a database that was restored reads again what it has lost. Topics by their full names.
CREATE TABLE consumed (
    role TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    next INTEGER NOT NULL,
    PRIMARY KEY (role, topic, partition)
) STRICT, WITHOUT ROWID;

-- Earlier versions left that to Kafka alone: in their databases the offset that Kafka has counts where none is stored.
INSERT INTO meta (name, value) SELECT 'offsets', 'kafka' FROM meta WHERE name = 'shards';
