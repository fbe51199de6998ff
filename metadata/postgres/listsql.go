package postgres

// The queries of listings. Ranges are written with both bounds on the key alone,
// because a comparison of rows, (a, b) > ($1, $2), does not stop at the upper
// bound. $1 bucket, $2 first key, $3 end of the keys.

// inBucket is the condition on a row of object or object_history called v.
const inBucket = `v.bucket_id = (SELECT id FROM bucket WHERE name = $1)`

// $4 limit.
const flatObjectsSQL = `
	SELECT ` + objectColumns + ` FROM object v
	 WHERE ` + inBucket + ` AND v.key >= $2 AND v.key < $3 ORDER BY v.key LIMIT $4`

// $4 limit; $5 key and $6 seq: also what lies below that inside of that key.
const flatVersionsSQL = `
	SELECT * FROM (
	    (SELECT ` + objectColumns + ` FROM object v
	      WHERE ` + inBucket + ` AND v.key = $5 AND v.seq < $6)
	    UNION ALL
	    (SELECT ` + historyColumns + ` FROM object_history v
	      WHERE ` + inBucket + ` AND v.key = $5 AND v.seq < $6 ORDER BY v.seq DESC LIMIT $4)
	    UNION ALL
	    (SELECT ` + objectColumns + ` FROM object v
	      WHERE ` + inBucket + ` AND v.key >= $2 AND v.key < $3 ORDER BY v.key LIMIT $4)
	    UNION ALL
	    (SELECT ` + historyColumns + ` FROM object_history v
	      WHERE ` + inBucket + ` AND v.key >= $2 AND v.key < $3 ORDER BY v.key, v.seq DESC LIMIT $4)
	) v ORDER BY v.key, v.seq DESC LIMIT $4`

// Each step of a walk finds one entry and where to look for the next.
// $4 prefix length in characters, $5 delimiter, $6 what comes after all that
// begins with the delimiter, $7 limit.
const walkObjectsSQL = `
	WITH RECURSIVE walk (n, next, key, common) AS (
	    SELECT 0, $2::text COLLATE "C", NULL::text COLLATE "C", NULL::text COLLATE "C"
	    UNION ALL
	    SELECT w.n + 1,
	           CASE WHEN f.common IS NULL THEN o.key || E'\x01' ELSE left(f.common, -length($5)) || $6 END,
	           o.key, f.common
	      FROM walk w
	     CROSS JOIN LATERAL (
	           SELECT v.key FROM object v
	            WHERE ` + inBucket + ` AND v.key >= w.next AND v.key < $3 ORDER BY v.key LIMIT 1) o
	     CROSS JOIN LATERAL (SELECT s3_fold(o.key, $4, $5) AS common) f
	     WHERE w.n < $7)
	SELECT w.common, o.* FROM walk w
	  LEFT JOIN LATERAL (
	       SELECT ` + objectColumns + ` FROM object v
	        WHERE ` + inBucket + ` AND v.key = w.key AND w.common IS NULL LIMIT 1) o ON true
	 WHERE w.n > 0 ORDER BY w.n`

// $8 key and $9 seq: also what lies below that inside of that key.
const walkVersionsSQL = `
	WITH RECURSIVE walk (n, next, key, seq, common) AS (
	    SELECT 0, $2::text COLLATE "C", $8::text COLLATE "C", $9::bigint, NULL::text COLLATE "C"
	    UNION ALL
	    SELECT w.n + 1,
	           CASE WHEN f.common IS NULL THEN o.key || E'\x01' ELSE left(f.common, -length($5)) || $6 END,
	           CASE WHEN f.common IS NULL THEN o.key END, o.seq, f.common
	      FROM walk w
	     CROSS JOIN LATERAL (
	           SELECT c.key, c.seq FROM (
	               (SELECT v.key, v.seq FROM object v WHERE ` + inBucket + ` AND v.key = w.key AND v.seq < w.seq)
	               UNION ALL
	               (SELECT v.key, v.seq FROM object_history v
	                 WHERE ` + inBucket + ` AND v.key = w.key AND v.seq < w.seq ORDER BY v.seq DESC LIMIT 1)
	               UNION ALL
	               (SELECT v.key, v.seq FROM object v
	                 WHERE ` + inBucket + ` AND v.key >= w.next AND v.key < $3 ORDER BY v.key LIMIT 1)
	               UNION ALL
	               (SELECT v.key, v.seq FROM object_history v
	                 WHERE ` + inBucket + ` AND v.key >= w.next AND v.key < $3 ORDER BY v.key, v.seq DESC LIMIT 1)
	           ) c ORDER BY c.key, c.seq DESC LIMIT 1) o
	     CROSS JOIN LATERAL (SELECT s3_fold(o.key, $4, $5) AS common) f
	     WHERE w.n < $7)
	SELECT w.common, o.* FROM walk w
	  LEFT JOIN LATERAL (
	       (SELECT ` + objectColumns + ` FROM object v
	         WHERE ` + inBucket + ` AND v.key = w.key AND v.seq = w.seq)
	       UNION ALL
	       (SELECT ` + historyColumns + ` FROM object_history v
	         WHERE ` + inBucket + ` AND v.key = w.key AND v.seq = w.seq)
	       LIMIT 1) o ON true
	 WHERE w.n > 0 ORDER BY w.n`
