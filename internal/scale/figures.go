package scale

// What was measured. Two cores, clients and servers share them, nothing but one
// machine's own network between them: figures of a laptop rather than of a data
// centre. Each is in [Figures] with its source.
const (
	postgresAlone  = 2_770.0  // appends a second
	postgresEight  = 8_600.0  // appends a second
	postgresMany   = 30_600.0 // appends a second
	postgresTens   = 83_900.0 // events a second
	postgresRead   = 400_000.0
	postgresTested = 5e6 // events

	eventBytes  = 649.0
	recordBytes = 1_077.0
	feedBytes   = 419.0

	perRow    = 13_000.0 // events a second
	perBatch  = 158_000.0
	auditLog  = 16_900.0
	published = 6_000.0
	consumed  = 3_700.0

	streamAlone    = 1_070.0 // appends a second, three replicas, sync always
	streamEight    = 5_000.0
	streamMany     = 12_300.0
	streamTens     = 40_000.0  // events a second
	streamRead     = 110_000.0 // events a second
	streamTested   = 4e6       // events
	streamDisk     = 528.0     // bytes an event and replica
	streamMemory   = 88.0      // bytes an event and replica
	streamStart    = 0.45e-6   // seconds an event
	streamRescan   = 5e-6      // seconds an event
	streamIdle     = 0.14 / 400
	electionShort  = 4.3 // seconds
	electionMiddle = 5.0
	electionLong   = 8.9
	replicas       = 3
)

// Figure is a measured figure.
type Figure struct {
	Name  string
	Value string
	// Source is where it was measured: a page of docs, or what was run.
	Source string
	// Quote is how that page says it; the tests look for it. Empty if the source
	// is not a page.
	Quote string
}

const (
	benchmarks = "benchmarks.md"
	prototype  = "prototype" // of the store on JetStream
)

// Figures returns everything that is assumed and was measured.
func Figures() []Figure {
	return []Figure{
		{"PostgreSQL: appends of one event, 1 writer", persecond(postgresAlone), benchmarks, "2,770, 8,600 and 30,600 appends"},
		{"PostgreSQL: 8 writers", persecond(postgresEight), benchmarks, "2,770, 8,600 and 30,600 appends"},
		{"PostgreSQL: 64 writers", persecond(postgresMany), benchmarks, "30,600 appends/s"},
		{"PostgreSQL: events in appends of 10, 64 writers", persecond(postgresTens), benchmarks, "83,900 events/s"},
		{"PostgreSQL: reading everything", persecond(postgresRead), benchmarks, "400,000 events/s"},
		{"PostgreSQL: largest store tested", count(postgresTested) + " events", benchmarks, "5,000,000"},
		{"PostgreSQL: an event on disk, with keys", bytes(eventBytes), benchmarks, "649 bytes"},
		{"PostgreSQL: its audit record, with indexes", bytes(recordBytes), benchmarks, "its audit record 1,077"},
		{"PostgreSQL: its entry in the feeds", bytes(feedBytes), benchmarks, "feeds 419"},
		{"a projection, a statement for each event", persecond(perRow), benchmarks, "13,000 events/s"},
		{"a projection, a COPY for each batch", persecond(perBatch), benchmarks, "158,000 events/s"},
		{"the audit log of PostgreSQL, filled", persecond(auditLog), benchmarks, "16,900 a second"},
		{"publishing on NATS, 64 entities", persecond(published), benchmarks, "6,000 with 64 entities"},
		{"a consumer of NATS", persecond(consumed), benchmarks, "about 3,700 a second"},
		{"JetStream: appends of one event, 1 writer", persecond(streamAlone), prototype, ""},
		{"JetStream: 8 writers", persecond(streamEight), prototype, ""},
		{"JetStream: 64 writers", persecond(streamMany), prototype, ""},
		{"JetStream: events in appends of 10, 64 writers", persecond(streamTens), prototype, ""},
		{"JetStream: reading everything, lowest of several", persecond(streamRead), prototype, ""},
		{"JetStream: largest stream tested", count(streamTested) + " events", prototype, ""},
		{"JetStream: an event on disk, each replica", bytes(streamDisk), benchmarks, "528 bytes on disk"},
		{"JetStream: an event in memory, each replica", bytes(streamMemory), benchmarks, "88 bytes of memory"},
		{"JetStream: start of a server, each million events", seconds(streamStart * 1e6), benchmarks, "0.45 s more to start"},
		{"JetStream: the same without its index", seconds(streamRescan * 1e6), prototype, ""},
		{"JetStream: 400 idle streams of 3 replicas", percent(400*streamIdle) + " of a core", prototype, ""},
		{"JetStream: no writes after a leader is killed", seconds(electionShort) + " to " + seconds(electionLong) + ", median " + seconds(electionMiddle), prototype, ""},
	}
}

// Engine is a store whose partitions are counted.
type Engine struct {
	Name  string
	Curve Curve
	Tens  float64 // events a second in appends of ten
	Read  float64 // events a second
}

// Engines returns PostgreSQL, one database a partition, and JetStream, one
// stream a partition with three replicas and sync always.
func Engines() []Engine {
	return []Engine{
		{"PostgreSQL", Curve{{1, postgresAlone}, {8, postgresEight}, {64, postgresMany}}, postgresTens, postgresRead},
		{"JetStream", Curve{{1, streamAlone}, {8, streamEight}, {64, streamMany}}, streamTens, streamRead},
	}
}
