package jetstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// snapshots implements [aggregate.SnapshotStore]. A state that is too large for
// one message is kept in pieces, below keys that are written once.
type snapshots struct{ progress *progress }

// pieceBytes is how much of a state goes into one message: no more than a server
// takes, and little enough to be answered at once.
func (s snapshots) pieceBytes() int {
	const most = 256 << 10
	return int(min(most, s.progress.bucket.js.Conn().MaxPayload()/2))
}

// snapshotValue is a snapshot as it is stored, in front of a line's end and the
// state, or alone if the state is in pieces.
type snapshotValue struct {
	Stream        string    `json:"stream"`
	StoreID       uuid.UUID `json:"store_id"`
	Version       uint64    `json:"version"`
	SchemaVersion int       `json:"schema_version"`
	TakenAt       time.Time `json:"taken_at"`
	Pieces        string    `json:"pieces,omitempty"` // what their keys have in common
	Count         int       `json:"count,omitempty"`  // of the pieces
}

func snapshotKey(s eventstore.Stream) string {
	return progressKey(snapshotKeys, keyPart(string(s.TenantID)), keyPart(s.AggregateType), s.AggregateID.String())
}

// keys returns the keys of the pieces.
func (v *snapshotValue) keys() []string {
	keys := make([]string, v.Count)
	for i := range keys {
		keys[i] = v.Pieces + "." + strconv.Itoa(i)
	}
	return keys
}

// encode returns the value with the state behind it, if it fits.
func (v *snapshotValue) encode(state []byte) ([]byte, error) {
	head, err := json.Marshal(v)
	if err != nil || v.Count > 0 {
		return head, err
	}
	return slices.Concat(head, []byte("\n"), state), nil
}

// decodeSnapshot reads what encode has written.
func decodeSnapshot(key string, data []byte) (v snapshotValue, state []byte, err error) {
	head, state, _ := bytes.Cut(data, []byte("\n"))
	v, err = decodeValue[snapshotValue](key, head)
	return v, state, err
}

// Load implements [aggregate.SnapshotStore].
func (s snapshots) Load(ctx context.Context, stream eventstore.Stream) (found aggregate.Snapshot, ok bool, err error) {
	if stream.Validate() != nil {
		return found, false, s.progress.usable(ctx) // there can be none
	}
	err = s.progress.look(ctx, func(ctx context.Context, d *draft) error {
		data, err := d.get(ctx, snapshotKey(stream))
		if ok = data != nil; err != nil || !ok {
			return err
		}
		value, state, err := decodeSnapshot(snapshotKey(stream), data)
		if err != nil {
			return err
		}
		if value.Count > 0 {
			if state, err = readPieces(ctx, d, value.keys()); err != nil {
				return err
			}
		}
		found = aggregate.Snapshot{
			Stream: stream, StoreID: value.StoreID, Version: value.Version, SchemaVersion: value.SchemaVersion, State: state, TakenAt: value.TakenAt,
		}
		return nil
	})
	if err != nil {
		return aggregate.Snapshot{}, false, err
	}
	return found, ok, nil
}

// readPieces joins pieces. One that is missing was removed by a newer Save.
func readPieces(ctx context.Context, d *draft, keys []string) ([]byte, error) {
	var state []byte
	for _, key := range keys {
		piece, err := d.get(ctx, key)
		if err != nil {
			return nil, err
		}
		if piece == nil {
			return nil, errTorn
		}
		state = append(state, piece...)
	}
	return state, nil
}

// Save implements [aggregate.SnapshotStore].
func (s snapshots) Save(ctx context.Context, snapshot aggregate.Snapshot) error {
	if err := snapshot.Validate(); err != nil {
		return err
	}
	key := snapshotKey(snapshot.Stream)
	return s.progress.change(ctx, func(ctx context.Context, d *draft) error {
		before, err := lastSnapshot(ctx, d, key)
		if err != nil || before.Version > snapshot.Version {
			return err
		}
		for _, piece := range before.keys() {
			d.remove(piece)
		}
		value := snapshotValue{
			Stream: snapshot.Stream.String(), StoreID: snapshot.StoreID, Version: snapshot.Version, SchemaVersion: snapshot.SchemaVersion, TakenAt: event.Time(snapshot.TakenAt),
		}
		if len(snapshot.State) > s.pieceBytes() {
			value.Pieces = progressKey(stateKeys, uuid.NewString())
			for piece := range slices.Chunk(snapshot.State, s.pieceBytes()) {
				d.put(value.Pieces+"."+strconv.Itoa(value.Count), bytes.Clone(piece))
				value.Count++
			}
		}
		data, err := value.encode(snapshot.State)
		if err != nil {
			return fmt.Errorf("snapshot of %s: %w", snapshot.Stream, err)
		}
		d.put(key, data)
		return nil
	})
}

// lastSnapshot returns what is kept of a stream. What cannot be read is replaced:
// a snapshot is a cache.
func lastSnapshot(ctx context.Context, d *draft, key string) (v snapshotValue, err error) {
	data, err := d.get(ctx, key)
	if err != nil || data == nil {
		return v, err
	}
	v, _, err = decodeSnapshot(key, data)
	if errors.Is(err, eventstore.ErrCorrupt) {
		return snapshotValue{}, nil
	}
	return v, err
}

// Delete implements [aggregate.SnapshotStore].
func (s snapshots) Delete(ctx context.Context, stream eventstore.Stream) error {
	if stream.Validate() != nil {
		return s.progress.usable(ctx) // there can be none
	}
	key := snapshotKey(stream)
	return s.progress.change(ctx, func(ctx context.Context, d *draft) error {
		data, err := d.get(ctx, key)
		if err != nil || data == nil {
			return err
		}
		value, err := lastSnapshot(ctx, d, key)
		if err != nil {
			return err
		}
		for _, piece := range value.keys() {
			d.remove(piece)
		}
		d.remove(key)
		return nil
	})
}
