package arch

import "slices"

// Module is the path of the module whose rooms are listed.
const Module = "github.com/evident-go/evident"

// Room is a folder of the module and what the code in it, tests apart, may
// import besides the standard library.
type Room struct {
	Name  string
	Floor int
	// Below are the rooms that it may import, all on lower floors.
	Below []string
	// Libraries are the modules that it may import.
	Libraries []string
	// Why says why the room gets along with this and nothing more.
	Why string
}

// House returns every room of the library, ground floor first.
func House() []Room {
	return slices.Concat(ground(), derived(), doors(), adapters())
}

// ground are the rooms that write: events, their stores' contract, ports and
// aggregates.
func ground() []Room {
	return []Room{
		{
			Name: "event", Floor: 0,
			Libraries: []string{uuid},
			Why:       "everything else imports it: what an event drags in, every user drags in",
		},
		{
			Name: "eventstore", Floor: 1,
			Below:     []string{"event"},
			Libraries: []string{uuid},
			Why:       "a contract must not know who keeps it, nor who uses it",
		},
		{
			Name: "eventstore/transfer", Floor: 2,
			Below:     []string{"event", "eventstore"},
			Libraries: []string{uuid},
			Why:       "moves events between any two stores: it knows the contract, and none of those who keep it",
		},
		{
			Name: "checkpoint", Floor: 2,
			Below:     []string{"event"},
			Libraries: []string{uuid},
			Why:       "a port: positions and rules, no store and no runner",
		},
		{
			Name: "dlq", Floor: 2,
			Below:     []string{"event"},
			Libraries: []string{uuid},
			Why:       "a port: letters and rules, no store and no runner",
		},
		{
			Name: "lease", Floor: 2,
			Below:     []string{"event"},
			Libraries: []string{uuid},
			Why:       "a port: owners and fences, no store and no runner",
		},
		{
			Name: "registry", Floor: 2,
			Below:     []string{"event"},
			Libraries: []string{},
			Why:       "a port: what is decided about projections, no store and no runner",
		},
		{
			Name: "aggregate", Floor: 2,
			Below:     []string{"event", "eventstore", "internal/delay"},
			Libraries: []string{uuid, lru, backoff},
			Why:       "the write side decides; it does not know that projections exist",
		},
	}
}

// derived are the rooms of what is derived from events.
func derived() []Room {
	return []Room{
		{
			Name: "projection", Floor: 3,
			Below:     []string{"event", "eventstore", "checkpoint", "dlq", "lease", "registry", "internal/delay"},
			Libraries: []string{uuid, zap, backoff},
			Why:       "the runner reads the log; it never calls an aggregate and knows no database",
		},
		{
			Name: "projection/progressbar", Floor: 4,
			Below:     []string{"projection"},
			Libraries: []string{progressbar},
			Why:       "draws what the runner reports; who has no terminal need not build it",
		},
		{
			Name: "projection/projectionotel", Floor: 4,
			Below:     []string{"registry", "projection"},
			Libraries: []string{otelAttribute, otelCodes, otelSemconv, otelMetric, otelTrace},
			Why:       "speaks OpenTelemetry's API; the SDK, and where spans and metrics go, are the program's choice",
		},
		{
			Name: "projection/projectionhttp", Floor: 4,
			Below:     []string{"event", "projection"},
			Libraries: []string{zap},
			Why:       "answers probes; what it says is decided below, where there is no HTTP",
		},
		{
			Name: "process", Floor: 4,
			Below:     append(core(), "internal/delay"),
			Libraries: []string{uuid, zap},
			Why:       "a process is an aggregate that a projection feeds; its timeouts are events, so it needs no place of its own",
		},
		{
			Name: "audit", Floor: 4,
			Below:     []string{"event", "eventstore", "checkpoint", "dlq", "lease", "registry", "projection"},
			Libraries: []string{uuid},
			Why:       "the audit log is derived from events; its homes are the adapters' business",
		},
		{
			Name: "audit/archive", Floor: 5,
			Below:     append(core(), "audit"),
			Libraries: []string{uuid},
			Why:       "copies events into files that outlive the store; it must not need the store's driver to read them",
		},
		{
			Name: "audit/privacy", Floor: 6,
			Below:     append(core(), "audit", "audit/archive"),
			Libraries: []string{uuid},
			Why:       "whose data it is and how long it stays is decided from records; tables are the adapters' business",
		},
	}
}

// doors are the rooms through which people and programs come in.
func doors() []Room {
	return []Room{
		{
			Name: "auth", Floor: 5,
			Below:     append(core(), "audit"),
			Libraries: []string{uuid, zap},
			Why:       "who may do what is the same over every transport, and for every kind of credential",
		},
		{
			Name: "auth/jwtauth", Floor: 6,
			Below:     append(core(), "audit", "auth"),
			Libraries: []string{jwt},
			Why:       "verifies tokens; it knows no transport but the one that fetches keys",
		},
		{
			Name: "auth/httpauth", Floor: 6,
			Below:     append(core(), "audit", "auth"),
			Libraries: []string{zap},
			Why:       "HTTP's way in",
		},
		{
			Name: "auth/grpcauth", Floor: 6,
			Below:     append(core(), "audit", "auth"),
			Libraries: []string{grpc, zap},
			Why:       "gRPC's way in; who has none need not build it",
		},
		{
			Name: "audit/audithttp", Floor: 6,
			Below:     append(core(), "audit", "auth"),
			Libraries: []string{uuid, lru, rate},
			Why:       "serves the log; it knows who may ask, not how that was verified",
		},
	}
}

// adapters are the rooms of one technology each, and what they share.
func adapters() []Room {
	return []Room{
		{
			Name: "internal/delay", Floor: 0,
			Why: "whoever waits between two tries waits in one way",
		},
		{
			Name: "internal/ddl", Floor: 0,
			Why: "what a projection may declare is the same on every SQL database",
		},
		{
			Name: "internal/migration", Floor: 1,
			Below: []string{"event"},
			Why:   "steps of a schema are read in one way, whatever database they are for",
		},
		{
			Name: "memory", Floor: 7,
			Below:     append(core(), homes()...),
			Libraries: []string{uuid},
			Why:       "the reference store: what it cannot do with the standard library is a wrong promise",
		},
		{
			Name: "sqlite", Floor: 7,
			Below:     append(core(), append(homes(), "internal/migration", "internal/ddl")...),
			Libraries: []string{uuid, sqlite},
			Why:       "one room per technology: adapters do not know each other",
		},
		{
			Name: "postgres", Floor: 7,
			Below:     append(core(), append(homes(), "internal/migration", "internal/ddl")...),
			Libraries: []string{uuid, pgx, backoff},
			Why:       "one room per technology: adapters do not know each other",
		},
		{
			Name: "jetstream", Floor: 7,
			Below:     append(core(), "audit", "internal/delay"),
			Libraries: []string{uuid, nats, zap, backoff, lru},
			Why:       "one room per technology: adapters do not know each other",
		},
		{
			Name: "audit/audittest", Floor: 7,
			Below:     append(core(), "audit"),
			Libraries: []string{uuid},
			Why:       "its suite saves an aggregate, to see an activity join the save",
		},
	}
}

// The modules that rooms may use, by path.
const (
	uuid        = "github.com/google/uuid"
	lru         = "github.com/hashicorp/golang-lru/v2"
	backoff     = "github.com/cenkalti/backoff/v5"
	zap         = "go.uber.org/zap"
	progressbar = "github.com/schollz/progressbar/v3"
	sqlite      = "modernc.org/sqlite"
	pgx         = "github.com/jackc/pgx/v5"
	jwt         = "github.com/golang-jwt/jwt/v5"
	grpc        = "google.golang.org/grpc"
	rate        = "golang.org/x/time/rate"
	nats        = "github.com/nats-io/nats.go"
)

// OpenTelemetry's API, by package: the module that has most of them also has the
// global providers, which no room may ask for.
const (
	otelAttribute = "go.opentelemetry.io/otel/attribute"
	otelCodes     = "go.opentelemetry.io/otel/codes"
	otelSemconv   = "go.opentelemetry.io/otel/semconv"
	otelMetric    = "go.opentelemetry.io/otel/metric"
	otelTrace     = "go.opentelemetry.io/otel/trace"
)

// core are the rooms that nearly everything above them may use.
func core() []string {
	return []string{"event", "eventstore", "checkpoint", "dlq", "lease", "registry", "aggregate", "projection"}
}

// homes are the rooms whose ports a database keeps.
func homes() []string { return []string{"audit", "audit/archive", "audit/privacy"} }

// Ban is something that a room must not reach, neither by itself nor through
// what it imports.
type Ban struct {
	// Path is a package, or with a trailing slash everything below it.
	Path string
	// Except are the rooms that may.
	Except []string
	// Through are modules through which it may be reached all the same.
	Through []string
	Why     string
}

// Bans returns what the rooms must not reach.
func Bans() []Ban {
	return []Ban{
		{
			Path: "database/sql", Except: []string{"sqlite"},
			// pgx knows the interfaces by which values of database/sql scan themselves.
			Through: []string{pgx},
			Why:     "only adapters know a database",
		},
		{
			Path: "modernc.org/sqlite/", Except: []string{"sqlite"},
			Why: "a user of another store must not build this driver",
		},
		{
			Path: "github.com/jackc/pgx/", Except: []string{"postgres"},
			Why: "a user of another store must not build this driver",
		},
		{
			Path: "github.com/nats-io/", Except: []string{"jetstream"},
			Why: "who does not use NATS must not build its client",
		},
		{
			Path: "google.golang.org/grpc", Except: []string{"auth/grpcauth"},
			Why: "who does not use gRPC must not build it",
		},
		{
			Path: "github.com/golang-jwt/", Except: []string{"auth/jwtauth"},
			Why: "other credentials need no tokens",
		},
		{
			Path: "go.opentelemetry.io/", Except: []string{"projection/projectionotel"},
			Why: "who does not use OpenTelemetry must not build it",
		},
		{
			Path: "net/http", Except: []string{
				"auth/jwtauth", "auth/httpauth", "auth/grpcauth", "audit/audithttp", "projection/projectionhttp", "jetstream",
			},
			// zap brings a handler for log levels, progressbar a reader of requests;
			// nothing here uses either.
			Through: []string{zap, progressbar},
			Why:     "only the rooms that serve HTTP or are a client of a network speak it",
		},
	}
}

// TestTools returns what only tests and packages named "<room>test" may import.
func TestTools() []string {
	return []string{
		"testing",
		"testing/synctest",
		"github.com/stretchr/testify",
		"github.com/anishathalye/porcupine",
		"github.com/google/go-cmp",
		"go.uber.org/goleak",
		"pgregory.net/rapid",
	}
}
