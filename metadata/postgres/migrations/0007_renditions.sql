ALTER TABLE media ADD COLUMN renditions jsonb NOT NULL DEFAULT '[]';

CREATE INDEX media_renditions ON media USING gin (renditions jsonb_path_ops) WHERE renditions <> '[]';
CREATE INDEX media_version ON media (bucket_id, version_id) WHERE renditions <> '[]';

-- Renditions that no record has any more, to be removed by whoever follows.
CREATE TABLE rendition_dropped (
    key     text COLLATE "C" PRIMARY KEY,
    dropped timestamptz NOT NULL DEFAULT now(),
    due     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX rendition_dropped_due ON rendition_dropped (due);

-- A record loses renditions in many ways: it is deleted, its bucket is, or it
-- becomes that of another version. None of them is forgotten here.
CREATE FUNCTION drop_renditions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO rendition_dropped (key)
    SELECT r ->> 'key' FROM jsonb_array_elements(OLD.renditions) r
     WHERE TG_OP = 'DELETE' OR NOT NEW.renditions @> jsonb_build_array(jsonb_build_object('key', r ->> 'key'))
        ON CONFLICT (key) DO UPDATE SET dropped = now(), due = now();
    RETURN NULL;
END $$;

CREATE TRIGGER media_deleted AFTER DELETE ON media
   FOR EACH ROW WHEN (OLD.renditions <> '[]') EXECUTE FUNCTION drop_renditions();
CREATE TRIGGER media_updated AFTER UPDATE OF renditions ON media
   FOR EACH ROW WHEN (OLD.renditions <> '[]' AND OLD.renditions <> NEW.renditions) EXECUTE FUNCTION drop_renditions();

-- Videos that were looked at before there were renditions are looked at again.
UPDATE media SET state = 'processing'
 WHERE state = 'ready' AND content_type IN ('video/mp4', 'video/quicktime', 'video/3gpp');
