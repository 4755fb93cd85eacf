package memory

import (
	"cmp"
	"context"
	"slices"

	"github.com/evident-go/evident/registry"
)

// decisions implements [registry.Store].
type decisions struct{ session session }

// Load implements [registry.Store].
func (s decisions) Load(ctx context.Context, name registry.Name) (found registry.Record, err error) {
	if err := name.Validate(); err != nil {
		return registry.Record{}, err
	}
	err = s.session.read(ctx, func(v *view) error {
		row, there := v.records.get(name)
		if !there {
			return registry.ErrNotFound
		}
		found = row
		return nil
	})
	return found, err
}

// Save implements [registry.Store].
func (s decisions) Save(ctx context.Context, r registry.Record) (registry.Record, error) {
	if err := registry.Check(r); err != nil {
		return registry.Record{}, err
	}
	saved := registry.Stored(r)
	err := s.session.write(ctx, func(v *view) error {
		have, _ := v.records.get(r.Name)
		if err := registry.CheckSave(r, have.Revision, liveBeside(v, r.Name)); err != nil {
			return err
		}
		saved.Revision, saved.UpdatedAt = r.Revision+1, s.session.clock()
		v.records.put(r.Name, saved)
		return nil
	})
	if err != nil {
		return registry.Record{}, err
	}
	return saved, nil
}

// liveBeside returns the version of a projection that is live besides the one
// of that name, or 0.
func liveBeside(v *view, name registry.Name) int {
	for other, row := range v.records.all() {
		if other.Projection == name.Projection && other.Version != name.Version && row.State == registry.Live {
			return other.Version
		}
	}
	return 0
}

// List implements [registry.Store].
func (s decisions) List(ctx context.Context, projection string) ([]registry.Record, error) {
	var list []registry.Record
	err := s.session.read(ctx, func(v *view) error {
		for name, row := range v.records.all() {
			if projection == "" || projection == name.Projection {
				list = append(list, row)
			}
		}
		return nil
	})
	slices.SortFunc(list, func(a, b registry.Record) int {
		return cmp.Or(cmp.Compare(a.Name.Projection, b.Name.Projection), cmp.Compare(a.Name.Version, b.Name.Version))
	})
	return list, err
}
