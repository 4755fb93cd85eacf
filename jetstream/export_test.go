package jetstream

// OrderOf is for tests of the order key.
var OrderOf = orderOf
