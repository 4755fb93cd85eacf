// Package jetstream is the room of NATS JetStream. It keeps events, on one server
// or on several that have replicas of them; and it publishes what happened, from
// any store, and helps those who read it.
//
// A [Store] is an event store, for when one machine is no longer enough. It needs
// servers of version 2.12.1 or newer; 2.14 is better.
//
//	config := jetstream.Config{Replicas: 3}
//	err := jetstream.Provision(ctx, js, config) // once, by whoever may create streams
//	store, err := jetstream.Open(ctx, js, config)
//
// Set "sync_interval: always" on each server: by default servers acknowledge
// before the disk has confirmed, and no client can see which they do.
//
// A [Publisher] is a projection: run it like any other, and every record of the
// audit trail becomes one message, ActivityRecorded v1, a CloudEvent in JSON.
// There is no outbox table. The log is the outbox, and the checkpoint moves
// when the server has acknowledged.
//
//	config := jetstream.PublisherConfig{Replicas: 3}
//	err := jetstream.ProvisionStream(ctx, js, config)
//	publisher, err := jetstream.NewPublisher(js, config)
//	runner, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{publisher}})
//
// A [Consumer] reads the stream in order, hands each message to a handler once,
// and acknowledges it when the handler has succeeded.
//
// Messages are thin: they say who did what to which thing and when, with ids
// only. A stream that keeps everything cannot forget, and who reads it may be
// many. [PublisherConfig.Full] sends the whole record.
package jetstream
