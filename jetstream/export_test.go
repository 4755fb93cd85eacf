package jetstream

// OrderOf is for tests of the order key.
var OrderOf = orderOf

// ConfigOf returns what a store was opened with.
func ConfigOf(s *Store) Config { return s.config }
