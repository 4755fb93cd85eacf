package archive_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit/archive"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// written returns an archive of three plain or packed files.
func written(tb testing.TB, compression archive.Compression) (files fstest.MapFS, manifest archive.Manifest) {
	tb.Helper()
	store, target := newStore(tb), newBucket()
	fill(tb, store, 30)
	result := write(tb, store, target, archive.Config{FileBytes: 6000, Compression: compression})
	require.Greater(tb, result.Files, 1)
	return target.MapFS, result.Manifest
}

// damageOf requires that an error is damage.
func damageOf(t *testing.T, err error) *archive.DamageError {
	t.Helper()
	require.ErrorIs(t, err, archive.ErrDamaged)
	var damage *archive.DamageError
	require.ErrorAs(t, err, &damage)
	return damage
}

func TestDamageIsNamedByFileAndLine(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		spoil  func(lines [][]byte) [][]byte
		line   int
		reason string
	}{
		"a byte of an event": {func(l [][]byte) [][]byte {
			l[2] = bytes.Replace(l[2], []byte("Account"), []byte("account"), 1)
			return l
		}, 3, "the line is damaged"},
		"not JSON":            {func(l [][]byte) [][]byte { l[1] = []byte("{\n"); return l }, 2, "the line is damaged"},
		"a line that is gone": {func(l [][]byte) [][]byte { return append(l[:1:1], l[2:]...) }, 0, "lines, the manifest says"},
		"the first line":      {func(l [][]byte) [][]byte { return l[1:] }, 1, "the manifest says"},
		"lines swapped":       {func(l [][]byte) [][]byte { l[1], l[2] = l[2], l[1]; return l }, 3, "out of its place"},
		"a line twice":        {func(l [][]byte) [][]byte { return append(l[:2:2], l[1:]...) }, 3, "out of its place"},
		"cut in a line":       {func(l [][]byte) [][]byte { l[3] = l[3][:20]; return l[:4] }, 4, "is cut short"},
		"cut between lines":   {func(l [][]byte) [][]byte { return l[:4] }, 0, "has 4 lines"},
		"empty":               {func([][]byte) [][]byte { return nil }, 0, "has 0 lines"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files, manifest := written(t, archive.Plain)
			second := manifest.Files[1]
			lines := bytes.SplitAfter(files[second.Name].Data, []byte("\n"))
			files[second.Name].Data = bytes.Join(test.spoil(lines[:len(lines)-1]), nil)
			report, err := archive.Verify(t.Context(), files)
			damage := damageOf(t, err)
			assert.Equal(t, second.Name, damage.File)
			assert.Equal(t, test.line, damage.Line)
			assert.Contains(t, damage.Error(), test.reason)
			assert.Equal(t, []*archive.DamageError{damage}, report.Damage)
			assert.Equal(t, len(manifest.Files)-1, report.Files, "the others are looked at all the same")

			require.ErrorIs(t, lastError(openArchive(t, files).ReadAll(t.Context(), eventstore.Query{})), archive.ErrDamaged)
			backward := eventstore.Query{Direction: eventstore.Backward}
			require.ErrorIs(t, lastError(openArchive(t, files).ReadAll(t.Context(), backward)), archive.ErrDamaged)
			require.ErrorIs(t, lastError(openArchive(t, files).ReadStream(t.Context(), eventstore.Stream{}, eventstore.StreamQuery{})), archive.ErrDamaged)
		})
	}
}

func TestPackedFilesAreDamaged(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(data []byte) []byte{
		"the header":             func(d []byte) []byte { return append([]byte{0}, d[1:]...) },
		"a byte":                 func(d []byte) []byte { d[len(d)/2] ^= 0x40; return d },
		"the end":                func(d []byte) []byte { return d[:len(d)-9] },
		"something behind":       func(d []byte) []byte { return append(d, 'x') },
		"another file behind":    func(d []byte) []byte { return append(d, d...) },
		"a field that is no use": func(d []byte) []byte { d[9] ^= 0xff; return d }, // the operating system, which gzip does not check
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files, manifest := written(t, archive.Gzip)
			first := manifest.Files[0]
			files[first.Name].Data = spoil(files[first.Name].Data)
			_, err := archive.Verify(t.Context(), files)
			assert.Equal(t, first.Name, damageOf(t, err).File)
		})
	}
	files, manifest := written(t, archive.Gzip)
	delete(files, manifest.Files[1].Name)
	_, err := archive.Verify(t.Context(), files)
	assert.Contains(t, damageOf(t, err).Error(), "is missing")
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestTheManifestIsDamaged(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(text string) string{
		"nothing":     func(string) string { return "" },
		"not JSON":    func(s string) string { return s[:len(s)/2] },
		"a number":    func(s string) string { return strings.Replace(s, `"until": "30"`, `"until": "31"`, 1) },
		"a name":      func(s string) string { return strings.Replace(s, `"name": "events-`, `"name": "Events-`, 1) },
		"no format":   func(s string) string { return strings.Replace(s, archive.Format, "", 1) },
		"other words": func(string) string { return `{"format":"evident.archive/1","checksum":"x"}` },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files, _ := written(t, archive.Gzip)
			files[archive.ManifestName].Data = []byte(spoil(string(files[archive.ManifestName].Data)))
			_, err := archive.Open(t.Context(), files)
			assert.Equal(t, archive.ManifestName, damageOf(t, err).File)
			_, err = archive.Verify(t.Context(), files)
			require.ErrorIs(t, err, archive.ErrDamaged)
			_, err = archive.Write(t.Context(), newStore(t), &bucket{MapFS: files, crash: -1}, archive.Config{})
			require.ErrorIs(t, err, archive.ErrDamaged)
		})
	}
}

func TestAManifestThatNamesAnotherLastEvent(t *testing.T) {
	t.Parallel()
	files, manifest := written(t, archive.Gzip)
	manifest.Files[1].LastID = uuid.New()
	content, err := archive.EncodeManifest(manifest)
	require.NoError(t, err)
	files[archive.ManifestName].Data = content
	_, err = archive.Verify(t.Context(), files)
	damage := damageOf(t, err)
	assert.Equal(t, manifest.Files[1].Name, damage.File)
	assert.Contains(t, damage.Error(), "ends with event")
}

func TestAManifestThatContradictsItself(t *testing.T) {
	t.Parallel()
	for reason, spoil := range map[string]func(m *archive.Manifest){
		"no file for the positions": func(m *archive.Manifest) { m.Files = m.Files[1:] },
		"names a file":              func(m *archive.Manifest) { m.Files[0].Name = "events-/../../secret" },
		"wrong positions":           func(m *archive.Manifest) { m.Files[0].First = 0 },
		"wrong sizes":               func(m *archive.Manifest) { m.Files[0].Events = 99 },
		"wrong sizes for events-":   func(m *archive.Manifest) { m.Files[1].Bytes = 1 << 40 }, // which somebody would have to unpack
		"ends before":               func(m *archive.Manifest) { m.Until = 1 },
		"another number of events":  func(m *archive.Manifest) { m.Events++ },
		"what format":               func(m *archive.Manifest) { m.Format = "" },
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			files, manifest := written(t, archive.Gzip)
			spoil(&manifest)
			content, err := archive.EncodeManifest(manifest)
			require.NoError(t, err)
			files[archive.ManifestName].Data = content
			_, err = archive.Open(t.Context(), files)
			assert.Contains(t, damageOf(t, err).Error(), reason)
		})
	}
}

func TestAnotherFormatIsNoDamage(t *testing.T) {
	t.Parallel()
	files, manifest := written(t, archive.Gzip)
	manifest.Format = "evident.archive/2"
	content, err := json.Marshal(manifest)
	require.NoError(t, err)
	files[archive.ManifestName].Data = content
	_, err = archive.Open(t.Context(), files)
	require.ErrorIs(t, err, archive.ErrFormat)
	_, err = archive.Open(t.Context(), fstest.MapFS{})
	require.ErrorIs(t, err, archive.ErrNotArchive)
}

// failing is a disk that cannot be read.
type failing struct {
	fs.FS

	open string // the file that does not open
	read string // the file that cannot be read
}

var errDisk = errors.New("the disk has failed")

func (f failing) Open(name string) (fs.File, error) {
	if name == f.open || strings.HasPrefix(name, f.open) && f.open != "" {
		return nil, errDisk
	}
	file, err := f.FS.Open(name)
	if strings.HasPrefix(name, f.read) && f.read != "" {
		return unreadable{file}, err
	}
	return file, err
}

type unreadable struct{ fs.File }

func (unreadable) Read([]byte) (int, error) { return 0, errDisk }

func TestADiskThatFailsIsNoDamage(t *testing.T) {
	t.Parallel()
	for _, compression := range []archive.Compression{archive.Gzip, archive.Plain} {
		files, _ := written(t, compression)
		for _, broken := range []failing{{FS: files, open: "events-"}, {FS: files, read: "events-"}, {FS: files, open: archive.ManifestName}} {
			_, err := archive.Verify(t.Context(), broken)
			require.ErrorIs(t, err, errDisk)
			require.NotErrorIs(t, err, archive.ErrDamaged)
		}
		_, err := archive.Verify(t.Context(), failing{FS: files, open: "."})
		require.ErrorIs(t, err, errDisk)
	}
}

// FuzzRead gives the reader damaged files: it names the damage, or nothing was
// damaged.
func FuzzRead(f *testing.F) {
	files, manifest := written(f, archive.Gzip)
	plain, plainManifest := written(f, archive.Plain)
	whole := func(content []byte, m archive.Manifest, from fstest.MapFS, i int) fstest.MapFS {
		changed := maps.Clone(from)
		changed[m.Files[i].Name] = &fstest.MapFile{Data: content}
		return changed
	}
	f.Add(0, 10, byte(1), 0)
	f.Add(1, 3, byte(0xff), 7)
	f.Add(2, 100, byte(0x20), 0)
	f.Add(3, 0, byte(0), 30)
	f.Fuzz(func(t *testing.T, which, at int, flip byte, cut int) {
		from, m := files, manifest
		if which&1 == 1 {
			from, m = plain, plainManifest
		}
		original := from[m.Files[0].Name].Data
		content := bytes.Clone(original)
		content[abs(at)%len(content)] ^= flip
		content = content[:len(content)-abs(cut)%len(content)]
		changed := whole(content, m, from, 0)
		_, err := archive.Verify(t.Context(), changed)
		if bytes.Equal(original, content) {
			require.NoError(t, err)
			return
		}
		require.ErrorIs(t, err, archive.ErrDamaged)
		r, err := archive.Open(t.Context(), changed)
		require.NoError(t, err)
		for _, query := range []eventstore.Query{{}, {Direction: eventstore.Backward}} {
			if err := lastError(r.ReadAll(t.Context(), query)); err != nil {
				require.ErrorIs(t, err, archive.ErrDamaged)
			}
		}
	})
}

// FuzzManifest gives it manifests that are none.
func FuzzManifest(f *testing.F) {
	files, _ := written(f, archive.Gzip)
	f.Add(files[archive.ManifestName].Data)
	f.Add([]byte(`{"format":"evident.archive/1"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, content []byte) {
		r, err := archive.Open(t.Context(), fstest.MapFS{archive.ManifestName: {Data: content}})
		if err == nil {
			err = lastError(r.ReadAll(t.Context(), eventstore.Query{}))
		}
		if err != nil && !errors.Is(err, archive.ErrFormat) {
			require.ErrorIs(t, err, archive.ErrDamaged)
		}
	})
}

// FuzzLine decodes lines that are none, and requires that what was decoded
// encodes and decodes to the same.
func FuzzLine(f *testing.F) {
	files, m := written(f, archive.Plain)
	for line := range bytes.Lines(files[m.Files[0].Name].Data) {
		f.Add(line)
	}
	f.Add([]byte(`{"sum":"00000000","event":null}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := archive.DecodeLine(line)
		if err != nil {
			return
		}
		again, err := archive.EncodeLine(e)
		require.NoError(t, err)
		same, err := archive.DecodeLine(again)
		require.NoError(t, err)
		require.Equal(t, e, same)
	})
}

// FuzzPayload archives payloads of any bytes.
func FuzzPayload(f *testing.F) {
	for _, data := range payloads() {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e := event.Event{ID: event.NewID(), Type: "T", SchemaVersion: 1, AggregateType: "A", AggregateID: event.NewID(), AggregateVersion: 1, Position: 1, OccurredAt: start, RecordedAt: start, Data: data}
		line, err := archive.EncodeLine(e)
		require.NoError(t, err)
		require.Equal(t, 1, bytes.Count(line, []byte("\n")), "one line")
		got, err := archive.DecodeLine(line)
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, got.Data))
	})
}

func abs(n int) int { return max(n, -(n + 1)) }
