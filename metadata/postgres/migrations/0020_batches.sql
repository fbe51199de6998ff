-- Commits and deletes that a process has to make at once share a transaction. One
-- that is made together with others (p_wait is false) waits for nobody, since they
-- have locks meanwhile: where one that it needs is taken (r_status is 'busy'), or
-- the bucket has a quota ('alone'), nothing was done, and it is to be made by
-- itself. Both functions do otherwise what they did.

-- Events are delivered in the order of the transactions that wrote them. Who takes
-- the lock of a key before anything else, and so begins his transaction under it,
-- comes behind all who had it before. A transaction of several writes has begun when
-- it takes the lock of its second key: somebody may have begun later, written that
-- key and ended meanwhile. Behind him it must not write, since his event would come
-- last, and caches would keep what he wrote.

-- told_later says whether a transaction that began after this one has written a key.
-- Its events are the last ones of the index, however many there are.
CREATE FUNCTION told_later(p_bucket text, p_key text) RETURNS boolean
LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    RETURN EXISTS (SELECT FROM outbox WHERE xid > pg_current_xact_id() AND bucket = p_bucket AND key = p_key);
END $$;

-- try_key takes the lock of a key, unless it is taken or comes too late.
CREATE FUNCTION try_key(p_bucket_id bigint, p_bucket text, p_key text) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended(p_key, p_bucket_id)) THEN
        RETURN false;
    END IF;
    IF pg_snapshot_xmax(pg_current_snapshot()) > pg_current_xact_id_if_assigned() THEN -- one that began later has ended
        RETURN NOT told_later(p_bucket, p_key);
    END IF;
    RETURN true;
END $$;

-- commit_version says itself what object_written looked the bucket up for.
DROP TRIGGER object_inserted ON object;
DROP TRIGGER object_updated ON object;
DROP FUNCTION object_written();

DROP FUNCTION commit_version(text, text, text, bigint, bigint, timestamptz, text, text, text, text, text[], jsonb, jsonb,
                             text[], text[], text, text, text, jsonb);

-- commit_version makes a version the current one of its key. r_status is 'done',
-- 'again' where the version was committed before, 'busy', 'alone', or the reason of a
-- refusal. p_upload, unless empty, is the upload that ends with it. Error MQ001
-- means that the bucket's quota does not allow it, MQ002 that it is to be asked
-- once more, MR001 that the bucket may not be in its regions.
CREATE FUNCTION commit_version(
    p_bucket text, p_key text, p_version text, p_size bigint, p_crc64 bigint, p_modified timestamptz, p_etag text,
    p_owner text, p_content_type text, p_blob text, p_regions text[], p_attrs jsonb, p_parts jsonb,
    p_match text[], p_none_match text[], p_if_version text, p_upload text, p_region text, p_data jsonb, p_wait boolean,
    OUT r_status text, OUT r_xid xid8, OUT r_seq bigint, OUT r_null boolean)
LANGUAGE plpgsql AS $$
DECLARE
    b           bucket;
    old_version text;
    old_etag    text;
    again       boolean;
    used        bucket_usage;
BEGIN
    IF p_wait THEN
        PERFORM pg_advisory_xact_lock_shared(-1, hashtext(p_bucket));
    ELSIF NOT pg_try_advisory_xact_lock_shared(-1, hashtext(p_bucket)) THEN
        r_status := 'busy';
        RETURN;
    END IF;
    SELECT * INTO b FROM bucket WHERE name = p_bucket;
    IF NOT FOUND THEN
        r_status := 'no bucket';
        RETURN;
    END IF;
    IF p_wait THEN
        IF b.quota_bytes > 0 OR b.quota_objects > 0 THEN
            used := open_quota(b, p_size); -- before the lock of the key, as its locks are held longer
        END IF;
        PERFORM pg_advisory_xact_lock(hashtextextended(p_key, b.id));
    ELSIF b.quota_bytes > 0 OR b.quota_objects > 0 THEN
        r_status := 'alone';
        RETURN;
    ELSIF NOT try_key(b.id, p_bucket, p_key) THEN
        r_status := 'busy';
        RETURN;
    END IF;
    -- While the lock was waited for, versioning may have been changed and others
    -- may have written by it: nobody goes back behind them.
    SELECT n.versioning, o.version_id, o.etag,
           coalesce(o.version_id = p_version, false)
           OR EXISTS (SELECT FROM dropped_version d WHERE d.version_id = p_version)
           OR n.versioning <> '' AND EXISTS (
              SELECT FROM object_history h WHERE h.bucket_id = b.id AND h.key = p_key AND h.version_id = p_version)
      INTO b.versioning, old_version, old_etag, again
      FROM bucket n LEFT JOIN object o ON o.bucket_id = n.id AND o.key = p_key WHERE n.id = b.id;
    IF again THEN
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

    IF b.config -> 'object-lock' IS NOT NULL THEN
        p_attrs := default_retention(b.config -> 'object-lock', p_attrs, p_modified);
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
    IF b.placement <> '{home}' OR b.residency <> '{}' THEN
        PERFORM refuse_regions(b, p_regions);
        PERFORM queue_copies(b, p_blob, p_key, p_version, p_size, p_regions);
    END IF;
    INSERT INTO outbox (id, type, bucket, key, version_id, region, data)
    VALUES (r_seq, 'object.created', p_bucket, p_key, p_version, p_region, p_data)
    RETURNING xid INTO r_xid;
    IF b.quota_bytes > 0 OR b.quota_objects > 0 THEN
        PERFORM charge_quota(b, p_key, p_size, used);
    END IF;
    r_status := 'done';
END $$;

-- delete_version does what metadata.Objects.Delete says; r_version is the version
-- that was removed, or the new delete marker. p_bypass goes through governance
-- retention.
DROP FUNCTION delete_version(text, text, text, text[], text[], text, text, timestamptz, text, jsonb, boolean);
CREATE FUNCTION delete_version(
    p_bucket text, p_key text, p_version text, p_match text[], p_none_match text[], p_if_version text,
    p_marker text, p_modified timestamptz, p_region text, p_cause jsonb, p_bypass boolean, p_wait boolean,
    OUT r_status text, OUT r_xid xid8, OUT r_seq bigint, OUT r_version object_history)
LANGUAGE plpgsql AS $$
DECLARE
    b       bucket;
    old     object;
    newest  object_history;
    v       object_history;
    latest  text; -- the current version, or the marker that hides the key
    current boolean := true; -- whether the current version changes
    marking boolean;
BEGIN
    IF p_wait THEN
        PERFORM pg_advisory_xact_lock_shared(-1, hashtext(p_bucket));
    ELSIF NOT pg_try_advisory_xact_lock_shared(-1, hashtext(p_bucket)) THEN
        r_status := 'busy';
        RETURN;
    END IF;
    SELECT * INTO b FROM bucket WHERE name = p_bucket;
    IF NOT FOUND THEN
        r_status := 'no bucket';
        RETURN;
    END IF;
    IF p_wait THEN
        PERFORM pg_advisory_xact_lock(hashtextextended(p_key, b.id));
    ELSIF b.quota_bytes > 0 OR b.quota_objects > 0 THEN
        r_status := 'alone';
        RETURN;
    ELSIF NOT try_key(b.id, p_bucket, p_key) THEN
        r_status := 'busy';
        RETURN;
    END IF;
    -- While the lock was waited for, versioning may have been changed and others
    -- may have written by it: nobody goes back behind them.
    SELECT versioning INTO b.versioning FROM bucket WHERE id = b.id;
    SELECT * INTO old FROM object WHERE bucket_id = b.id AND key = p_key;
    latest := old.version_id;
    IF latest IS NULL AND p_if_version <> '' THEN
        SELECT version_id INTO latest FROM object_history
         WHERE bucket_id = b.id AND key = p_key ORDER BY seq DESC LIMIT 1;
    END IF;
    r_status := coalesce(failed_condition(old.etag, old.version_id, p_match, p_none_match, ''),
                         failed_condition('', latest, NULL, NULL, p_if_version));
    IF r_status IS NOT NULL THEN
        RETURN;
    END IF;

    IF p_bypass AND p_version <> '' THEN
        PERFORM lift_governance(b.id, p_key, p_version);
    END IF;
    marking := p_version = '' AND b.versioning <> '';
    IF marking THEN
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
                'permanent', nullif(NOT marking, false), 'current', current, 'cause', p_cause)))
    RETURNING xid INTO r_xid;
    r_version := v;
    r_status := 'done';
END $$;

-- No version is removed for good but by drop_version, so that this is where a
-- locked one is kept, whoever removes it: error ML001. Nobody copies any more what
-- is gone.
DROP TRIGGER version_dropped ON dropped_version;
DROP FUNCTION drop_copies();

CREATE OR REPLACE FUNCTION drop_version(v object) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    bucket_name text;
    counted     boolean;
BEGIN
    IF v.attrs ? 'lock' AND is_locked(v.attrs) THEN
        RAISE EXCEPTION '%', concat_ws(' and ',
                  CASE WHEN (v.attrs #>> '{lock,until}')::timestamptz > clock_timestamp()
                       THEN format('by %s retention until %s', v.attrs #>> '{lock,mode}', v.attrs #>> '{lock,until}') END,
                  CASE WHEN v.attrs #>> '{lock,hold}' = 'ON' THEN 'by a legal hold' END)
              USING ERRCODE = 'ML001';
    END IF;
    SELECT name, quota_bytes > 0 OR quota_objects > 0 INTO bucket_name, counted FROM bucket WHERE id = v.bucket_id;
    IF counted THEN
        UPDATE bucket_usage SET objects = objects - 1, bytes = bytes - v.size
         WHERE bucket_id = v.bucket_id AND shard = usage_shard(v.key);
    END IF;
    IF v.blob = '' OR v.regions = '{}' THEN
        RETURN;
    END IF;
    INSERT INTO dropped_version SELECT (v).*, coalesce(bucket_name, ''), clock_timestamp();
    INSERT INTO dropped_blob
         SELECT DISTINCT r, v.blob, clock_timestamp() FROM unnest(v.regions) r
    ON CONFLICT DO NOTHING;
    DELETE FROM copy_job WHERE blob = v.blob;
END $$;
