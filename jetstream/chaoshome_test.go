package jetstream_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/internal/chaostest"
	"github.com/evident-go/evident/internal/chaostest/sqlitehome"
	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/jetstream"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/sqlite"
)

// chaosAddress names a server, and the file that has rows and progress. Without a
// file progress is on the server, too, and effects are in buckets of their own.
func chaosAddress(url, path string) string { return url + " " + path }

// readModels is a file that takes a commit without waiting for the disk: nobody
// here cuts the power, and writers do not wait for it as they do for a store of
// events in the same file.
func readModels(path string) sqlite.Config {
	return sqlite.Config{Path: path, Synchronous: sqlite.SynchronousNormal}
}

// chaosHome opens what the processes of the chaos need, as soon as it is there: the
// server may only just have been killed.
func chaosHome(ctx context.Context, j chaostest.Job, check func(events ...event.Event) error) (chaostest.Place, error) {
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for began := time.Now(); ; {
		place, err := openPlace(ctx, j, check)
		if err == nil || time.Since(began) > patience/2 {
			return place, err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return place, err
		}
	}
}

func openPlace(ctx context.Context, j chaostest.Job, check func(events ...event.Event) error) (place chaostest.Place, err error) {
	url, path, _ := strings.Cut(j.Address, " ")
	js, hangUp, err := natstest.Dial(url)
	if err != nil {
		return place, err
	}
	defer func() {
		if err != nil {
			hangUp()
		}
	}()
	events, err := jetstream.Open(ctx, js, jetstream.Config{})
	if err != nil {
		return place, err
	}
	place = chaostest.Place{Store: events, Close: func() error { defer hangUp(); return events.Close() }}
	if path == "" {
		target, err := openBuckets(ctx, js)
		place.Projections = target.projections(j, check)
		return place, err
	}
	file, err := sqlite.Open(ctx, readModels(path))
	if err != nil {
		return place, errors.Join(err, events.Close())
	}
	end := place.Close
	place.Progress, place.Projections = file, sqlitehome.Projections(j, check)
	place.Close = func() error { return errors.Join(file.Close(), end()) }
	return place, nil
}

// buckets are a target that knows nothing of checkpoints. An effect has the
// event's id for its key, so that it is written once; a tally names the position
// of the last event that is in it, and is written only where it was read.
type buckets struct{ effects, tallies natsjs.KeyValue }

func provisionBuckets(ctx context.Context, js natsjs.JetStream) error {
	for _, name := range []string{chaostest.Effects, chaostest.Tallies} {
		if _, err := js.CreateKeyValue(ctx, natsjs.KeyValueConfig{Bucket: name}); err != nil {
			return err
		}
	}
	return nil
}

func openBuckets(ctx context.Context, js natsjs.JetStream) (buckets, error) {
	effects, err := js.KeyValue(ctx, chaostest.Effects)
	if err != nil {
		return buckets{}, err
	}
	tallies, err := js.KeyValue(ctx, chaostest.Tallies)
	return buckets{effects: effects, tallies: tallies}, err
}

func (b buckets) projections(j chaostest.Job, check func(events ...event.Event) error) []projection.Projection {
	return []projection.Projection{
		projection.New(chaostest.Effects, 1, projection.InLanes(j.Lanes), projection.OnEvery(func(ctx context.Context, e event.Event) error {
			if err := check(e); err != nil {
				return err
			}
			return projection.AsInfrastructure(b.effect(ctx, e, j.Owner))
		})),
		projection.New(chaostest.Tallies, 1, projection.InLanes(j.Lanes), projection.OnEvery(func(ctx context.Context, e event.Event) error {
			if err := check(e); err != nil {
				return err
			}
			return projection.AsInfrastructure(b.tally(ctx, e))
		})),
	}
}

// effect writes an effect, if it is not there.
func (b buckets) effect(ctx context.Context, e event.Event, owner string) error {
	value, err := json.Marshal(chaostest.Effect{Position: e.Position, Stream: e.AggregateID, Owner: owner, At: time.Now()})
	if err != nil {
		return err
	}
	_, err = b.effects.Create(ctx, e.ID.String(), value)
	if errors.Is(err, natsjs.ErrKeyExists) {
		return nil
	}
	return err
}

// tally adds an event to the tally of its stream, if it is not in it.
func (b buckets) tally(ctx context.Context, e event.Event) error {
	var tally chaostest.Tally
	var revision uint64
	entry, err := b.tallies.Get(ctx, e.AggregateID.String())
	switch {
	case err == nil:
		revision, err = entry.Revision(), json.Unmarshal(entry.Value(), &tally)
	case errors.Is(err, natsjs.ErrKeyNotFound):
		err = nil
	}
	if err != nil || e.Position <= tally.Last {
		return err
	}
	counts, err := chaostest.Value(e)
	if err != nil {
		return err
	}
	value, err := json.Marshal(chaostest.Tally{Events: tally.Events + 1, Sum: tally.Sum + counts, Last: e.Position})
	if err != nil {
		return err
	}
	_, err = b.tallies.Update(ctx, e.AggregateID.String(), value, revision)
	return err
}

// look adds to a state what is in the buckets: of the effects those of one owner,
// or all if owner is "".
func (b buckets) look(ctx context.Context, s *chaostest.State, owner string) error {
	err := eachValue(ctx, b.effects, func(_ string, value []byte) error {
		var e chaostest.Effect
		err := json.Unmarshal(value, &e)
		if owner == "" || owner == e.Owner {
			s.Effects = append(s.Effects, e)
		}
		return err
	})
	if err != nil {
		return err
	}
	return eachValue(ctx, b.tallies, func(key string, value []byte) error {
		stream, err := uuid.Parse(key)
		if err != nil {
			return err
		}
		var t chaostest.Tally
		err = json.Unmarshal(value, &t)
		s.Tallies[stream] = t
		return err
	})
}

// eachValue calls f for what a bucket holds, in the order in which it was written.
func eachValue(ctx context.Context, bucket natsjs.KeyValue, f func(key string, value []byte) error) error {
	watch, err := bucket.WatchAll(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = watch.Stop() }() // it has told everything
	for {
		select {
		case entry := <-watch.Updates():
			if entry == nil { // that was all
				return nil
			}
			if err := f(entry.Key(), entry.Value()); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
