-- What may come into a bucket. The quotas stand beside the rules because every
-- commit looks at them; 0 is none.
ALTER TABLE bucket
    ADD COLUMN upload_rules  json   NOT NULL DEFAULT '{}',
    ADD COLUMN quota_bytes   bigint NOT NULL DEFAULT 0,
    ADD COLUMN quota_objects bigint NOT NULL DEFAULT 0;

-- What a bucket with a quota holds, in 16 rows so that commits seldom wait for
-- each other: a version counts in the row that its key falls to. Buckets without
-- a quota have no rows here, and their commits pay nothing.
CREATE TABLE bucket_usage (
    bucket_id bigint  NOT NULL REFERENCES bucket ON DELETE CASCADE,
    shard     integer NOT NULL,
    objects   bigint  NOT NULL,
    bytes     bigint  NOT NULL,
    PRIMARY KEY (bucket_id, shard)
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0);

CREATE FUNCTION usage_shard(p_key text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT hashtext(p_key) & 15 $$;

-- count_usage begins the account of a bucket. The caller holds the lock of the
-- bucket alone, so that nothing is being committed in it.
CREATE FUNCTION count_usage(p_bucket_id bigint) RETURNS void
LANGUAGE sql AS $$
    DELETE FROM bucket_usage WHERE bucket_id = p_bucket_id;
    INSERT INTO bucket_usage
         SELECT p_bucket_id, s.shard, count(v.size), coalesce(sum(v.size), 0)
           FROM generate_series(0, 15) s(shard)
           LEFT JOIN (SELECT usage_shard(key) AS shard, size FROM object WHERE bucket_id = p_bucket_id
                      UNION ALL
                      SELECT usage_shard(key), size FROM object_history WHERE bucket_id = p_bucket_id AND NOT marker) v
                  ON v.shard = s.shard
          GROUP BY s.shard;
$$;

CREATE FUNCTION usage_of(p_bucket_id bigint) RETURNS bucket_usage
LANGUAGE sql STABLE AS $$
    SELECT ROW(p_bucket_id, 0, coalesce(sum(objects), 0), coalesce(sum(bytes), 0))::bucket_usage
      FROM bucket_usage WHERE bucket_id = p_bucket_id
$$;

-- near_quota says whether a commit of so many bytes must be the only one in the
-- bucket. Others that run beside it are not seen; they are at most 15, one for
-- each other row of the account. As long as none of them is larger than a 160th
-- of the quota, and they stop at nine tenths of it, they cannot cross it.
CREATE FUNCTION near_quota(b bucket, u bucket_usage, p_size bigint) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT b.quota_bytes > 0 AND (p_size > b.quota_bytes / 160 OR u.bytes + p_size > b.quota_bytes / 10 * 9)
        OR b.quota_objects > 0 AND (b.quota_objects < 160 OR u.objects + 1 > b.quota_objects / 10 * 9)
$$;

-- open_quota takes the lock under which a version of so many bytes is committed
-- to a bucket with a quota: near the quota it is the only one. It returns what
-- the bucket holds then; the shard is 1 for a commit that is alone.
CREATE FUNCTION open_quota(b bucket, p_size bigint) RETURNS bucket_usage
LANGUAGE plpgsql AS $$
DECLARE
    u bucket_usage;
BEGIN
    IF near_quota(b, usage_of(b.id), p_size) THEN
        PERFORM pg_advisory_xact_lock(-2, hashtext(b.name));
        SELECT b.id, 1, coalesce(sum(objects), 0), coalesce(sum(bytes), 0) INTO u
          FROM bucket_usage WHERE bucket_id = b.id;
    ELSE
        PERFORM pg_advisory_xact_lock_shared(-2, hashtext(b.name));
    END IF;
    RETURN u;
END $$;

-- charge_quota counts the version that was just written; what it replaced was
-- taken off by drop_version.
CREATE FUNCTION charge_quota(b bucket, p_key text, p_size bigint, p_before bucket_usage) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    u bucket_usage;
BEGIN
    UPDATE bucket_usage SET objects = objects + 1, bytes = bytes + p_size
     WHERE bucket_id = b.id AND shard = usage_shard(p_key);
    SELECT b.id, 0, coalesce(sum(objects), 0), coalesce(sum(bytes), 0) INTO u
      FROM bucket_usage WHERE bucket_id = b.id;
    IF p_before.shard IS NULL THEN
        IF near_quota(b, u, 0) THEN
            RAISE EXCEPTION 'the bucket came near its quota meanwhile' USING ERRCODE = 'MQ002';
        END IF;
        RETURN;
    END IF;
    IF b.quota_bytes > 0 AND u.bytes > b.quota_bytes AND u.bytes > p_before.bytes THEN
        RAISE EXCEPTION '% bytes with it, where its rule quota_bytes allows %', u.bytes, b.quota_bytes USING ERRCODE = 'MQ001';
    END IF;
    IF b.quota_objects > 0 AND u.objects > b.quota_objects AND u.objects > p_before.objects THEN
        RAISE EXCEPTION '% objects with it, where its rule quota_objects allows %', u.objects, b.quota_objects USING ERRCODE = 'MQ001';
    END IF;
END $$;

CREATE OR REPLACE FUNCTION drop_version(v object) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
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


-- commit_version makes a version the current one of its key. r_status is 'done',
-- 'again' where the version was committed before, or the reason of a refusal.
-- p_upload, unless empty, is the upload that ends with it. Error MQ001 means that
-- the bucket's quota does not allow it, MQ002 that it is to be asked once more.
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
