package record_test

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"meridian/metadata"
	"meridian/origin/blob"
	"meridian/origin/record"
)

const id = "01JDK3Q5X5V0ZC8N6T7M4R2B1A"

func TestAVersionComesBackFromItsMetadata(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]metadata.Version{
		"least": {Bucket: "b", Key: "k", ID: id},
		"all": {
			Bucket: "photos", Key: "Ferien 2026/Zürich?100%.jpg", ID: id, Owner: "ann", Null: true,
			ContentType: "text/html; charset=utf-8", ContentEncoding: "gzip", ContentDisposition: `attachment; filename="é.jpg"`,
			ContentLanguage: "de", CacheControl: "max-age=60, public", Expires: "Thu, 01 Jan 2026 00:00:00 GMT", StorageClass: "STANDARD",
			Headers: map[string]string{"surrogate-key": "a b"}, Tags: map[string]string{"größe": "1=2&3", "leer": ""},
			UserMetadata: map[string]string{"mtime": "1.5", "note": "日本 =?x?="},
		},
		"looks encoded": {Bucket: "b", Key: "base64:aGVsbG8", ID: id, Owner: "base64:"},
		"encrypted":     {Bucket: "b", Key: "k", ID: id, Encryption: &metadata.Encryption{Kind: metadata.CustomerKeys}},
		"no latin":      {Bucket: "b", Key: strings.Repeat("写真", 100), ID: id},
		"not UTF-8":     {Bucket: "b", Key: "\xff\x00\n", ID: id},
	} {
		m := record.Meta(v)
		if err := m.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, left, err := record.Parse(m); err != nil || len(left) > 0 || !reflect.DeepEqual(got, v) {
			t.Errorf("%s: %v\nbecame %+v, without %v, %v\nwant   %+v", name, m, got, left, err, v)
		}
	}
	// What lies in a bucket can be read.
	if m := record.Meta(metadata.Version{Bucket: "photos", Key: "a/cat.jpg", ID: id, ContentType: "image/jpeg"}); m["key"] != "a/cat.jpg" || m["content-type"] != "image/jpeg" {
		t.Errorf("not to be read: %v", m)
	}
}

func TestWhatHasNoRoomIsNamed(t *testing.T) {
	t.Parallel()
	great := metadata.Version{
		Bucket: strings.Repeat("b", 63), Key: strings.Repeat("é", 512), ID: id, Owner: strings.Repeat("ü", 128), Null: true,
		Encryption:  &metadata.Encryption{Kind: metadata.CustomerKeys},
		ContentType: "video/mp4", ContentEncoding: "gzip", ContentDisposition: "inline", ContentLanguage: "de", CacheControl: "no-cache",
		Expires: "0", StorageClass: "STANDARD", Headers: map[string]string{"cache-tag": "x"}, Tags: map[string]string{"a": "b"},
		UserMetadata: map[string]string{"c": "d"},
	}
	m := record.Meta(great)
	got, left, err := record.Parse(m)
	if err != nil || m.Check() != nil || len(left) != 10 || got.Key != great.Key || got.Owner != great.Owner || got.Bucket != great.Bucket || !got.Null {
		t.Errorf("the greatest identity: %v (%v), without %v, %v", m, m.Check(), left, err)
	}

	wordy := metadata.Version{
		Bucket: "b", Key: "k", ID: id, Owner: "ann", ContentType: "image/png", Tags: map[string]string{"a": "b"},
		UserMetadata: map[string]string{"story": strings.Repeat("x", 2000)},
	}
	m = record.Meta(wordy)
	got, left, err = record.Parse(m)
	if err != nil || m.Check() != nil || !slices.Equal(left, []string{"user-metadata"}) || got.ContentType != "image/png" || got.Tags["a"] != "b" || got.UserMetadata != nil {
		t.Errorf("much user metadata: %v (%v) became %+v, without %v, %v", m, m.Check(), got, left, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("b", "k", "base64:aA", "a=b&c=%zz")
	f.Add("%", "base64:!", "%41", "=")
	f.Fuzz(func(t *testing.T, bucket, key, contentType, tags string) {
		v, _, err := record.Parse(blob.Meta{"bucket": bucket, "key": key, "version": id, "content-type": contentType, "tags": tags})
		if err != nil {
			if !errors.Is(err, record.ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		m := record.Meta(v)
		if m.Size() <= blob.MaxMeta {
			if err := m.Check(); err != nil {
				t.Fatalf("%+v becomes %v: %v", v, m, err)
			}
		}
		if m["left-out"] != "" {
			return
		}
		if again, _, err := record.Parse(m); err != nil || !reflect.DeepEqual(again, v) {
			t.Fatalf("%+v becomes %v becomes %+v, %v", v, m, again, err)
		}
	})
}
