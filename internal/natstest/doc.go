// Package natstest runs NATS servers with JetStream for tests: one in the test's
// process, three of them as a cluster, or one in a process of its own. Those of a
// cluster are processes, too: they can be killed and frozen, and the race detector
// does not slow them down. All listen on loopback at free ports, keep their files
// in a folder of the test's, and end with the test.
//
//	server := natstest.Start(t)
//	js := server.JetStream(t)
//
// A server that is stopped and started again has the same address and the same
// files.
package natstest
