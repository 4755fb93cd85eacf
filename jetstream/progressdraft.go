package jetstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/evident-go/evident/eventstore"
)

// draft is what a transaction has read and what it is to write. Nothing reaches
// the bucket before it is committed; what it has written it reads itself.
type draft struct {
	bucket  *bucket
	read    map[string]cell     // by key, as first read; what it says of revisions is what is expected
	written map[string][]byte   // by key; nil for one that is removed
	ahead   map[string]struct{} // keys that nobody reads before another one names them
	order   []string            // of the keys that were written
	held    map[string]struct{} // keys that must stay as they were read, though they are not written
	shown   map[string]struct{} // keys whose values somebody outside has seen
	undo    []func()
	after   []func(ctx context.Context, written uint64)
}

func newDraft(b *bucket) *draft {
	return &draft{bucket: b, read: make(map[string]cell), written: make(map[string][]byte), ahead: make(map[string]struct{}), held: make(map[string]struct{}), shown: make(map[string]struct{})}
}

// get returns the data of a key, nil if there is none.
func (d *draft) get(ctx context.Context, key string) ([]byte, error) {
	if data, ok := d.written[key]; ok {
		return data, nil
	}
	if known, ok := d.read[key]; ok {
		return known.data, nil
	}
	found, err := d.bucket.get(ctx, key)
	if err != nil {
		return nil, err
	}
	d.read[key] = found
	return found.data, nil
}

// fetch reads keys for what comes to ask for them, in one question; a few from the
// leader, one by one, where no server can take itself for it that is not.
func (d *draft) fetch(ctx context.Context, keys ...string) error {
	var missing []string
	for _, key := range keys {
		if _, ok := d.read[key]; !ok {
			missing = append(missing, key)
		}
	}
	const few = 2
	if len(missing) == 0 {
		return nil
	}
	if len(missing) <= few && d.bucket.replicas == 1 {
		for _, key := range missing {
			if _, err := d.get(ctx, key); err != nil {
				return err
			}
		}
		return nil
	}
	found, err := d.bucket.find(ctx, missing...)
	if err != nil {
		return err
	}
	for _, key := range missing {
		d.read[key] = found[key]
	}
	return nil
}

// list returns the data of all keys that patterns take, by key.
func (d *draft) list(ctx context.Context, patterns ...string) (map[string][]byte, error) {
	found, err := d.bucket.find(ctx, patterns...)
	if err != nil {
		return nil, err
	}
	all := make(map[string][]byte, len(found))
	for key, c := range found {
		if c.data != nil {
			all[key] = c.data
		}
	}
	for key, data := range d.written {
		for _, pattern := range patterns {
			if matches(pattern, key) {
				all[key] = data
			}
		}
		if data == nil {
			delete(all, key)
		}
	}
	return all, nil
}

// put writes a key; remove removes it. One that was read is guarded.
func (d *draft) put(key string, data []byte) {
	before, again := d.written[key]
	length := len(d.order)
	d.undo = append(d.undo, func() {
		d.order = d.order[:length]
		if again {
			d.written[key] = before
		} else {
			delete(d.written, key)
		}
	})
	if !again {
		d.order = append(d.order, key)
	}
	d.written[key] = data
}

// precede notes that a key that is written is read by nobody before another key
// names it, which is written, too.
func (d *draft) precede(key string) { d.ahead[key] = struct{}{} }

func (d *draft) remove(key string) { d.put(key, nil) }

// hold has the commit fail if a key that was read has changed.
func (d *draft) hold(key string) { d.held[key] = struct{}{} }

// show notes that somebody outside may decide by what is at a key.
func (d *draft) show(keys ...string) {
	for _, key := range keys {
		d.shown[key] = struct{}{}
	}
}

// then has f called after the commit, with the sequence of its first change or 0.
func (d *draft) then(f func(ctx context.Context, written uint64)) {
	length := len(d.after)
	d.undo = append(d.undo, func() { d.after = d.after[:length] })
	d.after = append(d.after, f)
}

// follow calls what is to be called after the commit.
func (d *draft) follow(ctx context.Context, written uint64) {
	for _, f := range d.after {
		f(ctx, written)
	}
}

// mark returns the mark by which rollback undoes what is written after it.
func (d *draft) mark() int { return len(d.undo) }

func (d *draft) rollback(mark int) {
	for len(d.undo) > mark {
		last := len(d.undo) - 1
		d.undo[last]()
		d.undo = d.undo[:last]
	}
}

// changes returns what is to be written. A key that is held and not written is
// written as it is: that is how the server looks at it. Who writes nothing holds
// nothing.
func (d *draft) changes() []keyChange {
	if len(d.written) == 0 {
		return nil
	}
	changes := make([]keyChange, 0, len(d.order)+len(d.held))
	for _, key := range d.order {
		known, guarded := d.read[key]
		_, ahead := d.ahead[key]
		changes = append(changes, keyChange{key: key, data: d.written[key], guarded: guarded, revision: known.revision, ahead: ahead && !guarded})
	}
	for key := range d.held {
		if _, ok := d.written[key]; !ok {
			known := d.read[key]
			changes = append(changes, keyChange{key: key, data: known.data, guarded: true, revision: known.revision})
		}
	}
	return changes
}

// confirm returns an error if something has changed that somebody has been shown,
// and has now hold what this draft holds.
func (d *draft) confirm(ctx context.Context, now *draft) error {
	var keys []string
	for key := range d.shown {
		if _, ok := d.read[key]; ok {
			keys = append(keys, key)
		}
	}
	if err := now.fetch(ctx, keys...); err != nil {
		return err
	}
	for _, key := range keys {
		before, after := d.read[key].data, now.read[key].data
		if !bytes.Equal(before, after) || (before == nil) != (after == nil) {
			return &TxConflictError{Key: key}
		}
		if _, held := d.held[key]; held {
			now.hold(key)
		}
	}
	return nil
}

// load reads the value of a key, the zero value if there is none.
func load[V any](ctx context.Context, d *draft, key string) (value V, found bool, err error) {
	data, err := d.get(ctx, key)
	if err != nil || data == nil {
		return value, false, err
	}
	value, err = decodeValue[V](key, data)
	return value, err == nil, err
}

// store writes the value of a key.
func store(d *draft, key string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("value of key %s: %w", key, err)
	}
	d.put(key, data)
	return nil
}

// listValues returns all values that a pattern takes, in no order.
func listValues[V any](ctx context.Context, d *draft, pattern string) ([]V, error) {
	all, err := d.list(ctx, pattern)
	if err != nil {
		return nil, err
	}
	values := make([]V, 0, len(all))
	for key, data := range all {
		value, err := decodeValue[V](key, data)
		if err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return values, nil
}

// decodeValue reads a value as this package writes it.
func decodeValue[V any](key string, data []byte) (value V, err error) {
	if err := json.Unmarshal(data, &value); err != nil {
		return value, errors.Join(eventstore.ErrCorrupt, fmt.Errorf("value of key %s: %w", key, err))
	}
	return value, nil
}
