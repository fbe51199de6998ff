-- Punctuation parts words, in what is searched and in what is searched for:
-- otherwise the parser takes "beach.jpg" for a host and finds no "beach" in it.
CREATE FUNCTION media_words(title text, description text, tags text[], key text) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN to_tsvector('simple'::regconfig,
    translate(title || ' ' || description || ' ' || array_to_string(tags, ' ') || ' ' || key,
              '!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~', repeat(' ', 32)));

-- words are as websearch_to_tsquery reads them; prefix lets the last of them be
-- the beginning of one.
CREATE FUNCTION media_query(words text, prefix boolean) RETURNS tsquery
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (SELECT CASE WHEN prefix AND right(q.t, 1) = '''' THEN (q.t || ':*')::tsquery ELSE q.t::tsquery END
          FROM (SELECT websearch_to_tsquery('simple'::regconfig, words)::text AS t) q);

CREATE TABLE media (
    id           text COLLATE "C" PRIMARY KEY,
    bucket_id    bigint           NOT NULL REFERENCES bucket (id) ON DELETE CASCADE,
    key          text COLLATE "C" NOT NULL,
    kind         text             NOT NULL,
    version_id   text COLLATE "C" NOT NULL,
    size         bigint           NOT NULL,
    etag         text             NOT NULL,
    content_type text             NOT NULL,
    blob         text             NOT NULL,
    regions      text[]           NOT NULL,
    title        text             NOT NULL,
    description  text             NOT NULL,
    tags         text[]           NOT NULL,
    width        integer          NOT NULL,
    height       integer          NOT NULL,
    duration     double precision NOT NULL,
    codecs       text[]           NOT NULL,
    taken_at     timestamptz,
    state        text             NOT NULL,
    error        text             NOT NULL,
    views        bigint           NOT NULL DEFAULT 0,
    created      timestamptz      NOT NULL DEFAULT now(),
    updated      timestamptz      NOT NULL DEFAULT now(),
    words        tsvector GENERATED ALWAYS AS (media_words(title, description, tags, key)) STORED,
    UNIQUE (bucket_id, key)
) WITH (fillfactor = 80); -- room on the page for the counting of views

CREATE INDEX media_newest ON media (created DESC, id DESC);
CREATE INDEX media_bucket_newest ON media (bucket_id, created DESC, id DESC);
CREATE INDEX media_processing ON media (created DESC, id DESC) WHERE state = 'processing';
CREATE INDEX media_words ON media USING gin (words);
CREATE INDEX media_tags ON media USING gin (tags);
