package probe_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/metadata"
	"meridian/metadata/media/probe"
)

// ffmpeg makes a file with the options given and returns its bytes.
func ffmpeg(t testing.TB, name string, options ...string) []byte {
	t.Helper()
	program, err := exec.LookPath("ffmpeg")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("ffmpeg is not installed")
		}
		t.Skip("ffmpeg is not installed")
	}
	path := filepath.Join(t.TempDir(), name)
	args := append(append([]string{"-hide_banner", "-loglevel", "error", "-nostdin"}, options...), path)
	if out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg %v: %v\n%s", options, err, out)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// picture and sound are what the files made here hold: 2 s of 64 x 48 pixels.
func picture() []string {
	return []string{"-f", "lavfi", "-i", "testsrc=size=64x48:rate=10:duration=2"}
}

func withSound() []string {
	return append(picture(), "-f", "lavfi", "-i", "sine=frequency=440:duration=2")
}

// counting is a file that counts what is read of it.
type counting struct {
	*bytes.Reader
	n int64
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.Reader.ReadAt(p, off)
	c.n += int64(n)
	return n, err
}

func look(t testing.TB, b []byte, contentType, name string) (probe.Info, error) {
	t.Helper()
	return probe.Probe(context.Background(), bytes.NewReader(b), int64(len(b)), contentType, name)
}

func TestVideos(t *testing.T) {
	t.Parallel()
	h264 := []string{"-c:v", "libx264", "-profile:v", "high", "-level", "3.1", "-pix_fmt", "yuv420p", "-c:a", "aac", "-metadata", "creation_time=2021-02-03T04:05:06Z"}
	taken := time.Date(2021, 2, 3, 4, 5, 6, 0, time.UTC)
	for _, c := range []struct {
		name        string
		options     []string
		contentType string
		w, h        int
		codecs      []string
		taken       bool
	}{
		{"end.mp4", slices.Concat(withSound(), h264), "video/mp4", 64, 48, []string{"avc1.64001f", "mp4a.40.2"}, true},
		{"start.mp4", slices.Concat(withSound(), h264, []string{"-movflags", "faststart"}), "video/mp4", 64, 48, []string{"avc1.64001f", "mp4a.40.2"}, true},
		{"fragments.mp4", slices.Concat(withSound(), h264, []string{"-g", "5", "-movflags", "frag_keyframe+empty_moov"}), "video/mp4", 64, 48, []string{"avc1.64001f", "mp4a.40.2"}, true},
		{"noindex.mp4", slices.Concat(withSound(), h264, []string{"-g", "5", "-movflags", "frag_keyframe+empty_moov+skip_trailer"}), "video/mp4", 64, 48, []string{"avc1.64001f", "mp4a.40.2"}, true},
		{"indexed.mp4", slices.Concat(withSound(), h264, []string{"-g", "5", "-movflags", "frag_keyframe+empty_moov+global_sidx"}), "video/mp4", 64, 48, []string{"avc1.64001f", "mp4a.40.2"}, true},
		{"hevc.mp4", slices.Concat(picture(), []string{"-c:v", "libx265", "-tag:v", "hvc1", "-pix_fmt", "yuv420p", "-x265-params", "log-level=error:level-idc=3.1"}), "video/mp4", 64, 48, []string{"hvc1.1.6.L93.90"}, false},
		{"av1.mp4", slices.Concat(picture(), []string{"-frames:v", "20", "-c:v", "libaom-av1", "-cpu-used", "8", "-pix_fmt", "yuv420p"}), "video/mp4", 64, 48, []string{"av01.0.00M.08"}, false},
		{"wide.mov", slices.Concat(withSound(), h264, []string{"-vf", "setdar=16/9"}), "video/quicktime", 85, 48, []string{"avc1.64001f", "mp4a.40.2"}, true},
		{"prores.mov", slices.Concat(withSound(), []string{"-c:v", "prores_ks", "-profile:v", "standard", "-pix_fmt", "yuv422p10le", "-c:a", "pcm_s16le"}), "video/quicktime", 64, 48, []string{"apcn", "sowt"}, false},
		{"vp9.webm", slices.Concat(withSound(), []string{"-c:v", "libvpx-vp9", "-c:a", "libopus"}), "video/webm", 64, 48, []string{"vp9", "opus"}, false},
		{"vp8.webm", slices.Concat(withSound(), []string{"-c:v", "libvpx", "-c:a", "libvorbis"}), "video/webm", 64, 48, []string{"vp8", "vorbis"}, false},
		{"live.webm", slices.Concat(withSound(), []string{"-c:v", "libvpx", "-c:a", "libopus", "-live", "1"}), "video/webm", 64, 48, []string{"vp8", "opus"}, false},
		{"h264.mkv", slices.Concat(withSound(), h264), "video/x-matroska", 64, 48, []string{"avc1.64001f", "mp4a.40.2"}, false},
		{"wide.mkv", slices.Concat(withSound(), h264, []string{"-vf", "setdar=16/9"}), "video/x-matroska", 85, 48, []string{"avc1.64001f", "mp4a.40.2"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := ffmpeg(t, c.name, c.options...)
			got, err := look(t, b, "", c.name)
			if err != nil {
				t.Fatal(err)
			}
			if got.Kind != metadata.KindVideo || got.ContentType != c.contentType || got.Width != c.w || got.Height != c.h {
				t.Errorf("got %+v", got)
			}
			// Containers round to frames of picture and sound.
			if math.Abs(got.Duration-2) > 0.25 {
				t.Errorf("duration %v", got.Duration)
			}
			if strings.HasPrefix(c.name, "vp9") && len(got.Codecs) > 0 && strings.HasPrefix(got.Codecs[0], "vp09.00.") {
				got.Codecs[0] = "vp9" // newer muxers write the features
			}
			if !slices.Equal(got.Codecs, c.codecs) {
				t.Errorf("codecs %v, want %v", got.Codecs, c.codecs)
			}
			if c.taken && (got.TakenAt == nil || !got.TakenAt.Equal(taken)) {
				t.Errorf("taken %v, want %v", got.TakenAt, taken)
			}
		})
	}
}

// TestRotated: a phone's video is stored lying and shown standing.
func TestRotated(t *testing.T) {
	t.Parallel()
	b := ffmpeg(t, "lying.mp4", slices.Concat(picture(), []string{"-c:v", "libx264", "-pix_fmt", "yuv420p"})...)
	// The matrix of a quarter turn in place of the identity, as phones write it.
	matrix := bytes.Index(b, []byte("tkhd")) + 4 + 40
	turn := []uint32{0, 1 << 16, 0, 0xffff0000, 0, 0, 48 << 16, 0, 1 << 30}
	for i, v := range turn {
		binary.BigEndian.PutUint32(b[matrix+4*i:], v)
	}
	got, err := look(t, b, "video/mp4", "")
	if err != nil || got.Width != 48 || got.Height != 64 {
		t.Fatalf("%+v, %v", got, err)
	}
}

// TestReadsLittle: whatever lies in the middle of a file is not read.
func TestReadsLittle(t *testing.T) {
	t.Parallel()
	small := ffmpeg(t, "a.mp4", slices.Concat(picture(), []string{"-c:v", "libx264", "-pix_fmt", "yuv420p"})...)
	// A gigabyte of samples between the head and moov.
	moov := bytes.Index(small, []byte("moov")) - 4
	mdat := make([]byte, 16)
	binary.BigEndian.PutUint32(mdat, 1)
	copy(mdat[4:], "mdat")
	const hole = 1 << 30
	binary.BigEndian.PutUint64(mdat[8:], hole)
	r := &sparse{head: append(slices.Clone(small[:moov]), mdat...), tail: small[moov:]}
	r.hole = hole - 16
	got, err := probe.Probe(t.Context(), r, r.size(), "video/mp4", "large.mp4")
	if err != nil || got.Duration != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	if r.read > 64<<10 {
		t.Errorf("read %d bytes", r.read)
	}
}

// sparse is a file with a hole in which nobody may read.
type sparse struct {
	head, tail []byte
	hole, read int64
}

func (s *sparse) size() int64 { return int64(len(s.head)) + s.hole + int64(len(s.tail)) }

func (s *sparse) ReadAt(p []byte, off int64) (int, error) {
	s.read += int64(len(p))
	if off < int64(len(s.head)) {
		return copy(p, s.head[off:]), nil
	}
	if off -= int64(len(s.head)) + s.hole; off < 0 {
		return 0, errors.New("read inside the samples")
	}
	n := copy(p, s.tail[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func gradient(w, h int) image.Image {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for x := range w {
		for y := range h {
			m.Set(x, y, color.RGBA{uint8(x), uint8(y), 99, 255})
		}
	}
	return m
}

// exifBlock is EXIF with an orientation, a date and its offset from UTC.
func exifBlock(orientation uint16, date, offset string) []byte {
	var b bytes.Buffer
	le := binary.LittleEndian
	u16 := func(v ...uint16) {
		for _, v := range v {
			b.Write(le.AppendUint16(nil, v))
		}
	}
	u32 := func(v uint32) { b.Write(le.AppendUint32(nil, v)) }
	b.WriteString("II*\x00")
	u32(8)
	u16(2, 0x0112, 3)
	u32(1)
	u16(orientation, 0)
	u16(0x8769, 4)
	u32(1)
	u32(38)
	u32(0)
	entries := uint16(1)
	if offset != "" {
		entries = 2
	}
	u16(entries, 0x9003, 2)
	at := uint32(38 + 2 + 12*int(entries) + 4)
	u32(uint32(len(date) + 1))
	u32(at)
	if offset != "" {
		u16(0x9011, 2)
		u32(uint32(len(offset) + 1))
		u32(at + uint32(len(date)+1))
	}
	u32(0)
	b.WriteString(date + "\x00")
	if offset != "" {
		b.WriteString(offset + "\x00")
	}
	return b.Bytes()
}

func jpegWith(t testing.TB, exif []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, gradient(40, 30), nil); err != nil {
		t.Fatal(err)
	}
	if exif == nil {
		return b.Bytes()
	}
	segment := append([]byte("\xff\xe1\x00\x00Exif\x00\x00"), exif...)
	binary.BigEndian.PutUint16(segment[2:], uint16(len(segment)-2))
	return slices.Concat(b.Bytes()[:2], segment, b.Bytes()[2:])
}

func pngWith(t testing.TB, exif []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, gradient(40, 30)); err != nil {
		t.Fatal(err)
	}
	if exif == nil {
		return b.Bytes()
	}
	chunk := binary.BigEndian.AppendUint32(nil, uint32(len(exif)))
	chunk = append(append(chunk, "eXIf"...), exif...)
	chunk = binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(chunk[4:]))
	return slices.Concat(b.Bytes()[:33], chunk, b.Bytes()[33:])
}

func TestPhotos(t *testing.T) {
	t.Parallel()
	var g bytes.Buffer
	if err := gif.Encode(&g, gradient(40, 30), nil); err != nil {
		t.Fatal(err)
	}
	taken := time.Date(2024, 6, 30, 21, 15, 0, 0, time.UTC)
	for _, c := range []struct {
		name, contentType string
		file              []byte
		w, h              int
		taken             time.Time
	}{
		{"a.jpg", "image/jpeg", jpegWith(t, nil), 40, 30, time.Time{}},
		{"turned.jpg", "image/jpeg", jpegWith(t, exifBlock(6, "2024:06:30 23:15:00", "+02:00")), 30, 40, taken},
		{"mirrored.jpg", "image/jpeg", jpegWith(t, exifBlock(2, "2024:06:30 21:15:00", "")), 40, 30, taken},
		{"upside down.jpg", "image/jpeg", jpegWith(t, exifBlock(3, "0000:00:00 00:00:00", "")), 40, 30, time.Time{}},
		{"damaged exif.jpg", "image/jpeg", jpegWith(t, []byte("II*\x00\xff\xff\xff\xff")), 40, 30, time.Time{}},
		{"a.png", "image/png", pngWith(t, nil), 40, 30, time.Time{}},
		{"turned.png", "image/png", pngWith(t, exifBlock(8, "2024:06:30 21:15:00", "")), 30, 40, taken},
		{"a.gif", "image/gif", g.Bytes(), 40, 30, time.Time{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			// The content counts, whatever it was stored as.
			for _, stored := range []string{"", "application/octet-stream", c.contentType, "video/mp4"} {
				got, err := look(t, c.file, stored, c.name)
				if err != nil {
					t.Fatal(err)
				}
				if got.Kind != metadata.KindPhoto || got.ContentType != c.contentType || got.Width != c.w || got.Height != c.h || got.Duration != 0 {
					t.Errorf("got %+v", got)
				}
				if c.taken.IsZero() != (got.TakenAt == nil) || got.TakenAt != nil && !got.TakenAt.Equal(c.taken) {
					t.Errorf("taken %v, want %v", got.TakenAt, c.taken)
				}
			}
		})
	}
}

func TestPhotosOfTools(t *testing.T) {
	t.Parallel()
	one := []string{"-f", "lavfi", "-i", "testsrc=size=64x48", "-frames:v", "1"}
	for _, c := range []struct {
		name, contentType string
		options           []string
	}{
		{"a.webp", "image/webp", append(one, "-c:v", "libwebp")},
		{"lossless.webp", "image/webp", append(one, "-c:v", "libwebp", "-lossless", "1")},
		{"animated.webp", "image/webp", append(picture(), "-c:v", "libwebp_anim")},
		{"a.avif", "image/avif", append(one, "-c:v", "libaom-av1", "-cpu-used", "8", "-still-picture", "1")},
		{"a.apng", "image/apng", append(picture(), "-f", "apng")},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := look(t, ffmpeg(t, c.name, slices.Clone(c.options)...), "", c.name)
			if err != nil || got.ContentType != c.contentType || got.Width != 64 || got.Height != 48 {
				t.Fatalf("%+v, %v", got, err)
			}
		})
	}
}

func TestHEIC(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.hei[cf]")
	if err != nil || len(files) == 0 {
		t.Fatal("no files to look at", err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got, err := look(t, b, "", file)
		if err != nil || got.ContentType != "image/heic" || got.Kind != metadata.KindPhoto {
			t.Fatalf("%s: %+v, %v", file, got, err)
		}
		w, h := 64, 48
		if strings.Contains(file, "turned") {
			w, h = h, w
		}
		if got.Width != w || got.Height != h {
			t.Errorf("%s: %d x %d", file, got.Width, got.Height)
		}
		if strings.Contains(file, "turned") && (got.TakenAt == nil || !got.TakenAt.Equal(time.Date(2024, 6, 30, 21, 15, 0, 0, time.UTC))) {
			t.Errorf("%s: taken %v", file, got.TakenAt)
		}
	}
}

func TestNotWhatItSays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, contentType, content string
		want                       error
	}{
		{"page.jpg", "image/jpeg", "<html>", probe.ErrMalformed},
		{"page.jpg", "", "<html>", probe.ErrMalformed},
		{"empty.mp4", "video/mp4", "", probe.ErrMalformed},
		{"drawing.svg", "image/svg+xml", "<svg/>", probe.ErrUnknown},
		{"tape.ts", "video/mp2t", "G" + strings.Repeat("\x00", 187), probe.ErrUnknown},
		{"cut.jpg", "image/jpeg", "\xff\xd8\xff\xe0\x00\x10JFIF", probe.ErrMalformed},
		{"cut.png", "image/png", "\x89PNG\r\n\x1a\n\x00\x00", probe.ErrMalformed},
		{"cut.mp4", "video/mp4", "\x00\x00\x00\x10ftypisom\x00\x00\x00\x00\x00\x00\x00\x09moov", probe.ErrMalformed},
		{"samples.mp4", "video/mp4", "\x00\x00\x00\x10ftypisom\x00\x00\x00\x00", probe.ErrMalformed},
		{"cut.webm", "video/webm", "\x1a\x45\xdf\xa3", probe.ErrMalformed},
		{"zeros.webm", "video/webm", "\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\xff\x00\x00", probe.ErrMalformed},
	} {
		if _, err := look(t, []byte(c.content), c.contentType, c.name); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// TestReadErrors: what is wrong with the reading is not blamed on the file.
func TestReadErrors(t *testing.T) {
	t.Parallel()
	b := jpegWith(t, nil)
	down := errors.New("origin is down")
	_, err := probe.Probe(t.Context(), failing{down}, int64(len(b)), "image/jpeg", "a.jpg")
	if !errors.Is(err, down) || errors.Is(err, probe.ErrMalformed) {
		t.Errorf("%v", err)
	}
	if _, err = probe.Probe(t.Context(), bytes.NewReader(b[:20]), int64(len(b)), "image/jpeg", "a.jpg"); !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, probe.ErrMalformed) {
		t.Errorf("a file shorter than its size: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = probe.Probe(ctx, bytes.NewReader(b), int64(len(b)), "image/jpeg", "a.jpg"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

type failing struct{ err error }

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }

// TestBounded: files made to waste time are given up on soon.
func TestBounded(t *testing.T) {
	t.Parallel()
	free := bytes.Repeat([]byte("\x00\x00\x00\x08free"), 1<<18)
	void := bytes.Repeat([]byte{0xEC, 0x80}, 1<<20)
	for name, b := range map[string][]byte{
		"boxes.mp4":    append([]byte("\x00\x00\x00\x10ftypisom\x00\x00\x00\x00"), free...),
		"voids.mkv":    append([]byte("\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff"), void...),
		"segments.jpg": append([]byte("\xff\xd8"), bytes.Repeat([]byte("\xff\xe5\x00\x04\x00\x00"), 1<<22)...),
		"zeros.jpg":    append([]byte("\xff\xd8\xff"), make([]byte, 1<<24)...),
		"chunks.png":   append(pngWith(t, nil)[:33], bytes.Repeat([]byte("\x00\x00\x00\x00tEXt\x00\x00\x00\x00"), 1<<20)...),
		"chunks.webp":  append([]byte("RIFF\xff\xff\xff\x7fWEBP"), bytes.Repeat([]byte("JUNK\x00\x00\x00\x00"), 1<<21)...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &counting{Reader: bytes.NewReader(b)}
			_, err := probe.Probe(t.Context(), r, r.Size(), "", name)
			if err != nil && !errors.Is(err, probe.ErrMalformed) {
				t.Error(err)
			}
			if r.n > 17<<20 {
				t.Errorf("read %d of %d bytes", r.n, len(b))
			}
		})
	}
}

func TestTypeOf(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{
		{"image/JPEG; q=1", "x", "image/jpeg"}, {"", "a/b.JPG", "image/jpeg"}, {"application/octet-stream", "b.mov", "video/quicktime"},
		{"binary/octet-stream", "b.webm", "video/webm"}, {"text/html", "b.jpg", ""}, {"", "jpg", ""}, {"", "b.txt", ""}, {"video/x-new", "", "video/x-new"},
		{"audio/mpeg", "b.mp4", ""}, {"image/png; broken=\"", "", "image/png"},
	} {
		if got := probe.TypeOf(c[0], c[1]); got != c[2] {
			t.Errorf("%q %q: %q, want %q", c[0], c[1], got, c[2])
		}
	}
}

// fuzz feeds a parser through Probe, which must neither panic nor take long nor
// tell nonsense.
func fuzz(f *testing.F, name string) {
	f.Helper()
	f.Fuzz(func(t *testing.T, b []byte) {
		info, err := probe.Probe(context.Background(), bytes.NewReader(b), int64(len(b)), "", name)
		switch {
		case errors.Is(err, probe.ErrMalformed), errors.Is(err, probe.ErrUnknown):
		case err != nil:
			t.Fatal(err)
		case info.Width <= 0 || info.Height <= 0 || info.Kind == "" || info.Duration < 0 || math.IsNaN(info.Duration) || math.IsInf(info.Duration, 0):
			t.Fatalf("%+v", info)
		}
		for _, c := range info.Codecs {
			if strings.ContainsFunc(c, func(r rune) bool { return r <= ' ' || r > '~' }) {
				t.Fatalf("codec %q", c)
			}
		}
		_ = fmt.Sprint(info)
	})
}

func FuzzJPEG(f *testing.F) {
	f.Add(jpegWith(f, exifBlock(6, "2024:06:30 23:15:00", "+02:00")))
	fuzz(f, "a.jpg")
}

func FuzzPNG(f *testing.F) {
	f.Add(pngWith(f, exifBlock(6, "2024:06:30 23:15:00", "")))
	fuzz(f, "a.png")
}

func FuzzGIF(f *testing.F) {
	f.Add([]byte("GIF89a\x01\x00\x01\x00\x00\x00\x00"))
	fuzz(f, "a.gif")
}

func FuzzWebP(f *testing.F) {
	f.Add([]byte("RIFF\x1e\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x08\x00\x00\x00\x3f\x00\x00\x2f\x00\x00EXIF\x02\x00\x00\x00II"))
	fuzz(f, "a.webp")
}

func FuzzHEIF(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.hei[cf]")
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	fuzz(f, "a.heic")
}

func FuzzMP4(f *testing.F) {
	seedVideos(f, "*.mp4")
	fuzz(f, "a.mp4")
}

func FuzzMatroska(f *testing.F) {
	seedVideos(f, "*.webm")
	fuzz(f, "a.webm")
}

func seedVideos(f *testing.F, pattern string) {
	f.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
}
