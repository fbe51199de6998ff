-- Locks. Every change of a key runs under two advisory locks: a shared one on
-- the name of its bucket, which deleting the bucket takes alone, and one on the
-- key. Row locks would not do: a key that holds nothing yet has no row, and a
-- row lock on the bucket would be written to its page by every commit.

CREATE TABLE bucket (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text COLLATE "C" NOT NULL UNIQUE,
    region     text        NOT NULL,
    placement  text[]      NOT NULL,
    visibility text        NOT NULL,
    versioning text        NOT NULL CHECK (versioning IN ('', 'Enabled', 'Suspended')),
    owner      text COLLATE "C" NOT NULL,
    cache      jsonb       NOT NULL,
    config     json        NOT NULL, -- not jsonb: documents come back as they were put
    created    timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE INDEX bucket_owner ON bucket (owner, name);

CREATE TABLE outbox (
    xid        xid8        NOT NULL DEFAULT pg_current_xact_id(),
    id         bigserial,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    type       text        NOT NULL,
    bucket     text        NOT NULL DEFAULT '',
    key        text        NOT NULL DEFAULT '',
    version_id text        NOT NULL DEFAULT '',
    region     text        NOT NULL DEFAULT '',
    data       jsonb,
    PRIMARY KEY (xid, id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

-- The live latest version of each key: all that most requests look at.
CREATE TABLE object (
    bucket_id    bigint      NOT NULL,
    seq          bigint      NOT NULL, -- the event of the write: orders the versions of a key
    size         bigint      NOT NULL,
    crc64        bigint      NOT NULL, -- of the bytes, as a signed number
    modified     timestamptz NOT NULL,
    is_null      boolean     NOT NULL, -- written while versioning was not enabled
    key          text COLLATE "C" NOT NULL,
    version_id   text COLLATE "C" NOT NULL,
    etag         text        NOT NULL,
    owner        text        NOT NULL,
    content_type text        NOT NULL,
    blob         text COLLATE "C" NOT NULL,
    regions      text[]      NOT NULL,
    attrs        jsonb, -- what few objects have; null if nothing
    parts        jsonb, -- of a multipart object; long, so apart from what listings read
    PRIMARY KEY (bucket_id, key)
-- A page of a listing reads over dead keys until they are vacuumed away: a
-- share of a large table would be too many of them.
) WITH (fillfactor = 95, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
        autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0,
        autovacuum_analyze_scale_factor = 0.05);

CREATE INDEX object_blob ON object (blob);

-- Noncurrent versions, and all delete markers.
CREATE TABLE object_history (
    LIKE object,
    marker boolean NOT NULL DEFAULT false
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
        autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0,
        autovacuum_analyze_scale_factor = 0.05);

CREATE UNIQUE INDEX object_history_order ON object_history (bucket_id, key, seq DESC);
CREATE UNIQUE INDEX object_history_version ON object_history (bucket_id, key, version_id);
CREATE UNIQUE INDEX object_history_null ON object_history (bucket_id, key) WHERE is_null;
CREATE INDEX object_history_blob ON object_history (blob) WHERE blob <> '';

-- Versions that were removed while a region still holds their bytes.
CREATE TABLE dropped_version (
    LIKE object,
    bucket  text        NOT NULL, -- the name: the bucket itself may be gone
    dropped timestamptz NOT NULL,
    PRIMARY KEY (version_id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

CREATE INDEX dropped_version_blob ON dropped_version (blob);

-- What each region has to free of them.
CREATE TABLE dropped_blob (
    region  text COLLATE "C" NOT NULL,
    blob    text COLLATE "C" NOT NULL,
    dropped timestamptz      NOT NULL,
    PRIMARY KEY (region, blob)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

CREATE INDEX dropped_blob_age ON dropped_blob (region, dropped, blob);

CREATE FUNCTION drop_version(v object) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF v.blob = '' OR v.regions = '{}' THEN
        RETURN;
    END IF;
    INSERT INTO dropped_version
         SELECT (v).*, coalesce((SELECT b.name FROM bucket b WHERE b.id = v.bucket_id), ''), clock_timestamp();
    INSERT INTO dropped_blob
         SELECT DISTINCT r, v.blob, clock_timestamp() FROM unnest(v.regions) r
    ON CONFLICT DO NOTHING;
END $$;

-- No version leaves "object" without a trace: it goes to the history, or, where
-- versioning does not keep it, to the queue of the sweeper. Which of the two
-- follows from the versions themselves: a null version takes the place of the
-- null version before it, all others are kept.
CREATE FUNCTION object_overwritten() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.is_null AND NEW.is_null THEN
        PERFORM drop_version(OLD);
    ELSE
        INSERT INTO object_history SELECT (OLD).*;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER object_overwritten AFTER UPDATE ON object
FOR EACH ROW WHEN (OLD.version_id <> NEW.version_id) EXECUTE FUNCTION object_overwritten();

-- A version that is deleted from "object" was hidden by a delete marker, which
-- is in the history by then, or it was removed for good.
CREATE FUNCTION object_deleted() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    hidden_by_null boolean;
BEGIN
    SELECT h.is_null INTO hidden_by_null FROM object_history h
     WHERE h.bucket_id = OLD.bucket_id AND h.key = OLD.key AND h.seq > OLD.seq
     ORDER BY h.seq DESC LIMIT 1;
    IF NOT FOUND OR (OLD.is_null AND hidden_by_null) THEN
        PERFORM drop_version(OLD);
    ELSE
        INSERT INTO object_history SELECT (OLD).*;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER object_deleted AFTER DELETE ON object
FOR EACH ROW EXECUTE FUNCTION object_deleted();

-- The places of delete markers that were removed, for a listing that goes on
-- behind one of them. Removed versions have theirs in dropped_version.
CREATE TABLE removed_marker (
    version_id text COLLATE "C" PRIMARY KEY,
    seq        bigint      NOT NULL,
    removed    timestamptz NOT NULL
);

CREATE INDEX removed_marker_age ON removed_marker (removed);

-- remember_marker forgets two old ones for each new one.
CREATE FUNCTION remember_marker(p_version text, p_seq bigint) RETURNS void
LANGUAGE sql AS $$
    DELETE FROM removed_marker WHERE version_id IN (
           SELECT version_id FROM removed_marker WHERE removed < now() - interval '1 day'
            ORDER BY removed LIMIT 2 FOR UPDATE SKIP LOCKED);
    INSERT INTO removed_marker VALUES (p_version, p_seq, now());
$$;

-- remove_noncurrent removes a version from the history for good.
CREATE FUNCTION remove_noncurrent(p_bucket_id bigint, p_key text, p_seq bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    h object_history;
BEGIN
    DELETE FROM object_history WHERE bucket_id = p_bucket_id AND key = p_key AND seq = p_seq RETURNING * INTO h;
    IF h.marker THEN
        PERFORM remember_marker(h.version_id, h.seq);
    ELSE
        PERFORM drop_version(ROW(h.bucket_id, h.seq, h.size, h.crc64, h.modified, h.is_null, h.key, h.version_id,
                                 h.etag, h.owner, h.content_type, h.blob, h.regions, h.attrs, h.parts)::object);
    END IF;
END $$;

-- remove_null makes room for a new null version.
CREATE FUNCTION remove_null(p_bucket_id bigint, p_key text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    s bigint;
BEGIN
    SELECT seq INTO s FROM object_history WHERE bucket_id = p_bucket_id AND key = p_key AND is_null;
    IF FOUND THEN
        PERFORM remove_noncurrent(p_bucket_id, p_key, s);
    END IF;
END $$;

-- open_bucket returns a bucket that stays until the end of the transaction.
CREATE FUNCTION open_bucket(p_name text) RETURNS bucket
LANGUAGE plpgsql AS $$
DECLARE
    b bucket;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(-1, hashtext(p_name));
    SELECT * INTO b FROM bucket WHERE name = p_name;
    RETURN b;
END $$;

CREATE FUNCTION lock_key(p_bucket_id bigint, p_key text) RETURNS void
LANGUAGE sql AS $$ SELECT pg_advisory_xact_lock(hashtextextended(p_key, p_bucket_id)) $$;

-- failed_condition evaluates a metadata.Cond; null where it holds.
CREATE FUNCTION failed_condition(p_etag text, p_version text, p_match text[], p_none_match text[], p_if_version text)
RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN p_match IS NOT NULL AND p_version IS NULL THEN 'no key'
        WHEN p_match IS NOT NULL AND NOT (p_etag = ANY (p_match) OR '*' = ANY (p_match)) THEN 'precondition'
        WHEN p_none_match IS NOT NULL AND p_version IS NOT NULL
             AND (p_etag = ANY (p_none_match) OR '*' = ANY (p_none_match)) THEN 'precondition'
        WHEN p_if_version <> '' AND p_version IS DISTINCT FROM p_if_version THEN 'precondition'
    END
$$;

-- Multipart uploads in progress.
CREATE TABLE upload (
    id                 text COLLATE "C" PRIMARY KEY,
    bucket_id          bigint      NOT NULL,
    key                text COLLATE "C" NOT NULL,
    version_id         text        NOT NULL,
    owner              text        NOT NULL,
    content_type       text        NOT NULL,
    blob               text COLLATE "C" NOT NULL,
    regions            text[]      NOT NULL,
    attrs              jsonb,
    region             text        NOT NULL,
    store_upload       text        NOT NULL,
    checksum_algorithm text        NOT NULL,
    checksum_type      text        NOT NULL,
    created            timestamptz NOT NULL
);

CREATE UNIQUE INDEX upload_key ON upload (bucket_id, key, id);
CREATE INDEX upload_blob ON upload (blob);
CREATE INDEX upload_age ON upload (region, created, id);

CREATE TABLE part (
    upload_id  text COLLATE "C" NOT NULL REFERENCES upload ON DELETE CASCADE,
    number     integer     NOT NULL,
    size       bigint      NOT NULL,
    crc64      bigint      NOT NULL,
    modified   timestamptz NOT NULL,
    etag       text        NOT NULL,
    store_part text        NOT NULL,
    checksums  jsonb,
    PRIMARY KEY (upload_id, number)
);

-- put_part records a part and returns the one it replaced.
CREATE FUNCTION put_part(p_upload text, p_number integer, p_size bigint, p_crc64 bigint, p_modified timestamptz,
                         p_etag text, p_store_part text, p_checksums jsonb,
                         OUT r_found boolean, OUT r_replaced part)
LANGUAGE plpgsql AS $$
BEGIN
    -- An upload that is being completed or aborted is gone when its lock is ours.
    PERFORM FROM upload WHERE id = p_upload FOR KEY SHARE;
    r_found := FOUND;
    IF NOT r_found THEN
        RETURN;
    END IF;
    INSERT INTO part VALUES (p_upload, p_number, p_size, p_crc64, p_modified, p_etag, p_store_part, p_checksums)
    ON CONFLICT DO NOTHING;
    IF FOUND THEN
        RETURN;
    END IF;
    SELECT * INTO r_replaced FROM part WHERE upload_id = p_upload AND number = p_number FOR UPDATE;
    UPDATE part SET size = p_size, crc64 = p_crc64, modified = p_modified, etag = p_etag,
                    store_part = p_store_part, checksums = p_checksums
     WHERE upload_id = p_upload AND number = p_number;
END $$;

-- commit_version makes a version the current one of its key. r_status is 'done',
-- 'again' where the version was committed before, or the reason of a refusal.
-- p_upload, unless empty, is the upload that ends with it.
CREATE FUNCTION commit_version(
    p_bucket text, p_key text, p_version text, p_size bigint, p_crc64 bigint, p_modified timestamptz, p_etag text,
    p_owner text, p_content_type text, p_blob text, p_regions text[], p_attrs jsonb, p_parts jsonb,
    p_match text[], p_none_match text[], p_if_version text, p_upload text, p_region text, p_data jsonb,
    OUT r_status text, OUT r_xid xid8, OUT r_seq bigint, OUT r_null boolean)
LANGUAGE plpgsql AS $$
DECLARE
    b           bucket;
    old_version text;
    old_etag    text;
BEGIN
    b := open_bucket(p_bucket);
    IF b.id IS NULL THEN
        r_status := 'no bucket';
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(p_key, b.id));
    SELECT version_id, etag INTO old_version, old_etag FROM object WHERE bucket_id = b.id AND key = p_key;
    IF old_version = p_version
       OR EXISTS (SELECT FROM dropped_version WHERE version_id = p_version)
       OR (b.versioning <> '' AND EXISTS (
           SELECT FROM object_history WHERE bucket_id = b.id AND key = p_key AND version_id = p_version)) THEN
        r_status := 'again';
        RETURN;
    END IF;
    IF p_match IS NOT NULL OR p_none_match IS NOT NULL OR p_if_version <> '' THEN
        r_status := failed_condition(old_etag, old_version, p_match, p_none_match, p_if_version);
        IF r_status IS NOT NULL THEN
            RETURN;
        END IF;
    END IF;
    IF p_upload <> '' THEN
        DELETE FROM upload WHERE id = p_upload AND bucket_id = b.id AND key = p_key;
        IF NOT FOUND THEN
            r_status := 'no upload';
            RETURN;
        END IF;
    END IF;

    r_null := b.versioning <> 'Enabled';
    r_seq := nextval('outbox_id_seq');
    IF b.versioning = 'Suspended' THEN
        PERFORM remove_null(b.id, p_key);
    END IF;
    IF old_version IS NULL THEN
        INSERT INTO object (bucket_id, seq, size, crc64, modified, is_null, key, version_id, etag, owner,
                            content_type, blob, regions, attrs, parts)
        VALUES (b.id, r_seq, p_size, p_crc64, p_modified, r_null, p_key, p_version, p_etag, p_owner,
                p_content_type, p_blob, p_regions, p_attrs, p_parts);
    ELSE
        UPDATE object SET seq = r_seq, size = p_size, crc64 = p_crc64, modified = p_modified, is_null = r_null,
               version_id = p_version, etag = p_etag, owner = p_owner, content_type = p_content_type, blob = p_blob,
               regions = p_regions, attrs = p_attrs, parts = p_parts
         WHERE bucket_id = b.id AND key = p_key;
    END IF;
    INSERT INTO outbox (id, type, bucket, key, version_id, region, data)
    VALUES (r_seq, 'object.created', p_bucket, p_key, p_version, p_region, p_data)
    RETURNING xid INTO r_xid;
    r_status := 'done';
END $$;

-- delete_version does what metadata.Objects.Delete says; r_version is the version
-- that was removed, or the new delete marker.
CREATE FUNCTION delete_version(
    p_bucket text, p_key text, p_version text, p_match text[], p_none_match text[], p_if_version text,
    p_marker text, p_modified timestamptz, p_region text,
    OUT r_status text, OUT r_xid xid8, OUT r_seq bigint, OUT r_version object_history)
LANGUAGE plpgsql AS $$
DECLARE
    b       bucket;
    old     object;
    newest  object_history;
    v       object_history;
    current boolean := true; -- whether the current version changes
BEGIN
    b := open_bucket(p_bucket);
    IF b.id IS NULL THEN
        r_status := 'no bucket';
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(p_key, b.id));
    -- While the lock was waited for, versioning may have been changed and others
    -- may have written by it: nobody goes back behind them.
    SELECT versioning INTO b.versioning FROM bucket WHERE id = b.id;
    SELECT * INTO old FROM object WHERE bucket_id = b.id AND key = p_key;
    r_status := failed_condition(old.etag, old.version_id, p_match, p_none_match, p_if_version);
    IF r_status IS NOT NULL THEN
        RETURN;
    END IF;

    IF p_version = '' AND b.versioning <> '' THEN
        r_seq := nextval('outbox_id_seq');
        IF b.versioning = 'Suspended' THEN
            PERFORM remove_null(b.id, p_key);
        END IF;
        INSERT INTO object_history (bucket_id, seq, size, crc64, modified, is_null, key, version_id, etag, owner,
                                    content_type, blob, regions, marker)
        VALUES (b.id, r_seq, 0, 0, p_modified, b.versioning = 'Suspended', p_key, p_marker, '', '', '', '', '{}', true)
        RETURNING * INTO v;
        DELETE FROM object WHERE bucket_id = b.id AND key = p_key;
    ELSIF p_version IN ('', old.version_id) OR (p_version = 'null' AND old.is_null) THEN
        IF old.key IS NULL THEN
            r_status := 'no key';
            RETURN;
        END IF;
        DELETE FROM object WHERE bucket_id = b.id AND key = p_key RETURNING *, false INTO v;
    ELSE
        SELECT * INTO v FROM object_history
         WHERE bucket_id = b.id AND key = p_key
           AND (version_id = p_version OR (p_version = 'null' AND is_null));
        IF NOT FOUND THEN
            r_status := 'no version';
            RETURN;
        END IF;
        current := old.key IS NULL AND v.seq = (
            SELECT seq FROM object_history WHERE bucket_id = b.id AND key = p_key ORDER BY seq DESC LIMIT 1);
        PERFORM remove_noncurrent(b.id, p_key, v.seq);
    END IF;

    -- What lies below a current version that was removed is current now.
    IF current AND p_version <> '' THEN
        SELECT * INTO newest FROM object_history
         WHERE bucket_id = b.id AND key = p_key ORDER BY seq DESC LIMIT 1;
        IF FOUND AND NOT newest.marker THEN
            INSERT INTO object VALUES (newest.bucket_id, newest.seq, newest.size, newest.crc64, newest.modified,
                newest.is_null, newest.key, newest.version_id, newest.etag, newest.owner, newest.content_type,
                newest.blob, newest.regions, newest.attrs, newest.parts);
            DELETE FROM object_history WHERE bucket_id = b.id AND key = p_key AND seq = newest.seq;
        END IF;
    END IF;

    r_seq := coalesce(r_seq, nextval('outbox_id_seq'));
    INSERT INTO outbox (id, type, bucket, key, version_id, region, data)
    VALUES (r_seq, 'object.deleted', p_bucket, p_key, v.version_id, p_region,
            jsonb_strip_nulls(jsonb_build_object('size', v.size, 'etag', nullif(v.etag, ''),
                'content_type', nullif(v.content_type, ''), 'delete_marker', nullif(v.marker, false),
                'current', current)))
    RETURNING xid INTO r_xid;
    r_version := v;
    r_status := 'done';
END $$;

-- place_blob records a copy. r_status is 'done', 'again', or 'no version' where
-- nothing names the blob.
CREATE FUNCTION place_blob(
    p_blob text, p_region text, OUT r_status text)
LANGUAGE plpgsql AS $$
DECLARE
    at_id     bigint;
    at_key    text;
    v_id      text;
    v_regions text[];
    v_bucket  text;
BEGIN
    -- One statement, one state of the database: the version is in one of the
    -- three. It moves between them under the lock of its key only.
    SELECT o.bucket_id, o.key INTO at_id, at_key FROM object o WHERE o.blob = p_blob
    UNION ALL SELECT h.bucket_id, h.key FROM object_history h WHERE h.blob = p_blob AND h.blob <> ''
    UNION ALL SELECT d.bucket_id, d.key FROM dropped_version d WHERE d.blob = p_blob
    LIMIT 1;
    IF NOT FOUND THEN
        r_status := 'no version';
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(at_key, at_id));

    SELECT version_id, regions INTO v_id, v_regions FROM object
     WHERE bucket_id = at_id AND key = at_key AND blob = p_blob;
    IF NOT FOUND THEN
        SELECT version_id, regions INTO v_id, v_regions FROM object_history WHERE blob = p_blob AND blob <> '';
    END IF;
    IF NOT FOUND THEN
        -- It was removed while it was copied: the copy is to be freed too.
        SELECT version_id INTO v_id FROM dropped_version WHERE blob = p_blob FOR UPDATE;
        IF NOT FOUND THEN
            r_status := 'no version';
            RETURN;
        END IF;
        UPDATE dropped_version SET regions = regions || p_region
         WHERE version_id = v_id AND p_region <> ALL (regions);
        INSERT INTO dropped_blob VALUES (p_region, p_blob, clock_timestamp()) ON CONFLICT DO NOTHING;
        r_status := 'again';
        RETURN;
    END IF;
    IF p_region = ANY (v_regions) THEN
        r_status := 'again';
        RETURN;
    END IF;
    UPDATE object SET regions = regions || p_region WHERE bucket_id = at_id AND key = at_key AND blob = p_blob;
    IF NOT FOUND THEN
        UPDATE object_history SET regions = regions || p_region WHERE blob = p_blob AND blob <> '';
    END IF;
    SELECT name INTO v_bucket FROM bucket WHERE id = at_id;
    INSERT INTO outbox (type, bucket, key, version_id, region)
    VALUES ('blob.placed', coalesce(v_bucket, ''), at_key, v_id, p_region);
    r_status := 'done';
END $$;

-- s3_fold returns the common prefix of a key: up to and including the first
-- delimiter behind the first plen characters; null where there is none.
CREATE FUNCTION s3_fold(key text, plen integer, delim text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN strpos(substr(key, plen + 1), delim) > 0
                THEN left(key, plen + strpos(substr(key, plen + 1), delim) + length(delim) - 1) END
$$;
