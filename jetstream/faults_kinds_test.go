//go:build unix

package jetstream_test

import (
	"time"

	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/jetstream"
)

// fault is something that happens to the servers, and passes.
type fault struct {
	name   string
	strike func(s *storm)
}

// some is how many events are appended while a fault lasts.
const some = 100

// faults are all that the cluster has to live with, some of it twice.
func faults() []fault {
	return []fault{
		cutOff(), killed(), killed(), frozen(), swallowed(), twoCut(), followerKilled(), allKilled(), allKilled(), steppedDown(),
	}
}

func killed() fault { return fault{"leader killed", func(s *storm) { s.kill(s.leader()) }} }

func followerKilled() fault {
	return fault{"follower killed", func(s *storm) { s.kill(s.follower()) }}
}

// allKilled takes from all servers at once what is only in their memory.
func allKilled() fault {
	return fault{"all killed", func(s *storm) {
		for _, server := range s.cluster.Servers {
			server.Kill()
		}
		for _, server := range s.cluster.Servers {
			server.Restart(s.t)
		}
		s.await(some)
	}}
}

// frozen is a leader that does not know, when it wakes, that the others have
// another one.
func frozen() fault {
	return fault{"leader frozen", func(s *storm) {
		leader := s.leader()
		s.book.astray(leader)
		leader.Freeze(s.t)
		s.await(some)
		s.lasts()
		s.book.reached()
		leader.Thaw(s.t)
	}}
}

// cutOff is a leader that no other server reaches. Some clients stay connected
// to it.
func cutOff() fault {
	return fault{"leader cut off", func(s *storm) { s.isolate(s.leader(), s.cluster.Cut) }}
}

// swallowed is the same when nobody is told.
func swallowed() fault {
	return fault{"leader swallowed", func(s *storm) { s.isolate(s.leader(), s.cluster.Swallow) }}
}

// twoCut are a leader and a follower, both of which the third server reaches. When
// that one follows the other, it tells the leader, sooner or later.
func twoCut() fault {
	return fault{"leader and one follower cut", func(s *storm) {
		leader := s.leader()
		s.book.astray(leader)
		s.book.mixes(time.Now().Add(time.Hour))
		s.cluster.Cut(leader, s.follower())
		s.await(some)
		s.lasts()
		s.heal()
	}}
}

func steppedDown() fault {
	return fault{"leader steps down", func(s *storm) { s.cluster.StepDown(s.t, jetstream.StreamOf(s.config)); s.await(some) }}
}

func (s *storm) leader() *natstest.Process {
	s.t.Helper()
	return s.cluster.AwaitLeader(s.t, jetstream.StreamOf(s.config))
}

func (s *storm) follower() *natstest.Process {
	s.t.Helper()
	others := s.cluster.Others(s.leader())
	return others[s.random.IntN(len(others))]
}

func (s *storm) kill(server *natstest.Process) {
	server.Kill()
	s.await(some)
	server.Restart(s.t)
}

func (s *storm) isolate(server *natstest.Process, from func(a, b *natstest.Process)) {
	s.book.astray(server)
	for _, other := range s.cluster.Others(server) {
		from(server, other)
	}
	s.await(some)
	s.lasts()
	s.heal()
}

func (s *storm) heal() {
	s.book.reached()
	s.cluster.Heal()
}

// lasts waits while a fault lasts.
func (s *storm) lasts() { <-time.After(s.hold) }
