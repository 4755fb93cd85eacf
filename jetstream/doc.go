// Package jetstream is the room of NATS JetStream. It publishes what happened,
// and helps those who read it.
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
