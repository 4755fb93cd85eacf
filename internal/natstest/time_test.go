package natstest_test

import "time"

const (
	patience = 30 * time.Second
	tick     = 10 * time.Millisecond
)
