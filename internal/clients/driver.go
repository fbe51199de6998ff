package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// action is something that a client can do.
type action string

const (
	makeBucket   action = "make a bucket"
	putObject    action = "put"    // file to key
	getObject    action = "get"    // key to file
	readPart     action = "read"   // first to last of key, to output or file
	listAll      action = "list"   // every key under prefix, to output
	statObject   action = "stat"   // key, with its size, to output
	copyObject   action = "copy"   // from to key
	signURL      action = "sign"   // a URL of key at endpoint, the last word of the output
	syncUp       action = "up"     // dir to prefix
	syncDown     action = "down"   // prefix to dir
	removeObject action = "remove" // key
	removeAll    action = "remove all"
	removeBucket action = "remove the bucket"
)

// subject is what an action is done to.
type subject struct {
	key, from, file string
	prefix, dir     string // prefix ends in /, dir does not
	first, last     int64
	edge            bool // at the edge, not at S3
}

// driver lets a client act. What an action prints is its output.
type driver interface {
	can(a action) bool
	do(ctx context.Context, r *round, a action, s subject) ([]byte, error)
}

// cli is a client that is a program: the command of each action, whose words may
// hold {bucket}, {key} and further names of a subject.
type cli map[action]string

func (c cli) can(a action) bool { return c[a] != "" }

func (c cli) do(ctx context.Context, r *round, a action, s subject) ([]byte, error) {
	return r.command(ctx, nil, r.words(c[a], s)...)
}

// words are those of a command with the subject in place. A name may hold spaces;
// it stays one word.
func (r *round) words(command string, s subject) []string {
	endpoint, remote := r.server.S3(), "s3"
	if s.edge {
		endpoint, remote = r.server.Edge(), "edge"
	}
	fill := strings.NewReplacer("{bucket}", r.bucket, "{key}", s.key, "{from}", s.from, "{file}", s.file,
		"{prefix}", s.prefix, "{dir}", s.dir, "{endpoint}", endpoint, "{remote}", remote, "{home}", r.dir,
		"{first}", strconv.FormatInt(s.first, 10), "{last}", strconv.FormatInt(s.last, 10),
		"{count}", strconv.FormatInt(s.last-s.first+1, 10))
	words := strings.Fields(command)
	for i := range words {
		words[i] = fill.Replace(words[i])
	}
	return words
}

// run does a command of a step that one client alone has.
func (r *round) run(ctx context.Context, command string, s subject) (string, error) {
	out, err := r.command(ctx, nil, r.words(command, s)...)
	return string(out), err
}

// library is a client that is a Go package.
type library map[action]func(ctx context.Context, r *round, s subject) ([]byte, error)

func (l library) can(a action) bool { return l[a] != nil }

func (l library) do(ctx context.Context, r *round, a action, s subject) ([]byte, error) {
	out, err := l[a](ctx, r, s)
	if err != nil {
		return nil, fmt.Errorf("%s %+v: %w", a, s, err)
	}
	return out, nil
}
