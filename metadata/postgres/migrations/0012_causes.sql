-- Events say by what a change came about, under "cause" in their data: see
-- metadata.Cause. And a delete may be bound to the delete marker that hides a key.

DROP FUNCTION delete_version(text, text, text, text[], text[], text, text, timestamptz, text);

-- delete_version does what metadata.Objects.Delete says; r_version is the version
-- that was removed, or the new delete marker.
CREATE FUNCTION delete_version(
    p_bucket text, p_key text, p_version text, p_match text[], p_none_match text[], p_if_version text,
    p_marker text, p_modified timestamptz, p_region text, p_cause jsonb,
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
