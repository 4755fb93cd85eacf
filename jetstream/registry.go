package jetstream

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/registry"
)

// decisions implements [registry.Store]. Beside the records there is a key for
// each projection that says which version is live: whoever makes one live, or
// has it be so no longer, writes both.
type decisions struct{ session session }

// recordValue is a record as it is stored.
type recordValue struct {
	Projection string         `json:"projection"`
	Version    int            `json:"version"`
	State      registry.State `json:"state"`
	Since      time.Time      `json:"since"`
	Lanes      int            `json:"lanes"`
	Finished   bool           `json:"finished,omitempty"`
	Pause      pauseValue     `json:"pause,omitzero"`
	Order      orderValue     `json:"order,omitzero"`
	Revision   uint64         `json:"revision"`
	UpdatedAt  time.Time      `json:"updated_at"`
}

type pauseValue struct {
	Reason string        `json:"reason"`
	By     event.ActorID `json:"by,omitempty"`
	At     time.Time     `json:"at"`
}

type orderValue struct {
	Kind     registry.Kind `json:"kind"`
	Lanes    int           `json:"lanes,omitempty"`
	Position uint64        `json:"position,omitempty"`
	Reason   string        `json:"reason"`
	By       event.ActorID `json:"by,omitempty"`
	At       time.Time     `json:"at"`
	Problem  string        `json:"problem,omitempty"`
}

func valueOfRecord(r registry.Record) recordValue {
	return recordValue{
		Projection: r.Name.Projection, Version: r.Name.Version, State: r.State, Since: r.Since, Lanes: r.Lanes, Finished: r.Finished,
		Pause: pauseValue(r.Pause), Order: orderValue(r.Order), Revision: r.Revision, UpdatedAt: r.UpdatedAt,
	}
}

func (v recordValue) record() registry.Record {
	return registry.Record{
		Name:  registry.Name{Projection: v.Projection, Version: v.Version},
		State: v.State, Since: v.Since, Lanes: v.Lanes, Finished: v.Finished,
		Pause: registry.Pause(v.Pause), Order: registry.Order(v.Order), Revision: v.Revision, UpdatedAt: v.UpdatedAt,
	}
}

// liveValue says which version of a projection is live.
type liveValue struct {
	Projection string `json:"projection"`
	Version    int    `json:"version"` // 0 for none
}

func recordKey(n registry.Name) string { return versionKey(recordKeys, n.Projection, n.Version) }

func liveKey(projection string) string { return progressKey(liveKeys, keyPart(projection)) }

// Load implements [registry.Store].
func (s decisions) Load(ctx context.Context, name registry.Name) (found registry.Record, err error) {
	if err := name.Validate(); err != nil {
		return registry.Record{}, err
	}
	err = s.session.look(ctx, func(ctx context.Context, d *draft) error {
		d.show(recordKey(name))
		value, ok, err := load[recordValue](ctx, d, recordKey(name))
		if err == nil && !ok {
			return registry.ErrNotFound
		}
		found = value.record()
		return err
	})
	if err != nil {
		return registry.Record{}, err
	}
	return found, nil
}

// Save implements [registry.Store].
func (s decisions) Save(ctx context.Context, r registry.Record) (registry.Record, error) {
	if err := registry.Check(r); err != nil {
		return registry.Record{}, err
	}
	now, err := s.session.clock(ctx)
	if err != nil {
		return registry.Record{}, err
	}
	saved := registry.Stored(r)
	saved.Revision, saved.UpdatedAt = r.Revision+1, now
	err = s.session.change(ctx, func(ctx context.Context, d *draft) error { return saveRecord(ctx, d, r, saved) })
	if err != nil {
		return registry.Record{}, err
	}
	return saved, nil
}

func saveRecord(ctx context.Context, d *draft, r, saved registry.Record) error {
	key, pointer := recordKey(r.Name), liveKey(r.Name.Projection)
	if err := d.fetch(ctx, key, pointer); err != nil {
		return err
	}
	have, _, err := load[recordValue](ctx, d, key)
	if err != nil {
		return err
	}
	live, _, err := load[liveValue](ctx, d, pointer)
	if err != nil {
		return err
	}
	other := live.Version
	if other == r.Name.Version {
		other = 0
	}
	if err := registry.CheckSave(r, have.Revision, other); err != nil {
		return err
	}
	if err := store(d, key, valueOfRecord(saved)); err != nil {
		return err
	}
	isLive := live.Version == r.Name.Version
	switch {
	case r.State == registry.Live && !isLive:
		return store(d, pointer, liveValue{Projection: r.Name.Projection, Version: r.Name.Version})
	case r.State != registry.Live && isLive:
		return store(d, pointer, liveValue{Projection: r.Name.Projection})
	default:
		d.hold(pointer)
		return nil
	}
}

// List implements [registry.Store].
func (s decisions) List(ctx context.Context, projection string) (list []registry.Record, err error) {
	pattern := below(recordKeys)
	if projection != "" {
		pattern = below(progressKey(recordKeys, keyPart(projection)))
	}
	err = s.session.look(ctx, func(ctx context.Context, d *draft) error {
		values, err := listValues[recordValue](ctx, d, pattern)
		list = make([]registry.Record, 0, len(values))
		for _, v := range values {
			list = append(list, v.record())
		}
		return err
	})
	slices.SortFunc(list, func(a, b registry.Record) int {
		return cmp.Or(cmp.Compare(a.Name.Projection, b.Name.Projection), a.Name.Version-b.Name.Version)
	})
	return list, err
}
