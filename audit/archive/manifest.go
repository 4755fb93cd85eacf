package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
)

const (
	// Format names the layout of an archive. A program refuses one that it does
	// not know.
	Format = "evident.archive/1"
	// ManifestName is the file that names all others.
	ManifestName = "manifest.json"
)

// Manifest says what an archive holds. It is written as JSON.
type Manifest struct {
	Format    string         `json:"format"`
	StoreID   uuid.UUID      `json:"store_id"`            // of the store that positions are of
	TenantID  event.TenantID `json:"tenant_id,omitempty"` // if it was written from a view of one tenant
	Selection string         `json:"selection,omitempty"` // [Config.Selection]; "" for all events
	Until     uint64         `json:"until,string"`        // whatever was selected up to here is in the archive
	Events    uint64         `json:"events,string"`
	CreatedAt time.Time      `json:"created_at"`
	UpdatedAt time.Time      `json:"updated_at"`
	Files     []File         `json:"files"`
	Checksum  string         `json:"checksum"` // SHA-256 of the manifest with this field empty, as compact JSON
}

// File is one file of events. Each begins where the one before it ends.
type File struct {
	Name          string    `json:"name"`
	After         uint64    `json:"after,string"` // it covers the positions above this
	Until         uint64    `json:"until,string"` // up to this
	First         uint64    `json:"first,string"` // position of its first event
	Last          uint64    `json:"last,string"`
	LastID        uuid.UUID `json:"last_id"` // of its last event
	Events        uint64    `json:"events,string"`
	RecordedFrom  time.Time `json:"recorded_from"`  // of the first event
	RecordedUntil time.Time `json:"recorded_until"` // of the last
	Bytes         int64     `json:"bytes"`          // of the lines
	Size          int64     `json:"size"`           // of the file as it is stored
	SHA256        string    `json:"sha256"`         // of the file as it is stored
}

// sum returns what belongs into Checksum.
func (m Manifest) sum() (string, error) {
	m.Checksum = ""
	content, err := json.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("encode manifest: %w", err)
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:]), nil
}

// encode returns the manifest's file.
func (m Manifest) encode() ([]byte, error) {
	sum, err := m.sum()
	if err != nil {
		return nil, err
	}
	m.Checksum = sum
	content, err := json.MarshalIndent(m, "", "  ")
	return append(content, '\n'), err
}

// readManifest returns the manifest of an archive, checked in itself.
func readManifest(ctx context.Context, source fs.FS) (Manifest, error) {
	if err := ctx.Err(); err != nil {
		return Manifest{}, err
	}
	content, err := fs.ReadFile(source, ManifestName)
	if errors.Is(err, fs.ErrNotExist) {
		return Manifest{}, fmt.Errorf("%w: %w", ErrNotArchive, err)
	}
	if err != nil {
		return Manifest{}, err
	}
	return decodeManifest(content)
}

func decodeManifest(content []byte) (m Manifest, err error) {
	if err := json.Unmarshal(content, &m); err != nil {
		return Manifest{}, &DamageError{File: ManifestName, Reason: "is not a manifest", Err: err}
	}
	if m.Format != Format && strings.HasPrefix(m.Format, "evident.archive/") {
		return Manifest{}, fmt.Errorf("%w: %q, the program knows %q", ErrFormat, m.Format, Format)
	}
	sum, err := m.sum()
	if err != nil || sum != m.Checksum {
		return Manifest{}, &DamageError{File: ManifestName, Reason: "has another checksum than it says", Err: err}
	}
	if reason := m.contradiction(); reason != "" {
		return Manifest{}, &DamageError{File: ManifestName, Reason: reason}
	}
	return m, nil
}

// contradiction returns what in the manifest cannot be, or "". Files that
// cover each their part, without a hole between them, are a complete archive.
func (m Manifest) contradiction() string {
	covered, events := uint64(0), uint64(0)
	for _, f := range m.Files {
		switch {
		case !strings.HasPrefix(f.Name, namePrefix) || !fs.ValidPath(f.Name) || strings.Contains(f.Name, "/"):
			return fmt.Sprintf("names a file %q", f.Name)
		case f.After != covered:
			return fmt.Sprintf("has no file for the positions between %d and %d", covered, f.After)
		case f.First <= f.After || f.Last < f.First || f.Until < f.Last:
			return fmt.Sprintf("has wrong positions for %s", f.Name)
		case f.Events == 0 || f.Events > f.Last-f.First+1 || f.Bytes <= 0 || f.Bytes > maxFileBytes+MaxLineBytes || f.Size <= 0:
			return fmt.Sprintf("has wrong sizes for %s", f.Name)
		}
		covered, events = f.Until, events+f.Events
	}
	switch {
	case m.Format != Format:
		return "does not say what format it has"
	case covered > m.Until:
		return "ends before its files do"
	case events != m.Events:
		return "has another number of events than its files"
	default:
		return ""
	}
}
