package scale

// How figures are printed, for the tests.
var (
	Bytes   = bytes
	Count   = count
	Percent = percent
	Seconds = seconds
)
