-- Locks of versions lie in their attributes: {"lock": {"mode", "until", "hold"}},
-- see metadata.Lock. That of a bucket lies in its configuration as "object-lock".

CREATE FUNCTION is_locked(p_attrs jsonb) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT coalesce(p_attrs #>> '{lock,hold}' = 'ON', false)
        OR coalesce((p_attrs #>> '{lock,until}')::timestamptz > clock_timestamp(), false)
$$;

-- No version is removed for good but by drop_version, so that this is where a
-- locked one is kept, whoever removes it: error ML001.
CREATE OR REPLACE FUNCTION drop_version(v object) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF v.attrs ? 'lock' AND is_locked(v.attrs) THEN
        RAISE EXCEPTION '%', concat_ws(' and ',
                  CASE WHEN (v.attrs #>> '{lock,until}')::timestamptz > clock_timestamp()
                       THEN format('by %s retention until %s', v.attrs #>> '{lock,mode}', v.attrs #>> '{lock,until}') END,
                  CASE WHEN v.attrs #>> '{lock,hold}' = 'ON' THEN 'by a legal hold' END)
              USING ERRCODE = 'ML001';
    END IF;
    UPDATE bucket_usage SET objects = objects - 1, bytes = bytes - v.size
     WHERE bucket_id = v.bucket_id AND shard = usage_shard(v.key);
    IF v.blob = '' OR v.regions = '{}' THEN
        RETURN;
    END IF;
    INSERT INTO dropped_version
         SELECT (v).*, coalesce((SELECT b.name FROM bucket b WHERE b.id = v.bucket_id), ''), clock_timestamp();
    INSERT INTO dropped_blob
         SELECT DISTINCT r, v.blob, clock_timestamp() FROM unnest(v.regions) r
    ON CONFLICT DO NOTHING;
END $$;

-- lift_governance takes governance retention off a version that is about to be
-- removed by somebody who may bypass it. The lock of the key is held.
CREATE FUNCTION lift_governance(p_bucket_id bigint, p_key text, p_version text) RETURNS void
LANGUAGE sql AS $$
    UPDATE object SET attrs = attrs #- '{lock,mode}' #- '{lock,until}'
     WHERE bucket_id = p_bucket_id AND key = p_key AND attrs #>> '{lock,mode}' = 'GOVERNANCE'
       AND (version_id = p_version OR p_version = 'null' AND is_null);
    UPDATE object_history SET attrs = attrs #- '{lock,mode}' #- '{lock,until}'
     WHERE bucket_id = p_bucket_id AND key = p_key AND attrs #>> '{lock,mode}' = 'GOVERNANCE'
       AND (version_id = p_version OR p_version = 'null' AND is_null);
$$;

-- default_retention is the attributes of a new version with the retention that
-- the bucket's object lock gives to those that have none.
CREATE FUNCTION default_retention(p_lock json, p_attrs jsonb, p_modified timestamptz) RETURNS jsonb
LANGUAGE plpgsql STABLE AS $$
DECLARE
    l     jsonb := coalesce(p_attrs -> 'lock', '{}');
    until timestamp;
BEGIN
    IF p_lock ->> 'mode' IS NULL OR l ? 'mode' THEN
        RETURN p_attrs;
    END IF;
    until := p_modified AT TIME ZONE 'UTC' + make_interval(years => coalesce((p_lock ->> 'years')::int, 0),
                                                           days => coalesce((p_lock ->> 'days')::int, 0));
    l := l || jsonb_build_object('mode', p_lock ->> 'mode', 'until', to_char(until, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'));
    RETURN coalesce(p_attrs, '{}') || jsonb_build_object('lock', l);
END $$;

-- As before, and a version without a retention gets the default one.
CREATE OR REPLACE FUNCTION commit_version(
    p_bucket text, p_key text, p_version text, p_size bigint, p_crc64 bigint, p_modified timestamptz, p_etag text,
    p_owner text, p_content_type text, p_blob text, p_regions text[], p_attrs jsonb, p_parts jsonb,
    p_match text[], p_none_match text[], p_if_version text, p_upload text, p_region text, p_data jsonb,
    OUT r_status text, OUT r_xid xid8, OUT r_seq bigint, OUT r_null boolean)
LANGUAGE plpgsql AS $$
DECLARE
    b           bucket;
    old_version text;
    old_etag    text;
    used        bucket_usage;
BEGIN
    b := open_bucket(p_bucket);
    IF b.id IS NULL THEN
        r_status := 'no bucket';
        RETURN;
    END IF;
    IF b.quota_bytes > 0 OR b.quota_objects > 0 THEN
        used := open_quota(b, p_size); -- before the lock of the key, as its locks are held longer
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(p_key, b.id));
    -- While the lock was waited for, versioning may have been changed and others
    -- may have written by it: nobody goes back behind them.
    SELECT versioning INTO b.versioning FROM bucket WHERE id = b.id;
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
    INSERT INTO outbox (id, type, bucket, key, version_id, region, data)
    VALUES (r_seq, 'object.created', p_bucket, p_key, p_version, p_region, p_data)
    RETURNING xid INTO r_xid;
    IF b.quota_bytes > 0 OR b.quota_objects > 0 THEN
        PERFORM charge_quota(b, p_key, p_size, used);
    END IF;
    r_status := 'done';
END $$;

-- As before; p_bypass goes through governance retention.
DROP FUNCTION delete_version(text, text, text, text[], text[], text, text, timestamptz, text, jsonb);
CREATE FUNCTION delete_version(
    p_bucket text, p_key text, p_version text, p_match text[], p_none_match text[], p_if_version text,
    p_marker text, p_modified timestamptz, p_region text, p_cause jsonb, p_bypass boolean,
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
