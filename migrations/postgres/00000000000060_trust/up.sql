-- Logins of single roles share this table, and must not trust each other: a row belongs to the login that made it. The database
-- itself holds them to it, whatever rights they were granted.
--
-- `login` made the row; `proof` shows that the address is that of a node which knows all access keys (src/config/cluster_key.rs).
-- Rows of before have no login and stay as they were, so that nodes of the last version run on until they are replaced.
ALTER TABLE writers
    ADD COLUMN login NAME NOT NULL DEFAULT '',
    ADD COLUMN proof TEXT NOT NULL DEFAULT '';

-- The conditions of the triggers below are checked by the executor itself, so the two updates of each transaction run no function.
CREATE FUNCTION ordermill_new_writer() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.login := current_user;
    RETURN NEW;
END $$;
CREATE TRIGGER writers_have_their_login BEFORE INSERT ON writers
    FOR EACH ROW WHEN (NEW.login IS DISTINCT FROM current_user) EXECUTE FUNCTION ordermill_new_writer();

CREATE FUNCTION ordermill_writer_stays() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'writer %: who it is and where it listens does not change', OLD.writer USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER writers_stay_who_they_are BEFORE UPDATE ON writers
    FOR EACH ROW WHEN (
        (NEW.writer, NEW.node, NEW.url, NEW.roles, NEW.login) IS DISTINCT FROM (OLD.writer, OLD.node, OLD.url, OLD.roles, OLD.login)
        OR (NEW.proof <> OLD.proof AND OLD.proof <> '')
    ) EXECUTE FUNCTION ordermill_writer_stays();

-- What every node may do to another's writer: end it when its lease has ended, and claim and publish its log when it is not alive.
CREATE FUNCTION ordermill_others_writer() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    is_mine BOOLEAN;
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.alive OR OLD.lease_until > clock_timestamp() - interval '1 minute' THEN
            RAISE EXCEPTION 'writer % is another login''s', OLD.writer USING ERRCODE = 'insufficient_privilege';
        END IF;
        RETURN OLD;
    END IF;
    IF NEW.alive IS DISTINCT FROM OLD.alive AND (NEW.alive OR OLD.lease_until >= clock_timestamp())
        OR (NEW.lease_until, NEW.commits, NEW.last_seq, NEW.proof)
            IS DISTINCT FROM (OLD.lease_until, OLD.commits, OLD.last_seq, OLD.proof)
    THEN
        RAISE EXCEPTION 'writer % is another login''s', OLD.writer USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF (NEW.publisher, NEW.publish_until, NEW.published_seq)
        IS DISTINCT FROM (OLD.publisher, OLD.publish_until, OLD.published_seq)
    THEN
        EXECUTE format('SELECT EXISTS (SELECT FROM %I.%I WHERE writer = $1 AND login = current_user)', TG_TABLE_SCHEMA, TG_TABLE_NAME)
            INTO is_mine USING NEW.publisher;
        IF OLD.alive OR NOT is_mine OR NEW.published_seq < OLD.published_seq OR NEW.published_seq > OLD.last_seq THEN
            RAISE EXCEPTION 'writer % is another login''s', OLD.writer USING ERRCODE = 'insufficient_privilege';
        END IF;
        IF NEW.publisher IS DISTINCT FROM OLD.publisher AND OLD.publish_until >= clock_timestamp() THEN
            RAISE EXCEPTION 'the log of writer % is published by another', OLD.writer USING ERRCODE = 'insufficient_privilege';
        END IF;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER writers_are_their_logins BEFORE UPDATE ON writers
    FOR EACH ROW WHEN (OLD.login <> current_user AND OLD.login <> '') EXECUTE FUNCTION ordermill_others_writer();
CREATE TRIGGER writers_go_when_they_ended BEFORE DELETE ON writers
    FOR EACH ROW WHEN (OLD.login <> current_user AND OLD.login <> '') EXECUTE FUNCTION ordermill_others_writer();
