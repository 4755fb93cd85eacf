package aggregate

import (
	"fmt"

	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/evident-go/evident/eventstore"
)

// cache keeps the states of aggregates that were used last. What it holds is
// nobody else's: states are copied on the way in and on the way out.
type cache struct {
	entries *lru.Cache[eventstore.Stream, entry]
}

// entry is a state and the event that it ends with.
type entry struct {
	version uint64
	last    uuid.UUID
	state   any // what Root.remember returned
}

func newCache(size int) (*cache, error) {
	if size == 0 {
		return nil, nil //nolint:nilnil // no cache is no error.
	}
	entries, err := lru.New[eventstore.Stream, entry](size)
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	return &cache{entries: entries}, nil
}

func (c *cache) drop(stream eventstore.Stream) { c.entries.Remove(stream) }

// keep puts a copy of the root's state into the cache. A state that cannot be
// copied is not cached.
func (h *home) keep(stream eventstore.Stream, root Root) {
	p := root.at()
	if h.cache == nil || p.saved == 0 {
		return
	}
	if state, ok := root.remember(); ok {
		h.cache.entries.Add(stream, entry{version: p.saved, last: p.last, state: state})
	}
}

// fromCache brings the root to the version that the cache has, if it is not
// beyond the one that is wanted. The store has to confirm it.
func (h *home) fromCache(root Root, stream eventstore.Stream, to uint64) bool {
	if h.cache == nil {
		return false
	}
	found, ok := h.cache.entries.Get(stream)
	if !ok || to > 0 && found.version > to || !root.resume(found.state) {
		return false
	}
	p := root.at()
	p.tenant, p.saved, p.last = stream.TenantID, found.version, found.last
	p.cost.base = found.version
	return true
}
