package privacy

import "iter"

// Pages yields what page returns, page by page, until one is shorter than it
// was asked to be, or until there were most of them, 0 for no limit. page is
// given the last one before, the zero value at first, and how many it may
// return: size, or fewer at the end. Nothing is held between two pages. It is
// for those who write adapters.
func Pages[T any](most, size int, page func(last T, limit int) ([]T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var last T
		for left := most; most == 0 || left > 0; left -= size {
			limit := size
			if most > 0 {
				limit = min(left, size)
			}
			found, err := page(last, limit)
			if err != nil {
				yield(*new(T), err)
				return
			}
			for _, last = range found {
				if !yield(last, nil) {
					return
				}
			}
			if len(found) < limit {
				return
			}
		}
	}
}
