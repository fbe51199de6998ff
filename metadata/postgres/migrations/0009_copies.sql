-- Copies. Which regions shall hold a bucket's blobs is said by its placement and
-- its residency; what is missing is queued in copy_job by the transaction that
-- makes a version, so that no follower of the feed can be too late for it.

ALTER TABLE bucket ADD COLUMN residency text[] NOT NULL DEFAULT '{}'; -- allowed regions; none: all

-- The regions that "all" means: those whose origin has run. They stay known
-- however long they are away.
CREATE TABLE region (
    name  text COLLATE "C" PRIMARY KEY,
    added timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE copy_job (
    blob       text COLLATE "C" NOT NULL,
    region     text COLLATE "C" NOT NULL, -- that is to make it
    bucket     text        NOT NULL,
    key        text        NOT NULL,
    version_id text        NOT NULL,
    size       bigint      NOT NULL,
    queued     timestamptz NOT NULL DEFAULT clock_timestamp(),
    due        timestamptz NOT NULL DEFAULT clock_timestamp(), -- while it is leased: the end of the lease
    holder     text        NOT NULL DEFAULT '',                -- of the lease
    tries      integer     NOT NULL DEFAULT 0,
    error      text        NOT NULL DEFAULT '',                -- of the last try
    failed     timestamptz,
    upload     text        NOT NULL DEFAULT '',                -- of the region's store, where a copy broke off
    PRIMARY KEY (blob, region)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

CREATE INDEX copy_job_due ON copy_job (region, due);

-- What a large copy has stored already.
CREATE TABLE copy_part (
    blob       text COLLATE "C" NOT NULL,
    region     text COLLATE "C" NOT NULL,
    number     integer NOT NULL,
    size       bigint  NOT NULL,
    crc64      bigint  NOT NULL,
    store_part text    NOT NULL,
    PRIMARY KEY (blob, region, number),
    FOREIGN KEY (blob, region) REFERENCES copy_job ON DELETE CASCADE
);

-- Buckets whose placement changed, and how far their versions have been
-- compared with it.
CREATE TABLE placement_review (
    bucket_id bigint PRIMARY KEY REFERENCES bucket ON DELETE CASCADE,
    after_key text COLLATE "C" NOT NULL DEFAULT '',
    after_seq bigint NOT NULL DEFAULT 0
);

-- wanted_regions are those that shall hold a blob; holders have it now, the
-- first of them longest. As metadata.Bucket.Wanted.
CREATE FUNCTION wanted_regions(b bucket, holders text[]) RETURNS text[]
LANGUAGE plpgsql STABLE AS $$
DECLARE
    everywhere text[];
BEGIN
    IF b.placement = '{home}' THEN
        RETURN CASE WHEN b.residency = '{}' OR holders[1] = ANY (b.residency) THEN holders[1:1] ELSE ARRAY[b.region] END;
    ELSIF b.placement <> '{all}' THEN
        RETURN b.placement;
    END IF;
    SELECT array_agg(DISTINCT r ORDER BY r) INTO everywhere
      FROM (SELECT name FROM region UNION SELECT unnest(holders) UNION SELECT b.region) AS known (r)
     WHERE b.residency = '{}' OR r = ANY (b.residency);
    RETURN coalesce(everywhere, '{}');
END $$;

-- queue_copies asks for the copies that a version lacks, of b's placement.
CREATE FUNCTION queue_copies(b bucket, p_blob text, p_key text, p_version text, p_size bigint, p_regions text[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF b.placement = '{all}' THEN
        -- A region that joins meanwhile is either among them or finds the
        -- version when it looks for what "all" buckets hold: see add_region.
        PERFORM pg_advisory_xact_lock_shared(-2, 0);
    END IF;
    INSERT INTO copy_job (blob, region, bucket, key, version_id, size)
    SELECT p_blob, r, b.name, p_key, p_version, p_size
      FROM unnest(wanted_regions(b, p_regions)) r WHERE r <> ALL (p_regions)
    ON CONFLICT DO NOTHING;
END $$;

-- refuse_regions fails where b may not be in all of these regions.
CREATE FUNCTION refuse_regions(b bucket, p_regions text[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF b.residency <> '{}' AND NOT p_regions <@ b.residency THEN
        RAISE EXCEPTION 'bucket % may be kept in % only', b.name, array_to_string(b.residency, ', ')
              USING ERRCODE = 'MR001';
    END IF;
END $$;

-- A new version is refused in a region where its bucket may not be, and asks for
-- its copies. One that comes back from the history has asked before.
CREATE FUNCTION object_written() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    b bucket;
BEGIN
    SELECT * INTO b FROM bucket WHERE id = NEW.bucket_id;
    IF b.placement = '{home}' AND b.residency = '{}' THEN
        RETURN NULL;
    END IF;
    IF EXISTS (SELECT FROM object_history WHERE blob = NEW.blob AND blob <> '') THEN
        RETURN NULL;
    END IF;
    PERFORM refuse_regions(b, NEW.regions);
    PERFORM queue_copies(b, NEW.blob, NEW.key, NEW.version_id, NEW.size, NEW.regions);
    RETURN NULL;
END $$;

CREATE TRIGGER object_inserted AFTER INSERT ON object
FOR EACH ROW EXECUTE FUNCTION object_written();

CREATE TRIGGER object_updated AFTER UPDATE ON object
FOR EACH ROW WHEN (OLD.version_id <> NEW.version_id) EXECUTE FUNCTION object_written();

-- Nobody copies any more what is gone.
CREATE FUNCTION drop_copies() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM copy_job WHERE blob = NEW.blob;
    RETURN NULL;
END $$;

CREATE TRIGGER version_dropped AFTER INSERT ON dropped_version
FOR EACH ROW EXECUTE FUNCTION drop_copies();

-- A changed placement is compared with what is there, by and by. The lock waits
-- for commits that go by the old one, so that the review sees their versions.
CREATE FUNCTION placement_changed() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(-1, hashtext(NEW.name));
    INSERT INTO placement_review (bucket_id) VALUES (NEW.id)
    ON CONFLICT (bucket_id) DO UPDATE SET after_key = '', after_seq = 0;
    RETURN NULL;
END $$;

CREATE TRIGGER placement_changed AFTER UPDATE ON bucket
FOR EACH ROW WHEN (OLD.placement <> NEW.placement OR OLD.residency <> NEW.residency)
EXECUTE FUNCTION placement_changed();

-- add_region makes a region one of "all".
CREATE FUNCTION add_region(p_region text) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM region WHERE name = p_region) THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(-2, 0);
    INSERT INTO region (name) VALUES (p_region) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO placement_review (bucket_id) SELECT id FROM bucket WHERE placement = '{all}' ORDER BY id
    ON CONFLICT (bucket_id) DO UPDATE SET after_key = '', after_seq = 0;
    RETURN true;
END $$;

-- free_copies gives up the copies of a version that its placement does not
-- want, once all those it wants are there. The lock of the key is held. The
-- bytes are freed by the sweeper of the region, after its grace period.
CREATE FUNCTION free_copies(b bucket, p_key text, p_blob text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    v_id      text;
    v_regions text[];
    wanted    text[];
    surplus   text[];
BEGIN
    SELECT version_id, regions INTO v_id, v_regions FROM object
     WHERE bucket_id = b.id AND key = p_key AND blob = p_blob;
    IF NOT FOUND THEN
        SELECT version_id, regions INTO v_id, v_regions FROM object_history WHERE blob = p_blob AND blob <> '';
        IF NOT FOUND THEN
            RETURN false;
        END IF;
    END IF;
    wanted := wanted_regions(b, v_regions);
    IF wanted = '{}' OR NOT wanted <@ v_regions THEN
        RETURN false;
    END IF;
    -- The regions keep their order: the first is the home of the version.
    SELECT array_agg(r ORDER BY n) FILTER (WHERE r = ANY (wanted)), array_agg(r) FILTER (WHERE r <> ALL (wanted))
      INTO v_regions, surplus FROM unnest(v_regions) WITH ORDINALITY AS t (r, n);
    IF surplus IS NULL THEN
        RETURN false;
    END IF;
    UPDATE object SET regions = v_regions WHERE bucket_id = b.id AND key = p_key AND blob = p_blob;
    IF NOT FOUND THEN
        UPDATE object_history SET regions = v_regions WHERE blob = p_blob AND blob <> '';
    END IF;
    INSERT INTO dropped_blob SELECT r, p_blob, clock_timestamp() FROM unnest(surplus) r ON CONFLICT DO NOTHING;
    INSERT INTO outbox (type, bucket, key, version_id, region)
    SELECT 'blob.removed', b.name, p_key, v_id, r FROM unnest(surplus) r;
    RETURN true;
END $$;

-- As before, and the job is done, and copies that the placement no longer wants
-- are given up with the last one that it does. 'being freed' where the region
-- has yet to free an older copy of the same blob: what lies there is going away.
CREATE OR REPLACE FUNCTION place_blob(
    p_blob text, p_region text, OUT r_status text)
LANGUAGE plpgsql AS $$
DECLARE
    at_id     bigint;
    at_key    text;
    v_id      text;
    v_regions text[];
    b         bucket;
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
    -- Before the lock of the key, as everywhere: a change of placement waits
    -- for us, so that the copies freed here are those of the placement read.
    SELECT name INTO b.name FROM bucket WHERE id = at_id;
    b := open_bucket(b.name);
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
        DELETE FROM copy_job WHERE blob = p_blob AND region = p_region;
        r_status := 'again';
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM dropped_blob WHERE region = p_region AND blob = p_blob) THEN
        r_status := 'being freed';
        RETURN;
    END IF;
    UPDATE object SET regions = regions || p_region WHERE bucket_id = at_id AND key = at_key AND blob = p_blob;
    IF NOT FOUND THEN
        UPDATE object_history SET regions = regions || p_region WHERE blob = p_blob AND blob <> '';
    END IF;
    DELETE FROM copy_job WHERE blob = p_blob AND region = p_region;
    INSERT INTO outbox (type, bucket, key, version_id, region)
    VALUES ('blob.placed', coalesce(b.name, ''), at_key, v_id, p_region);
    IF b.id IS NOT NULL THEN
        PERFORM free_copies(b, at_key, p_blob);
    END IF;
    r_status := 'done';
END $$;

-- review_placement compares up to p_limit versions of one bucket whose placement
-- changed with it: missing copies are queued, jobs for copies that are not
-- wanted any more removed, surplus ones given up. r_found says whether there was
-- such a bucket that nobody else is at, r_events whether there are new events.
CREATE FUNCTION review_placement(p_limit integer, OUT r_found boolean, OUT r_events boolean)
LANGUAGE plpgsql AS $$
DECLARE
    at     placement_review;
    b      bucket;
    v      record;
    wanted text[];
    n      integer := 0;
BEGIN
    r_events := false;
    SELECT * INTO at FROM placement_review ORDER BY bucket_id LIMIT 1 FOR UPDATE SKIP LOCKED;
    r_found := FOUND;
    IF NOT r_found THEN
        RETURN;
    END IF;
    -- It stays as it is: to change it, one would have to wait for our row.
    SELECT * INTO b FROM bucket WHERE id = at.bucket_id;
    -- A version keeps its place when it moves from the one table to the other,
    -- and the statement sees one state of both.
    FOR v IN
        (SELECT key, seq, blob, version_id, size, regions FROM object
          WHERE bucket_id = b.id AND key >= at.after_key AND (key, seq) > (at.after_key, at.after_seq)
          ORDER BY key, seq LIMIT p_limit)
        UNION ALL
        (SELECT key, seq, blob, version_id, size, regions FROM object_history
          WHERE bucket_id = b.id AND key >= at.after_key AND (key, seq) > (at.after_key, at.after_seq)
          ORDER BY key, seq LIMIT p_limit)
        ORDER BY key, seq LIMIT p_limit
    LOOP
        n := n + 1;
        at.after_key := v.key;
        at.after_seq := v.seq;
        CONTINUE WHEN v.blob = ''; -- a delete marker
        wanted := wanted_regions(b, v.regions);
        DELETE FROM copy_job WHERE blob = v.blob AND region <> ALL (wanted);
        IF NOT wanted <@ v.regions THEN
            PERFORM queue_copies(b, v.blob, v.key, v.version_id, v.size, v.regions);
        ELSIF NOT v.regions <@ wanted THEN
            PERFORM lock_key(b.id, v.key);
            r_events := free_copies(b, v.key, v.blob) OR r_events;
        END IF;
    END LOOP;
    IF n < p_limit THEN
        DELETE FROM placement_review WHERE bucket_id = at.bucket_id;
    ELSE
        UPDATE placement_review SET after_key = at.after_key, after_seq = at.after_seq WHERE bucket_id = at.bucket_id;
    END IF;
END $$;
