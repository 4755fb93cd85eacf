package memory

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"sync"

	"github.com/evident-go/evident/audit"
)

// shelf keeps items in the order of their positions. What was read once never
// moves: an item that comes late is put into a copy.
type shelf[T any] struct {
	position func(item T) uint64

	mu    sync.RWMutex
	items []T
}

// put adds an item and returns what stands at its position already, if
// something does; then nothing is added.
func (s *shelf[T]) put(item T) (stands T, taken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, taken := s.search(s.items, s.position(item))
	if taken {
		return s.items[i], true
	}
	if i < len(s.items) {
		s.items = slices.Insert(slices.Clone(s.items), i, item)
		return stands, false
	}
	s.items = append(s.items, item)
	return stands, false
}

func (s *shelf[T]) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.items = nil
}

// all returns the items as they are now. They must not be changed.
func (s *shelf[T]) all() []T {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clip(s.items)
}

func (s *shelf[T]) search(items []T, position uint64) (int, bool) {
	return slices.BinarySearchFunc(items, position, func(item T, p uint64) int { return cmp.Compare(s.position(item), p) })
}

// find yields the items of a page that match, as they are when ranging begins.
func (s *shelf[T]) find(ctx context.Context, page audit.Page, matches func(T) bool) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		left := page.Limit
		for item := range s.page(page) {
			if err := ctx.Err(); err != nil {
				yield(*new(T), err)
				return
			}
			if !matches(item) {
				continue
			}
			if !yield(item, nil) {
				return
			}
			if left--; left == 0 {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(*new(T), err)
		}
	}
}

// page yields the items within the bounds of a page, in its direction.
func (s *shelf[T]) page(page audit.Page) iter.Seq[T] {
	items := s.all()
	if page.Before > 0 {
		end, _ := s.search(items, page.Before)
		items = items[:end]
	}
	begin, taken := s.search(items, page.After)
	if taken {
		begin++
	}
	items = items[begin:]
	return func(yield func(T) bool) {
		for i := range items {
			if !page.OldestFirst {
				i = len(items) - 1 - i
			}
			if !yield(items[i]) {
				return
			}
		}
	}
}
