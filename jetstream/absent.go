package jetstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/evident-go/evident/internal/delay"
)

// How long no other server can become the leader after the others have followed
// one: they wait for four seconds at least before they choose another. A leader
// that has nothing to say tells them once a second that it is there.
const (
	followedLately = 1500 * time.Millisecond
	leadsSurely    = 2 * time.Second // from then on
)

// When servers follow a leader, they have answered it within this time, even if it
// has nothing to say; with a margin for an answer that was on its way before.
const (
	followingPause  = 1300 * time.Millisecond
	followingMargin = 100 * time.Millisecond
)

// isAbsent reports whether a version is not there that has once been asked for in
// vain: see isMissing.
func (s *Store) isAbsent(ctx context.Context, stream string, version uint64) (absent bool, err error) {
	return s.isMissing(ctx, func(ctx context.Context) (bool, error) {
		m, err := s.lookup(ctx, question{Last: versionOf(stream, version)})
		return m != nil, err
	})
}

// isMissing reports whether something is not there that the leader has once been
// asked for in vain; find asks it.
//
// A leader that was cut off from the others, or stood still, does not know that
// they have another one. So its word is taken only if all servers have followed it
// lately, or most of them since it gave it: they follow one leader at a time.
//
// When it can be reached again, both answer for a moment, each of them some of the
// questions, until it hears of the other one. So it is asked again after that.
func (s *Store) isMissing(ctx context.Context, find func(ctx context.Context) (found bool, err error)) (missing bool, err error) {
	if !s.replicated {
		return true, nil
	}
	doing := "ask the servers of stream " + s.stream
	err = s.insist(ctx, doing, longest, func(ctx context.Context) error {
		surely, cancel := context.WithTimeout(ctx, leadsSurely)
		defer cancel()
		leader, others, err := s.followers(ctx)
		if err != nil {
			return err
		}
		found, err := find(ctx)
		if found || err != nil {
			return err
		}
		if followLately(others) && surely.Err() == nil {
			missing = true
			return nil
		}
		if err := s.isFollowed(ctx, leader); err != nil {
			return err
		}
		found, err = find(ctx)
		missing = !found && err == nil
		return err
	})
	return missing, err
}

// followLately reports whether all servers have answered the leader lately.
func followLately(others []*natsjs.PeerInfo) bool {
	return !slices.ContainsFunc(others, func(p *natsjs.PeerInfo) bool { return p.Offline || p.Active > followedLately })
}

// isFollowed returns an error unless most servers follow a leader from now on.
func (s *Store) isFollowed(ctx context.Context, leader string) error {
	if err := delay.For(ctx, followingPause); err != nil {
		return err
	}
	now, others, err := s.followers(ctx)
	if err != nil {
		return err
	}
	count := 1 // itself
	for _, other := range others {
		if other.Active < followingPause-followingMargin {
			count++
		}
	}
	if now != leader || count <= (len(others)+1)/2 {
		return again(fmt.Errorf("%s led, and of the others too few follow it", leader))
	}
	return nil
}

// followers returns who leads the stream, and the others, with the times that have
// passed since they last answered.
func (s *Store) followers(ctx context.Context) (leader string, others []*natsjs.PeerInfo, err error) {
	limited, cancel := context.WithTimeout(ctx, s.config.PublishTimeout)
	defer cancel()
	found, err := s.js.Stream(limited, s.stream)
	switch {
	case err != nil && isRefusal(err):
		return "", nil, streamGone(s.stream, err)
	case err != nil:
		return "", nil, again(err)
	}
	cluster := found.CachedInfo().Cluster
	if cluster == nil || cluster.Leader == "" || len(cluster.Replicas) == 0 {
		return "", nil, again(errors.New("nobody leads the stream"))
	}
	return cluster.Leader, cluster.Replicas, nil
}
