package s3api_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"meridian/metadata"
)

func tagSet(pairs ...string) string {
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		fmt.Fprintf(&b, "<Tag><Key>%s</Key><Value>%s</Value></Tag>", pairs[i], pairs[i+1])
	}
	return "<Tagging><TagSet>" + b.String() + "</TagSet></Tagging>"
}

func TestTagsThroughAWS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, ctx := w.aws(writer), t.Context()
	bkt, key := aws.String("bkt"), aws.String("k")
	if _, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bkt}); err != nil {
		t.Fatal(err)
	}
	w.must("PUT", "/bkt?versioning", []byte(`<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>`))
	first, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: bkt, Key: key, Body: strings.NewReader("1"), Tagging: aws.String("a=1")})
	if err != nil {
		t.Fatal(err)
	}
	second, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: bkt, Key: key, Body: strings.NewReader("2")})
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, version *string, want string) {
		t.Helper()
		got, err := c.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: bkt, Key: key, VersionId: version})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		var list []string
		for _, tag := range got.TagSet {
			list = append(list, aws.ToString(tag.Key)+"="+aws.ToString(tag.Value))
		}
		if strings.Join(list, " ") != want {
			t.Errorf("%s: tags %q, want %q", what, list, want)
		}
		head, err := c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bkt, Key: key, VersionId: version})
		if err != nil || int(aws.ToInt32(head.TagCount)) != len(list) {
			t.Errorf("%s: counted %v, %v", what, head.TagCount, err)
		}
	}
	before, err := w.catalog.Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	put, err := c.PutObjectTagging(ctx, &s3.PutObjectTaggingInput{Bucket: bkt, Key: key, Tagging: &types.Tagging{TagSet: []types.Tag{
		{Key: aws.String("Straße"), Value: aws.String("")}, {Key: aws.String("b"), Value: aws.String("+ -=._:/@")},
	}}})
	if err != nil || aws.ToString(put.VersionId) != aws.ToString(second.VersionId) {
		t.Fatalf("put: %+v, %v", put, err)
	}
	check("the current version", nil, "Straße= b=+ -=._:/@")
	check("the first version", first.VersionId, "a=1")
	if _, err := c.PutObjectTagging(ctx, &s3.PutObjectTaggingInput{Bucket: bkt, Key: key, VersionId: first.VersionId,
		Tagging: &types.Tagging{TagSet: []types.Tag{{Key: aws.String("c"), Value: aws.String("3")}}}}); err != nil {
		t.Fatal(err)
	}
	check("the first version", first.VersionId, "c=3")
	del, err := c.DeleteObjectTagging(ctx, &s3.DeleteObjectTaggingInput{Bucket: bkt, Key: key})
	if err != nil || aws.ToString(del.VersionId) != aws.ToString(second.VersionId) {
		t.Errorf("delete: %+v, %v", del, err)
	}
	check("without tags", nil, "")
	var told []string
	enough := errors.New("enough")
	err = metadata.FollowFeed(ctx, w.catalog, before, func(e metadata.Event) error {
		if told = append(told, e.Type+" "+e.VersionID); len(told) == 3 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Fatal(err)
	}
	want := []string{"object.updated " + *second.VersionId, "object.updated " + *first.VersionId, "object.updated " + *second.VersionId}
	if fmt.Sprint(told) != fmt.Sprint(want) {
		t.Errorf("events %q, want %q", told, want)
	}
	if versions, err := c.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: bkt}); err != nil || len(versions.Versions) != 2 {
		t.Errorf("versions: %+v, %v", versions, err)
	}
}

func TestTagsOfCopiesAndUploads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/bkt", nil)
	w.must("PUT", "/bkt/src", []byte("x"), "x-amz-tagging: a=1&b=")
	count := func(key, want string) {
		t.Helper()
		if got := w.must("HEAD", "/bkt/"+key, nil).header.Get("X-Amz-Tagging-Count"); got != want {
			t.Errorf("%s has %q tags, want %q", key, got, want)
		}
	}
	w.must("PUT", "/bkt/copy", nil, "x-amz-copy-source: bkt/src")
	count("copy", "2")
	w.must("PUT", "/bkt/replaced", nil, "x-amz-copy-source: bkt/src", "x-amz-tagging-directive: REPLACE", "x-amz-tagging: c=3")
	count("replaced", "1")
	w.must("PUT", "/bkt/bare", nil, "x-amz-copy-source: bkt/src", "x-amz-tagging-directive: REPLACE")
	count("bare", "")
	w.refused(root, 400, "InvalidArgument", "PUT", "/bkt/k", nil, "x-amz-copy-source: bkt/src", "x-amz-tagging-directive: MERGE")
	id := between(string(w.must("POST", "/bkt/multi?uploads", nil, "x-amz-tagging: x=1&y=2&z=3").body), "<UploadId>", "</UploadId>")
	etag := w.must("PUT", "/bkt/multi?partNumber=1&uploadId="+id, []byte("p")).header.Get("ETag")
	w.must("POST", "/bkt/multi?uploadId="+id, []byte("<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"+etag+"</ETag></Part></CompleteMultipartUpload>"))
	count("multi", "3")
	// To itself, so that only the tags change: a new version, as elsewhere.
	body, sum := summed(tagSet("n", "1"))
	w.must("PUT", "/bkt/copy?tagging", body, sum)
	count("copy", "1")
}

func TestRefusedTags(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/bkt", nil)
	w.must("PUT", "/bkt/k", []byte("x"), "x-amz-tagging: old=1")
	var eleven, fiftyOne []string
	for i := range 51 {
		pair := []string{fmt.Sprint("k", i), "v"}
		if i < 11 {
			eleven = append(eleven, pair...)
		}
		fiftyOne = append(fiftyOne, pair...)
	}
	const badKey, badValue = "The TagKey you have provided is invalid", "The TagValue you have provided is invalid"
	for _, tt := range []struct{ code, body, text string }{
		{"InvalidTag", tagSet(strings.Repeat("k", 129), "v"), badKey},
		{"InvalidTag", tagSet("k", strings.Repeat("v", 257)), badValue},
		{"InvalidTag", tagSet("", "v"), badKey},
		{"InvalidTag", tagSet("a!b", "v"), badKey},
		{"InvalidTag", tagSet("a", "b?"), badValue},
		{"InvalidTag", tagSet("a", "☃"), badValue},
		{"InvalidTag", tagSet("AWS:x", "v"), "System tags cannot be added/updated by requester"},
		{"InvalidTag", tagSet("same", "1", "same", "2"), "Cannot provide multiple Tags with the same key"},
		{"MalformedXML", "<Tagging/>", ""},
		{"MalformedXML", "<Tagging><TagSet><Tag><Key>k</Key></Tag></TagSet></Tagging>", ""},
		{"MalformedXML", "<Tagging><TagSet><Tag><Value>k</Value></Tag></TagSet></Tagging>", ""},
		{"MalformedXML", "<Tags/>", ""},
		{"MissingRequestBodyError", "", ""},
	} {
		for _, path := range []string{"/bkt/k?tagging", "/bkt?tagging"} {
			body, sum := summed(tt.body)
			r := w.refused(root, 400, tt.code, "PUT", path, body, sum)
			if tt.text != "" {
				w.says(r, tt.text)
			}
		}
	}
	body, sum := summed(tagSet(eleven...))
	w.says(w.refused(root, 400, "BadRequest", "PUT", "/bkt/k?tagging", body, sum), "Object tags cannot be greater than 10")
	body, sum = summed(tagSet(fiftyOne...))
	w.says(w.refused(root, 400, "BadRequest", "PUT", "/bkt?tagging", body, sum), "Bucket tag count cannot be greater than 50")
	body, sum = summed(tagSet("k", "v"))
	w.refused(root, 400, "InvalidRequest", "PUT", "/bkt/k?tagging", body)
	w.refused(root, 404, "NoSuchKey", "PUT", "/bkt/none?tagging", body, sum)
	w.refused(root, 404, "NoSuchVersion", "PUT", "/bkt/k?tagging&versionId=01ARZ3NDEKTSV4RRFFQ69G5FAV", body, sum)
	w.refused(root, 404, "NoSuchBucket", "PUT", "/none/k?tagging", body, sum)
	w.refused(root, 404, "NoSuchBucket", "PUT", "/none?tagging", body, sum)
	w.refused(reader, 403, "AccessDenied", "PUT", "/bkt/k?tagging", body, sum)
	w.refused(reader, 403, "AccessDenied", "DELETE", "/bkt/k?tagging", nil)
	if v, err := w.catalog.Lookup(t.Context(), metadata.Ref{Bucket: "bkt", Key: "k"}); err != nil || len(v.Tags) != 1 || v.Tags["old"] != "1" {
		t.Errorf("tags after refusals: %v, %v", v.Tags, err)
	}
}

func TestBucketTags(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/bkt", nil)
	w.refused(root, 404, "NoSuchTagSet", "GET", "/bkt?tagging", nil)
	body, sum := summed(tagSet("team", "video", "cost", "a/b"))
	if r := w.must("PUT", "/bkt?tagging", body, sum); r.status != 204 {
		t.Errorf("put: %d", r.status)
	}
	w.golden("bucket-tagging", w.must("GET", "/bkt?tagging", nil).body)
	if r := w.must("DELETE", "/bkt?tagging", nil); r.status != 204 {
		t.Errorf("delete: %d", r.status)
	}
	w.refused(root, 404, "NoSuchTagSet", "GET", "/bkt?tagging", nil)

	w.must("PUT", "/made", []byte(`<CreateBucketConfiguration><Tags><Tag><Key>team</Key><Value>photo</Value></Tag></Tags></CreateBucketConfiguration>`))
	if got := string(w.must("GET", "/made?tagging", nil).body); !strings.Contains(got, "<Key>team</Key><Value>photo</Value>") {
		t.Errorf("tags at creation: %s", got)
	}
	w.refused(root, 400, "InvalidTag", "PUT", "/other", []byte(`<CreateBucketConfiguration><Tags><Tag><Key>a!</Key><Value/></Tag></Tags></CreateBucketConfiguration>`))
	w.refused(root, 404, "NoSuchBucket", "HEAD", "/other", nil)
}
