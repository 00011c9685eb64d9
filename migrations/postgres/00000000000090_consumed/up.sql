-- How far each role is done with the partitions that it consumes: `next` is the first offset that it is not done with. It is stored behind
-- what the messages before it caused, so a database that was restored reads again what it has lost. Topics by their full names.
CREATE TABLE consumed (
    role VARCHAR(50) NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    next BIGINT NOT NULL,
    PRIMARY KEY (role, topic, partition)
) WITH (fillfactor = 50);

-- Earlier versions left that to Kafka alone: in their databases the offset that Kafka has counts where none is stored.
INSERT INTO meta (name, value) SELECT 'offsets', 'kafka' FROM meta WHERE name = 'shards';
