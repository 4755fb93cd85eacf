package jetstream_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/jetstream"
	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/projection"
)

// What the steps of a runner cost, on one server and on three.
func BenchmarkProgress(b *testing.B) {
	for name, start := range map[string]func(tb testing.TB) *house{"one server": oneServer, "three servers": threeServers} {
		b.Run(name, func(b *testing.B) {
			h := start(b)
			for step, bench := range map[string]func(b *testing.B, p jetstream.Progress){
				"move of a checkpoint":               benchMove,
				"move in a transaction":              benchTx,
				"move and a letter":                  benchLetter,
				"renewal of one lease":               func(b *testing.B, p jetstream.Progress) { benchRenew(b, p, 1) },
				"renewal of 16 leases":               func(b *testing.B, p jetstream.Progress) { benchRenew(b, p, 16) },
				"list of 64 leases":                  benchList,
				"look for 500 sequences, none there": benchParked,
			} {
				b.Run(step, func(b *testing.B) { bench(b, h.open(b, nil)) })
			}
		})
	}
}

func benchMove(b *testing.B, p jetstream.Progress) {
	at := uint64(0)
	for b.Loop() {
		require.NoError(b, p.Checkpoints().Move(b.Context(), titles, checkpoint.Move{From: at, To: at + 1, StoreID: id(1)}))
		at++
	}
}

func benchTx(b *testing.B, p jetstream.Progress) {
	at := uint64(0)
	for b.Loop() {
		tx, err := p.Begin(b.Context())
		require.NoError(b, err)
		require.NoError(b, tx.Checkpoints().Move(b.Context(), titles, checkpoint.Move{From: at, To: at + 1, StoreID: id(1)}))
		require.NoError(b, tx.Commit(b.Context()))
		at++
	}
}

func benchLetter(b *testing.B, p jetstream.Progress) {
	at := uint64(0)
	for b.Loop() {
		tx, err := p.Begin(b.Context())
		require.NoError(b, err)
		require.NoError(b, tx.DeadLetters().Park(b.Context(), waiting(strconv.FormatUint(at%100, 10), at+1)))
		require.NoError(b, tx.Checkpoints().Move(b.Context(), titles, checkpoint.Move{From: at, To: at + 1, StoreID: id(1)}))
		require.NoError(b, tx.Commit(b.Context()))
		at++
	}
}

func benchRenew(b *testing.B, p jetstream.Progress, n int) {
	var held []lease.Lease
	for i := range n {
		l, err := p.Leases().Acquire(b.Context(), fmt.Sprint("lane ", i), "a", time.Minute)
		require.NoError(b, err)
		held = append(held, l)
	}
	for b.Loop() {
		renewed, err := p.Leases().Renew(b.Context(), held, time.Minute)
		require.NoError(b, err)
		require.Len(b, renewed, n)
	}
}

func benchList(b *testing.B, p jetstream.Progress) {
	for i := range 64 {
		_, err := p.Leases().Acquire(b.Context(), fmt.Sprint("member/", i), "a", time.Hour)
		require.NoError(b, err)
	}
	for b.Loop() {
		list, err := p.Leases().List(b.Context(), "member/")
		require.NoError(b, err)
		require.Len(b, list, 64)
	}
}

func benchParked(b *testing.B, p jetstream.Progress) {
	var keys []string
	for i := range 500 {
		keys = append(keys, stream(i).String())
	}
	for b.Loop() {
		_, err := p.DeadLetters().Parked(b.Context(), "titles", 1, keys)
		require.NoError(b, err)
	}
}

var (
	titles = checkpoint.Key{Projection: "titles", Version: 1}

	_ projection.Progress = jetstream.Progress(nil)
)

// waiting is a letter.
func waiting(key string, position uint64) dlq.Letter {
	return dlq.Letter{
		Sequence: dlq.Sequence{Projection: "titles", Version: 1, Key: key},
		Position: position, EventID: id(position), EventType: "TaskTicked", ParkedAt: start,
	}
}
