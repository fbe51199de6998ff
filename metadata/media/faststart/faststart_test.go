package faststart_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"meridian/metadata/media/faststart"
)

// program finds what make test installs.
func program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not installed", name)
		}
		t.Skipf("%s is not installed", name)
	}
	return path
}

// film makes a file of 2 s with picture and sound.
func film(t testing.TB, name string, options ...string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	args := slices.Concat([]string{
		"-v", "error", "-nostdin", "-f", "lavfi", "-i", "testsrc=size=96x64:rate=10:duration=2",
		"-f", "lavfi", "-i", "sine=frequency=440:duration=2", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac",
	}, options, []string{path})
	if out, err := exec.CommandContext(t.Context(), program(t, "ffmpeg"), args...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg %v: %v\n%s", args, err, out)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// frames are the checksums of everything that ffmpeg decodes from a file.
func frames(t testing.TB, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "film")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), program(t, "ffmpeg"), "-v", "error", "-xerror", "-nostdin", "-i", path, "-map", "0", "-f", "framemd5", "-").CombinedOutput()
	if err != nil {
		t.Fatalf("ffmpeg cannot decode it: %v\n%s", err, out)
	}
	return string(out)
}

// build makes the output of a plan.
func build(t testing.TB, p faststart.Plan, in io.ReaderAt) []byte {
	t.Helper()
	return join(t, p.Segments, p.Size, in)
}

func join(t testing.TB, segments []faststart.Segment, size int64, in io.ReaderAt) []byte {
	t.Helper()
	out := make([]byte, 0, size)
	for _, s := range segments {
		piece := s.Data
		if piece == nil {
			piece = make([]byte, s.Length)
			if _, err := in.ReadAt(piece, s.Offset); err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
		}
		out = append(out, piece...)
	}
	if int64(len(out)) != size {
		t.Fatalf("segments have %d bytes, the plan %d", len(out), size)
	}
	return out
}

func moved(t testing.TB, b []byte) []byte {
	t.Helper()
	if needed, err := faststart.Needed(bytes.NewReader(b), int64(len(b))); !needed || err != nil {
		t.Fatalf("Needed = %v, %v", needed, err)
	}
	p, err := faststart.Make(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	out := build(t, p, bytes.NewReader(b))
	if needed, err := faststart.Needed(bytes.NewReader(out), p.Size); needed || err != nil {
		t.Errorf("of the output: Needed = %v, %v", needed, err)
	}
	if _, err := faststart.Make(bytes.NewReader(out), p.Size); !errors.Is(err, faststart.ErrNotNeeded) {
		t.Errorf("the output made again: %v", err)
	}
	return out
}

// The output decodes to what the input does and what ffmpeg's own output does,
// and its parts are the whole.
func TestDecodesToTheSameFrames(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]string{
		"film.mp4":    {"-metadata", "title=dunes"},
		"film.mov":    {"-timecode", "01:00:00:00"},
		"bframes.mp4": {"-bf", "2", "-g", "5", "-b:v", "2M"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := film(t, name, options...)
			out := moved(t, in)
			if bytes.Index(out, []byte("moov")) > bytes.Index(out, []byte("mdat")) {
				t.Error("mdat comes first")
			}
			want := frames(t, in)
			if frames(t, out) != want {
				t.Error("frames differ from those of the input")
			}
			theirs := film(t, name, slices.Concat(options, []string{"-movflags", "+faststart", "-fflags", "+bitexact"})...)
			if frames(t, theirs) != want {
				t.Error("frames differ from those of ffmpeg's own output")
			}
			if len(out) != len(in) {
				t.Errorf("%d bytes became %d", len(in), len(out))
			}
			plan, err := faststart.Make(bytes.NewReader(in), int64(len(in)))
			if err != nil {
				t.Fatal(err)
			}
			for _, size := range []int64{1000, 4096, plan.Size} {
				var parts []byte
				for off := int64(0); off < plan.Size; off += size {
					n := min(size, plan.Size-off)
					parts = append(parts, join(t, plan.Range(off, n), n, bytes.NewReader(in))...)
				}
				if !bytes.Equal(parts, out) {
					t.Errorf("parts of %d bytes are not the whole", size)
				}
			}
		})
	}
}

func TestLeftAlone(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]string{
		"first.mp4":     {"-movflags", "+faststart"},
		"fragments.mp4": {"-movflags", "frag_keyframe+empty_moov"},
		"hybrid.mp4":    {"-movflags", "frag_keyframe"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := film(t, name, options...)
			if needed, err := faststart.Needed(bytes.NewReader(b), int64(len(b))); needed || err != nil {
				t.Errorf("Needed = %v, %v", needed, err)
			}
			if _, err := faststart.Make(bytes.NewReader(b), int64(len(b))); !errors.Is(err, faststart.ErrNotNeeded) {
				t.Errorf("Make: %v", err)
			}
		})
	}
}

// box is a box with that content; with wide, its size has 64 bits.
func box(name string, content ...[]byte) []byte {
	all := bytes.Join(content, nil)
	return append(append(binary.BigEndian.AppendUint32(nil, uint32(8+len(all))), name...), all...)
}

func wideBox(name string, content ...[]byte) []byte {
	all := bytes.Join(content, nil)
	b := append([]byte{0, 0, 0, 1}, name...)
	return append(binary.BigEndian.AppendUint64(b, uint64(16+len(all))), all...)
}

func stco(offsets ...uint32) []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 4), uint32(len(offsets)))
	for _, o := range offsets {
		b = binary.BigEndian.AppendUint32(b, o)
	}
	return box("stco", b)
}

func co64(offsets ...uint64) []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 4), uint32(len(offsets)))
	for _, o := range offsets {
		b = binary.BigEndian.AppendUint64(b, o)
	}
	return box("co64", b)
}

func track(table []byte, more ...[]byte) []byte {
	return box("trak", box("tkhd", make([]byte, 84)), box("mdia", box("minf", append(more, box("stbl", box("stsd", make([]byte, 8)), table))...)))
}

// chunks are the offsets of the tables of a file, in order.
func chunks(t testing.TB, moov []byte) []int64 {
	t.Helper()
	var found []int64
	for _, name := range []string{"stco", "co64"} {
		rest := moov
		for {
			i := bytes.Index(rest, []byte(name))
			if i < 0 {
				break
			}
			rest = rest[i+8:]
			n := int(binary.BigEndian.Uint32(rest))
			for k := range n {
				if name == "stco" {
					found = append(found, int64(binary.BigEndian.Uint32(rest[4+4*k:])))
				} else {
					found = append(found, int64(binary.BigEndian.Uint64(rest[4+8*k:])))
				}
			}
		}
	}
	return found
}

// Samples lie in several boxes, before and behind the index, with sizes of
// either width and others between them.
func TestSeveralBoxesOfSamples(t *testing.T) {
	t.Parallel()
	start := slices.Concat(box("ftyp", []byte("isom\x00\x00\x02\x00isom")), box("free", make([]byte, 20)), box("wide"))
	first := wideBox("mdat", []byte("AAAABBBB"))
	second := box("mdat", []byte("CCCC"))
	third := box("mdat", []byte("DDDD"))
	a := uint32(len(start)) + 16
	c := uint32(len(start)+len(first)) + 8
	index := func(d uint32) []byte {
		return box("moov", box("mvhd", make([]byte, 100)), track(stco(a, a+4, d)), track(co64(uint64(c))), []byte{0, 0, 0, 0})
	}
	size := uint32(len(index(0)))
	d := uint32(len(start)+len(first)+len(second)) + size + 8
	in := slices.Concat(start, first, second, index(d), third, []byte("end"))
	out := moved(t, in)
	var got []string
	front, _, _ := bytes.Cut(out, []byte("mdat"))
	for _, off := range chunks(t, front) {
		got = append(got, string(out[off:off+4]))
	}
	if strings.Join(got, " ") != "AAAA BBBB DDDD CCCC" {
		t.Errorf("the tables point at %q", got)
	}
	if len(out) != len(in) || !bytes.HasSuffix(out, []byte("end")) {
		t.Errorf("%d bytes became %d", len(in), len(out))
	}
}

// sparse is a large file of zeros with something at its start and its end.
type sparse struct {
	head, tail []byte
	size       int64
}

func (s sparse) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if off < int64(len(s.head)) {
		copy(p, s.head[off:])
	}
	if at := s.size - int64(len(s.tail)); off+int64(len(p)) > at {
		if off >= at {
			copy(p, s.tail[off-at:])
		} else {
			copy(p[at-off:], s.tail)
		}
	}
	return len(p), nil
}

// Offsets that were near the limit of 32 bits are beyond it once the index is in
// front: the table that holds them gets wider, and that one only.
func TestTablesGetWider(t *testing.T) {
	t.Parallel()
	head := box("ftyp", []byte("isom\x00\x00\x02\x00"))
	samples := int64(1<<32 + 1000)
	head = append(head, 0, 0, 0, 1, 'm', 'd', 'a', 't')
	head = binary.BigEndian.AppendUint64(head, uint64(16+samples))
	begin := uint32(len(head))
	tail := box("moov", box("mvhd", make([]byte, 100)), track(stco(begin, begin+10)), track(stco(begin, 1<<32-100)))
	in := sparse{head, tail, int64(len(head)) + samples + int64(len(tail))}
	p, err := faststart.Make(in, in.size)
	if err != nil {
		t.Fatal(err)
	}
	index := p.Segments[1].Data
	if len(index) != len(tail)+8 || p.Size != in.size+8 {
		t.Errorf("an index of %d bytes became one of %d, the file %+d", len(tail), len(index), p.Size-in.size)
	}
	grown := int64(len(index))
	want := []int64{int64(begin) + grown, int64(begin) + 10 + grown, int64(begin) + grown, 1<<32 - 100 + grown}
	if got := chunks(t, index); !slices.Equal(got, want) {
		t.Errorf("chunks at %d, want %d", got, want)
	}
	var sum int64
	for _, s := range p.Segments {
		sum += s.Len()
	}
	if sum != p.Size {
		t.Errorf("segments have %d bytes, the plan %d", sum, p.Size)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	ftyp, samples := box("ftyp", []byte("isom\x00\x00\x02\x00")), box("mdat", []byte("AAAA"))
	begin := uint32(len(ftyp) + 8)
	file := func(inMoov ...[]byte) []byte { return slices.Concat(ftyp, samples, box("moov", inMoov...)) }
	good := file(track(stco(begin)))
	elsewhere := box("dinf", box("dref", []byte{0, 0, 0, 0, 0, 0, 0, 1}, box("url ", []byte{0, 0, 0, 0}, []byte("file:a"))))
	for name, c := range map[string]struct {
		file []byte
		want error
	}{
		"nothing":           {nil, faststart.ErrMalformed},
		"text":              {[]byte("<html><body>no film</body></html>"), faststart.ErrMalformed},
		"no index":          {slices.Concat(ftyp, samples), faststart.ErrMalformed},
		"cut off":           {good[:len(good)-3], faststart.ErrMalformed},
		"no samples":        {slices.Concat(ftyp, box("mdat"), box("moov", track(stco()))), faststart.ErrNotNeeded},
		"two indexes":       {slices.Concat(good, box("moov")), faststart.ErrUnsupported},
		"compressed":        {file(box("cmov", make([]byte, 20))), faststart.ErrUnsupported},
		"chunk behind end":  {file(track(stco(9999))), faststart.ErrMalformed},
		"chunk in index":    {file(track(stco(begin + 20))), faststart.ErrMalformed},
		"table too short":   {file(track(box("stco", []byte{0, 0, 0, 0, 0, 0, 0, 9}))), faststart.ErrMalformed},
		"box too long":      {file([]byte{0, 0, 1, 0, 't', 'r', 'a', 'k'}), faststart.ErrMalformed},
		"negative size":     {file([]byte{0, 0, 0, 1, 't', 'r', 'a', 'k', 255, 255, 255, 255, 255, 255, 255, 255}), faststart.ErrMalformed},
		"items":             {file(track(stco(begin)), box("meta", make([]byte, 4), box("iloc"))), faststart.ErrUnsupported},
		"encrypted":         {file(track(stco(begin), box("stbl", box("saio", make([]byte, 8))))), faststart.ErrUnsupported},
		"samples elsewhere": {file(track(stco(begin), elsewhere)), faststart.ErrUnsupported},
	} {
		if _, err := faststart.Make(bytes.NewReader(c.file), int64(len(c.file))); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	huge := sparse{slices.Concat(ftyp, samples), nil, 1 << 30}
	huge.head = append(huge.head, 0x30, 0, 0, 0, 'm', 'o', 'o', 'v')
	huge.size = int64(len(huge.head)) - 8 + 0x30000000
	if _, err := faststart.Make(huge, huge.size); !errors.Is(err, faststart.ErrUnsupported) {
		t.Errorf("an index of %d MiB: %v", 0x30000000>>20, err)
	}
}

// broken fails at every read.
type broken struct{}

var errBroken = errors.New("origin is down")

func (broken) ReadAt([]byte, int64) (int, error) { return 0, errBroken }

func TestErrorsOfTheReaderAreToldApart(t *testing.T) {
	t.Parallel()
	if _, err := faststart.Make(broken{}, 1000); !errors.Is(err, errBroken) || errors.Is(err, faststart.ErrMalformed) {
		t.Errorf("Make: %v", err)
	}
	if _, err := faststart.Needed(broken{}, 1000); !errors.Is(err, errBroken) {
		t.Errorf("Needed: %v", err)
	}
}

// FuzzMake: whatever the file, nothing panics, and where a plan comes out, every
// chunk is found at its new place.
func FuzzMake(f *testing.F) {
	ftyp, samples := box("ftyp", []byte("isom\x00\x00\x02\x00")), box("mdat", []byte("AAAABBBB"))
	begin := uint32(len(ftyp) + 8)
	f.Add(slices.Concat(ftyp, samples, box("moov", track(stco(begin, begin+4)))))
	f.Add(slices.Concat(ftyp, wideBox("mdat", []byte("AAAA")), box("free"), box("moov", track(co64(uint64(begin+8))))))
	f.Add(slices.Concat(ftyp, samples, box("moov", box("meta", make([]byte, 4), box("iloc")))))
	f.Add(slices.Concat(samples, []byte{0, 0, 0, 0}, []byte("moov"), track(stco(8))))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		needed, err := faststart.Needed(r, int64(len(in)))
		if err != nil {
			t.Fatalf("Needed: %v", err)
		}
		p, err := faststart.Make(r, int64(len(in)))
		switch {
		case errors.Is(err, faststart.ErrMalformed), errors.Is(err, faststart.ErrUnsupported), errors.Is(err, faststart.ErrNotNeeded):
			return
		case err != nil:
			t.Fatalf("Make: %v", err)
		}
		if !needed {
			t.Error("made, though not needed")
		}
		out := build(t, p, r)
		if len(out) > 2*len(in)+16 {
			t.Errorf("%d bytes became %d", len(in), len(out))
		}
		if _, err := faststart.Make(bytes.NewReader(out), p.Size); !errors.Is(err, faststart.ErrNotNeeded) {
			t.Errorf("the output made again: %v", err)
		}
	})
}
