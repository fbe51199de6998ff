package main

import (
	"context"
	"fmt"
	"strings"
)

// awsCLI is the AWS command line, its high commands (s3) and its low ones (s3api).
func awsCLI() client {
	return client{
		name: "aws cli", install: []string{"aws"}, version: "aws --version",
		driver: cli{
			makeBucket:   "aws --endpoint-url {endpoint} s3 mb s3://{bucket}",
			putObject:    "aws --endpoint-url {endpoint} s3 cp --no-progress {file} s3://{bucket}/{key}",
			getObject:    "aws --endpoint-url {endpoint} s3 cp --no-progress s3://{bucket}/{key} {file}",
			readPart:     "aws --endpoint-url {endpoint} s3api get-object --bucket {bucket} --key {key} --range bytes={first}-{last} {file}",
			listAll:      "aws --endpoint-url {endpoint} s3 ls --recursive --page-size 400 s3://{bucket}/{prefix}",
			statObject:   "aws --endpoint-url {endpoint} s3api head-object --bucket {bucket} --key {key}",
			copyObject:   "aws --endpoint-url {endpoint} s3 cp --no-progress s3://{bucket}/{from} s3://{bucket}/{key}",
			signURL:      "aws --endpoint-url {endpoint} s3 presign --expires-in 300 s3://{bucket}/{key}",
			syncUp:       "aws --endpoint-url {endpoint} s3 sync --no-progress {dir} s3://{bucket}/{prefix}",
			syncDown:     "aws --endpoint-url {endpoint} s3 sync --no-progress s3://{bucket}/{prefix} {dir}",
			removeObject: "aws --endpoint-url {endpoint} s3 rm s3://{bucket}/{key}",
			removeAll:    "aws --endpoint-url {endpoint} s3 rm --recursive s3://{bucket}",
			removeBucket: "aws --endpoint-url {endpoint} s3 rb s3://{bucket}",
		},
		unable: map[string]string{"odd/x/../y": "its HTTP library takes the .. out of the path"},
		more: []step{
			{"metadata and tags", awsMetadata},
			{"delete-objects", awsDeleteObjects},
		},
		versions: awsVersions,
	}
}

func awsAPI(command string) string {
	operation, rest, _ := strings.Cut(command, " ")
	return strings.TrimSpace("aws --endpoint-url {endpoint} --output text s3api " + operation + " --bucket {bucket} " + rest)
}

// says runs a command and fails unless it prints some text.
func (r *round) says(ctx context.Context, command string, s subject, want ...string) error {
	out, err := r.run(ctx, command, s)
	if err != nil {
		return err
	}
	for _, text := range want {
		if !strings.Contains(out, text) {
			return wrong("$ %s\nprinted no %q: %s", quoted(r.words(command, s)), text, out)
		}
	}
	return nil
}

func awsMetadata(ctx context.Context, r *round) error {
	file, err := r.file([]byte("tagged"))
	if err != nil {
		return err
	}
	s := subject{key: "tagged", file: file}
	for _, c := range []struct {
		command string
		want    []string
	}{
		{awsAPI("put-object --key {key} --body {file} --metadata colour=blue,size=large --content-type text/x-own --cache-control max-age=60 --tagging a=1&b=2"), nil},
		{awsAPI("head-object --key {key}"), []string{"blue", "large", "text/x-own", "max-age=60"}},
		{awsAPI("get-object-tagging --key {key}"), []string{"a\t1", "b\t2"}},
		{awsAPI("put-object-tagging --key {key} --tagging TagSet=[{Key=c,Value=3}]"), nil},
		{awsAPI("get-object-tagging --key {key}"), []string{"c\t3"}},
		{awsAPI("delete-object-tagging --key {key}"), nil},
		{awsAPI("get-object-attributes --key {key} --object-attributes ObjectSize ETag"), []string{"6"}},
		{awsAPI("get-object-acl --key {key}"), []string{"FULL_CONTROL"}},
		{awsAPI("get-bucket-location"), nil},
	} {
		if err := r.says(ctx, c.command, s, c.want...); err != nil {
			return err
		}
	}
	return nil
}

func awsDeleteObjects(ctx context.Context, r *round) error {
	names := []string{"gone/a b", "gone/ü&<>", "gone/c"}
	objects := map[string]string{}
	listed := make([]string, 0, len(names))
	for _, name := range names {
		objects[name] = "x"
		listed = append(listed, fmt.Sprintf("{%q:%q}", "Key", name))
	}
	if err := r.witness.put(ctx, objects); err != nil {
		return err
	}
	words := append(r.words(awsAPI("delete-objects --delete"), subject{}), `{"Objects":[`+strings.Join(listed, ",")+`]}`)
	if _, err := r.command(ctx, nil, words...); err != nil {
		return err
	}
	for _, name := range names {
		if err := r.witness.gone(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// awsVersions turns versions on, overwrites, deletes, and gets the first version back.
func awsVersions(ctx context.Context, r *round) error {
	if err := r.says(ctx, awsAPI("put-bucket-versioning --versioning-configuration Status=Enabled"), subject{}); err != nil {
		return err
	}
	if err := r.says(ctx, awsAPI("get-bucket-versioning"), subject{}, "Enabled"); err != nil {
		return err
	}
	var versions []string
	for _, text := range []string{"first", "second"} {
		file, err := r.file([]byte(text))
		if err != nil {
			return err
		}
		out, err := r.run(ctx, awsAPI("put-object --key {key} --body {file} --query VersionId"), subject{key: "kept", file: file})
		if err != nil {
			return err
		}
		versions = append(versions, strings.TrimSpace(out))
	}
	if err := r.says(ctx, awsAPI("delete-object --key {key}"), subject{key: "kept"}, "True"); err != nil {
		return err
	}
	if err := r.says(ctx, awsAPI("list-object-versions --prefix {key}"), subject{key: "kept"}, append(versions, "DELETEMARKERS")...); err != nil {
		return err
	}
	old := subject{key: "kept", from: versions[0], file: r.target()}
	if err := r.says(ctx, awsAPI("get-object --key {key} --version-id {from} {file}"), old); err != nil {
		return err
	}
	return sameFile(old.file, []byte("first"))
}
