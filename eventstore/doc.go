// Package eventstore is the contract that every event store keeps: memory,
// SQLite, PostgreSQL and NATS JetStream alike.
//
// [Store] states the promises, numbered; package eventstoretest has one suite
// with a clause for each promise, which every store and every decorator runs.
// This package also holds what stores share: streams and expectations,
// queries, typed errors, the validation that refuses bad input before
// anything is stored, and the tenant guard.
package eventstore
