package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/evident-go/evident/event"
)

// Report is what [Verify] found.
type Report struct {
	Manifest Manifest
	Files    int    // that are whole
	Events   uint64 // in them
	Damage   []*DamageError
	Unlisted []string // other files that are there: of no use, and no damage; a crash leaves some
}

// Verify reads a whole archive: every line has its sum and its place, every
// file its checksum, its number of events and its bounds, and there is no hole
// between files. It goes on behind a damaged file and lists the first damage of
// each. The error joins them; without damage it is only there if the archive
// could not be read. For the manifest it is that of [Open].
func Verify(ctx context.Context, files fs.FS) (Report, error) {
	manifest, err := readManifest(ctx, files)
	if err != nil {
		return Report{}, fmt.Errorf("verify archive: %w", err)
	}
	report := Report{Manifest: manifest}
	for _, f := range manifest.Files {
		_, err := scanFile(ctx, files, f, func(event.Event) bool { return true })
		if damage, ok := errors.AsType[*DamageError](err); ok {
			report.Damage = append(report.Damage, damage)
			continue
		}
		if err != nil {
			return report, fmt.Errorf("verify archive: %w", err)
		}
		report.Files++
		report.Events += f.Events
	}
	if report.Unlisted, err = unlisted(files, manifest); err != nil {
		return report, fmt.Errorf("verify archive: %w", err)
	}
	return report, report.err()
}

func (r Report) err() error {
	all := make([]error, len(r.Damage))
	for i, damage := range r.Damage {
		all[i] = damage
	}
	return errors.Join(all...)
}

func unlisted(files fs.FS, manifest Manifest) (names []string, err error) {
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		listed := func(f File) bool { return f.Name == entry.Name() }
		if entry.Name() != ManifestName && !slices.ContainsFunc(manifest.Files, listed) {
			names = append(names, entry.Name())
		}
	}
	return names, nil
}
