package projection

import (
	"context"
	"slices"
	"sync"
)

// crew are the lanes of a projection that run in this process.
type crew struct {
	steward *steward
	stopped chan error // why a lane has stopped for good
	posts   map[int]*post

	headBefore *uint64 // the store's head a round ago; nil in the first one
}

// post is one lane that runs.
type post struct {
	worker *worker
	cancel context.CancelFunc
	done   chan struct{}
}

func newCrew(s *steward) *crew {
	return &crew{steward: s, stopped: make(chan error, 1), posts: make(map[int]*post)}
}

// man starts and stops lanes until those run that fall to this process. A
// single lane is always tried for: who does not get it waits for it.
func (c *crew) man(ctx context.Context, lanes []*worker, s spread) {
	c.clear()
	if len(lanes) == 1 {
		c.start(ctx, lanes[0])
		return
	}
	for lane, p := range c.posts {
		if lane >= len(lanes) || s.isElsewhere(lane) && !p.worker.owning.Load() {
			c.stop(lane)
		}
	}
	for _, lane := range slices.Backward(c.lanes()) {
		if len(c.posts) > s.quota {
			c.stop(lane)
		}
	}
	for _, lane := range s.free(len(lanes)) {
		if len(c.posts) < s.quota {
			c.start(ctx, lanes[lane])
		}
	}
	for lane, w := range lanes {
		if c.posts[lane] == nil {
			owner := s.holders[lane]
			w.board.update(func(s *Status) { s.State, s.Owner, s.Heartbeat = Waiting, owner, w.config.Now() })
		}
	}
}

// lanes returns the lanes that run, in order.
func (c *crew) lanes() []int {
	lanes := make([]int, 0, len(c.posts))
	for lane := range c.posts {
		lanes = append(lanes, lane)
	}
	slices.Sort(lanes)
	return lanes
}

// start runs a lane, unless it runs.
func (c *crew) start(ctx context.Context, w *worker) {
	if c.posts[w.key.Lane] != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	p := &post{worker: w, cancel: cancel, done: make(chan struct{})}
	c.posts[w.key.Lane] = p
	go func() {
		defer close(p.done)
		defer cancel()
		err := w.run(ctx, goal{})
		if is[*outdatedError](err) {
			_, _, _ = c.steward.look(ctx) // else it would start again by what was known
			c.steward.nudge()
		} else if err != nil {
			select {
			case c.stopped <- err:
			default: // another lane has said so already
			}
		}
	}()
}

// stop ends a lane and waits for it.
func (c *crew) stop(lane int) {
	p := c.posts[lane]
	delete(c.posts, lane)
	p.cancel()
	<-p.done
}

// clear forgets lanes that have ended by themselves.
func (c *crew) clear() {
	for lane, p := range c.posts {
		select {
		case <-p.done:
			delete(c.posts, lane)
		default:
		}
	}
}

// dismiss ends all lanes, at once, and waits for them.
func (c *crew) dismiss() {
	var all sync.WaitGroup
	for lane, p := range c.posts {
		delete(c.posts, lane)
		p.cancel()
		all.Go(func() { <-p.done })
	}
	all.Wait()
}

// whyStopped returns why a lane has stopped for good, or nil if none has.
func (c *crew) whyStopped() error {
	select {
	case err := <-c.stopped:
		return err
	default:
		return nil
	}
}

// spread says how lanes are spread over processes.
type spread struct {
	quota   int            // how many lanes fall to this process
	first   int            // where it begins to look for lanes, so that not all want the same
	holders map[int]string // owners of lanes that other processes run
}

func (s spread) isElsewhere(lane int) bool { return s.holders[lane] != "" }

// free returns the lanes that no other process runs.
func (s spread) free(lanes int) []int {
	var free []int
	for i := range lanes {
		if lane := (s.first + i) % lanes; !s.isElsewhere(lane) {
			free = append(free, lane)
		}
	}
	return free
}
