package sqlite

// For tests of what cannot be brought about from outside.
var (
	MeaningOf = meaningOf
	OwnTables = ownTables
	Patiently = patiently
)

// Waiting returns how many appends wait to be written.
func (s *Store) Waiting() int {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	return len(s.queue.waiting)
}

// SetWindow makes reads look at fewer positions at a time.
func (s *Store) SetWindow(positions int64) { s.window = positions }
