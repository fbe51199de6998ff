package postgres

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/jackc/pgx/v5"

	"meridian/metadata"
)

// Limits of a media query.
const (
	maxMediaPage  = 200
	maxQueryBytes = 1000
)

// ListMedia implements metadata.MediaRecords. Pages are sorted by date also
// where they are searched: ranking would have to look at every record that a
// common word is in.
func (s *Store) ListMedia(ctx context.Context, q metadata.MediaQuery) (metadata.MediaPage, error) {
	sql, args, err := mediaQuery(q)
	if err != nil {
		return metadata.MediaPage{}, fmt.Errorf("list media: %w", err)
	}
	rows, err := s.pool.Query(ctx, sql, args...)
	if err != nil {
		return metadata.MediaPage{}, fmt.Errorf("list media: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanMedia)
	if err != nil {
		return metadata.MediaPage{}, fmt.Errorf("list media: %w", err)
	}
	page := metadata.MediaPage{Media: list}
	if len(list) > q.Limit { // the one more that was asked for
		page.Media = list[:q.Limit]
		page.Next = formatCursor(page.Media[q.Limit-1])
	}
	return page, nil
}

// mediaQuery writes the query for one page and a record more. Only the
// conditions that are asked for are in it, so that each has its own plan.
func mediaQuery(q metadata.MediaQuery) (sql string, args []any, err error) {
	if q.Limit < 1 || q.Limit > maxMediaPage {
		return "", nil, metadata.Invalidf("limit %d is not between 1 and %d", q.Limit, maxMediaPage)
	}
	for _, text := range []string{q.Kind, q.Q, q.Tag, q.Bucket} {
		if len(text) > maxQueryBytes || !isText(text) {
			return "", nil, metadata.Invalidf("media query holds %.40q, which is too long or not text", text)
		}
	}
	var where []string
	add := func(condition string, values ...any) {
		places := make([]any, len(values))
		for i, v := range values {
			args = append(args, v)
			places[i] = "$" + strconv.Itoa(len(args))
		}
		where = append(where, fmt.Sprintf(condition, places...))
	}
	switch q.Kind {
	case "":
	case metadata.KindPhoto, metadata.KindVideo:
		add("m.kind = %s", q.Kind)
	default:
		return "", nil, metadata.Invalidf("media kind %q is neither photo nor video", q.Kind)
	}
	switch q.State {
	case "":
	case metadata.MediaPending, metadata.MediaProcessing, metadata.MediaReady, metadata.MediaFailed:
		add("m.state = '" + q.State + "'") // a literal, which a partial index can match
	default:
		return "", nil, metadata.Invalidf("media state %q is unknown", q.State)
	}
	switch q.Rendition {
	case "":
	case metadata.RenditionPending, metadata.RenditionReady, metadata.RenditionFailed:
		add(`m.renditions @> '[{"state": "` + q.Rendition + `"}]'`)
	default:
		return "", nil, metadata.Invalidf("rendition state %q is unknown", q.Rendition)
	}
	if q.Bucket != "" {
		add("m.bucket_id = (SELECT id FROM bucket WHERE name = %s)", q.Bucket)
	}
	if q.Tag != "" {
		add("m.tags @> ARRAY[%s::text]", q.Tag)
	}
	if strings.TrimSpace(q.Q) != "" {
		words, prefix := searchWords(q.Q)
		add("m.words @@ media_query(%s, %s)", words, prefix)
	}
	if q.Cursor != "" {
		created, id, err := parseCursor(q.Cursor)
		if err != nil {
			return "", nil, err
		}
		add("(m.created, m.id) < (%s::timestamptz, %s::text)", created, id)
	}
	sql = "SELECT " + mediaColumns + " FROM media m JOIN bucket b ON b.id = m.bucket_id"
	if len(where) > 0 {
		sql += " WHERE " + strings.Join(where, " AND ")
	}
	args = append(args, q.Limit+1)
	return sql + " ORDER BY m.created DESC, m.id DESC LIMIT $" + strconv.Itoa(len(args)), args, nil
}

// searchWords turns what people type into what websearch_to_tsquery reads.
// Punctuation parts words, as it does in the index; what it held together
// becomes a phrase. prefix says whether the last word may be the beginning of
// one: somebody may still be typing it, unless it is in quotes or excluded.
func searchWords(q string) (words string, prefix bool) {
	var out []string
	phrase := func(text string, negated bool) {
		parts := strings.FieldsFunc(text, parts)
		switch {
		case len(parts) == 0:
			return
		case len(parts) == 1 && !strings.EqualFold(parts[0], "or"):
			text = parts[0]
		default:
			text = `"` + strings.Join(parts, " ") + `"`
		}
		if negated {
			text = "-" + text
		}
		out = append(out, text)
	}
	for q != "" {
		q = strings.TrimLeftFunc(q, unicode.IsSpace)
		rest, negated := strings.CutPrefix(q, "-")
		if quoted, ok := strings.CutPrefix(rest, `"`); ok {
			text, behind, closed := strings.Cut(quoted, `"`)
			phrase(text, negated)
			prefix, q = !closed && !negated, behind
			continue
		}
		end := strings.IndexFunc(rest, func(r rune) bool { return unicode.IsSpace(r) || r == '"' })
		if end < 0 {
			end = len(rest)
		}
		word := rest[:end]
		q = rest[end:]
		if !negated && strings.EqualFold(word, "or") {
			out = append(out, "or")
		} else {
			phrase(word, negated)
		}
		if word != "" {
			prefix = !negated
		}
	}
	return strings.Join(out, " "), prefix
}

// parts reports whether r stands between words: white space, and the ASCII
// punctuation that media_words takes out.
func parts(r rune) bool {
	return unicode.IsSpace(r) || unicode.IsControl(r) ||
		r < unicode.MaxASCII && (unicode.IsPunct(r) || unicode.IsSymbol(r))
}

// cursorVersion lets a later form of the cursor be told from this one.
const cursorVersion = "1"

// formatCursor is the place behind m in the order of pages.
func formatCursor(m metadata.Media) string {
	return base64.RawURLEncoding.EncodeToString(
		[]byte(cursorVersion + " " + strconv.FormatInt(m.Created.UnixMicro(), 36) + " " + m.ID))
}

func parseCursor(cursor string) (created time.Time, id string, err error) {
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return time.Time{}, "", metadata.Invalidf("cursor %.40q is not one of a page", cursor)
	}
	version, rest, _ := strings.Cut(string(text), " ")
	micros, id, ok := strings.Cut(rest, " ")
	n, err := strconv.ParseInt(micros, 36, 64)
	// Postgres keeps dates until the year 294276; half of that is plenty.
	if version != cursorVersion || !ok || err != nil || n < 0 || n > 1<<62 || id == "" || len(id) > 64 || !isText(id) {
		return time.Time{}, "", metadata.Invalidf("cursor %.40q is not one of a page", cursor)
	}
	return time.UnixMicro(n).UTC(), id, nil
}
