-- Encryption at rest. How a version is encrypted is in its attributes, under
-- "sse"; the salts of parts, in those of uploads in progress.

ALTER TABLE part ADD COLUMN salt bytea;

DROP FUNCTION put_part(text, integer, bigint, bigint, timestamptz, text, text, jsonb);

-- As before, with the salt.
CREATE FUNCTION put_part(p_upload text, p_number integer, p_size bigint, p_crc64 bigint, p_modified timestamptz,
                         p_etag text, p_store_part text, p_checksums jsonb, p_salt bytea,
                         OUT r_found boolean, OUT r_replaced part)
LANGUAGE plpgsql AS $$
BEGIN
    -- An upload that is being completed or aborted is gone when its lock is ours.
    PERFORM FROM upload WHERE id = p_upload FOR KEY SHARE;
    r_found := FOUND;
    IF NOT r_found THEN
        RETURN;
    END IF;
    INSERT INTO part VALUES (p_upload, p_number, p_size, p_crc64, p_modified, p_etag, p_store_part, p_checksums, p_salt)
    ON CONFLICT DO NOTHING;
    IF FOUND THEN
        RETURN;
    END IF;
    SELECT * INTO r_replaced FROM part WHERE upload_id = p_upload AND number = p_number FOR UPDATE;
    UPDATE part SET size = p_size, crc64 = p_crc64, modified = p_modified, etag = p_etag,
                    store_part = p_store_part, checksums = p_checksums, salt = p_salt
     WHERE upload_id = p_upload AND number = p_number;
END $$;

-- sse_mark is the sign of the master key under which a data key is wrapped: its
-- first 9 bytes, 12 characters of base64. Null for all that has none.
CREATE FUNCTION sse_mark(attrs jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN attrs #>> '{sse,by}' = 'server' THEN left(attrs #>> '{sse,key}', 12) COLLATE "C" END
$$;

-- Whether any are left of a former key is one look at each.
CREATE INDEX object_sse ON object (sse_mark(attrs)) WHERE attrs ? 'sse';
CREATE INDEX object_history_sse ON object_history (sse_mark(attrs)) WHERE attrs ? 'sse';
CREATE INDEX upload_sse ON upload (sse_mark(attrs)) WHERE attrs ? 'sse';
