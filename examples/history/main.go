// History makes an audit log of a git repository: every file is an aggregate,
// every commit a correlation, every author an actor. It stores the events in
// SQLite, projects them, answers questions about them, and shows that all of it
// can be rebuilt by replay.
//
//	go run ./examples/history                        # the repository that you stand in
//	go run ./examples/history -db h.db ~/src/linux   # another one, kept in a file
//	go run ./examples/history history.ndjson.gz      # commits in a file, one a line
//
// With -db it can be killed at any moment and started again: it goes on where
// it was, and nothing is lost or there twice. One database is for one history.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/projection/progressbar"
	"github.com/evident-go/evident/sqlite"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := start(ctx, os.Stdout, os.Stderr, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "history:", err)
		os.Exit(1) //nolint:gocritic // nothing is left for stop to do.
	}
}

// options is what the user asks for.
type options struct {
	source string        // a repository or a file
	db     string        // the database file
	file   string        // whose history is shown; "" for the one that was changed most often
	actor  event.ActorID // whose changes are shown; "" for whoever made most
	commit string        // whose causal tree is drawn; "" for a small one
	since  time.Time     // who was active is asked from here on; zero for the last month
}

// start runs the program with its arguments.
func start(ctx context.Context, out, progress io.Writer, arguments []string) (err error) {
	o := options{source: "."}
	flags := flag.NewFlagSet("history", flag.ContinueOnError)
	flags.SetOutput(progress)
	flags.StringVar(&o.db, "db", "", "keep the database in this `file` (default: a temporary one)")
	flags.StringVar(&o.file, "file", "", "show the history of this `path` (default: the hottest)")
	flags.StringVar((*string)(&o.actor), "actor", "", "show what this actor `id` did (default: who did most)")
	flags.StringVar(&o.commit, "commit", "", "draw the causal tree of this `hash` (default: a small one)")
	flags.Func("since", "show who was active since this `date`, as 2006-01-02 (default: 30 days before the end)", func(s string) error {
		o.since, err = time.Parse(time.DateOnly, s)
		return err
	})
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		o.source = flags.Arg(0)
	}
	if o.db == "" {
		folder, err := os.MkdirTemp("", "history")
		if err != nil {
			return err
		}
		defer os.RemoveAll(folder) //nolint:errcheck // the system cleans up what is left.
		o.db = filepath.Join(folder, "history.db")
	}
	return run(ctx, out, progress, o)
}

// run imports, projects, answers and rebuilds.
func run(ctx context.Context, out, progress io.Writer, o options) (err error) {
	store, err := open(ctx, o.db)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()

	h := newHistory(store, out, progress)
	if err := h.importFrom(ctx, o.source); err != nil {
		return err
	}
	if err := h.project(ctx); err != nil {
		return err
	}
	if err := h.answer(ctx, o); err != nil {
		return err
	}
	return h.rebuild(ctx)
}

func open(ctx context.Context, path string) (*sqlite.Store, error) {
	const largestCommit = 1 << 20 // changed files; the first commit of some repositories has tens of thousands
	config := sqlite.Config{
		Path:   path,
		Limits: eventstore.Limits{EventsPerAppend: largestCommit, StreamsPerAppend: largestCommit},
		// The repository stays where it is, so a power failure may cost the last
		// commits: the next run imports them again.
		Synchronous: sqlite.SynchronousNormal,
	}
	if err := sqlite.Migrate(ctx, config); err != nil {
		return nil, err
	}
	return sqlite.Open(ctx, config)
}

// history is what the steps of the program share.
type history struct {
	store    *sqlite.Store
	out      io.Writer
	progress io.Writer

	auditLog *sqlite.AuditLog
	activity *sqlite.UserActivity
	hotFiles *sqlite.Projection
}

//docs:begin projections
func newHistory(store *sqlite.Store, out, progress io.Writer) *history {
	return &history{
		store: store, out: out, progress: progress,
		auditLog: sqlite.NewAuditLog(store, auditConfig()),
		activity: sqlite.NewUserActivity(store),
		hotFiles: hotFiles(),
	}
}

// runner returns a runner that draws its progress under a title.
func (h *history) runner(title string) (*projection.Runner, error) {
	return projection.NewRunner(h.store, projection.Config{
		Projections: []projection.Projection{h.auditLog, h.activity, h.hotFiles},
		OnProgress:  progressbar.New(h.progress, title).Update,
		LeaseTTL:    time.Second, // whoever was killed is not waited for longer
	})
}

//docs:end projections

// auditConfig says how the audit log describes a change.
func auditConfig() audit.Config {
	return audit.Config{Describe: func(e event.Event) string {
		return fmt.Sprintf("%s %s %s", e.ActorID, verb(e.Type), describedPath(e))
	}}
}

// importFrom stores the commits that are not stored yet.
func (h *history) importFrom(ctx context.Context, path string) error {
	began := time.Now()
	from, err := openSource(path)
	if err != nil {
		return err
	}
	total, err := from.count(ctx)
	if err != nil {
		return err
	}
	im, err := newImporter(ctx, h.store)
	if err != nil {
		return err
	}
	bar := progressbar.New(h.progress, "import ")
	for c, err := range from.commits(ctx) {
		if err != nil {
			return err
		}
		if err := im.add(ctx, c); err != nil {
			return err
		}
		if im.commits%20 == 0 || im.commits == total {
			bar.Update(projection.Status{Projection: "import", Position: uint64(im.commits), Head: uint64(max(total, im.commits))}) //nolint:gosec // counts are not negative.
		}
	}
	fmt.Fprintf(h.out, "imported:  %d commits read, %d events stored%s, %s\n", im.commits, im.added, earlier(im.before), rate(im.added, began))
	return nil
}

// project brings the projections up to the last event.
func (h *history) project(ctx context.Context) error {
	began := time.Now()
	runner, err := h.runner("project")
	if err != nil {
		return err
	}
	if err := runner.RunUntilCaughtUp(ctx); err != nil {
		return err
	}
	status, err := runner.Status(ctx)
	if err != nil {
		return err
	}
	applied := 0
	for _, s := range status {
		applied += int(s.Applied) //nolint:gosec // far below 2^63.
	}
	fmt.Fprintf(h.out, "projected: %d events into %d read models, %s\n", applied/len(status), len(status), rate(applied, began))
	return nil
}

// rebuild replays all events into each projection, and compares what comes out
// with what was there.
func (h *history) rebuild(ctx context.Context) error {
	before, err := sumUp(ctx, h.store.DB())
	if err != nil {
		return err
	}
	began := time.Now()
	runner, err := h.runner("rebuild")
	if err != nil {
		return err
	}
	for _, name := range []string{audit.LogName, audit.ActivityName, hotFilesName} {
		if err := rebuildOnceFree(ctx, runner, name); err != nil {
			return err
		}
	}
	fmt.Fprintf(h.out, "\nrebuilt by replay: %d events into 3 read models, %s\n", before.changes, rate(3*before.changes, began))
	return h.verify(ctx, before)
}

// rebuildOnceFree rebuilds a projection. A run of this program that was killed
// may still own it; its lease ends by itself.
func rebuildOnceFree(ctx context.Context, runner *projection.Runner, name string) error {
	for {
		err := runner.Rebuild(ctx, name)
		held, ok := errors.AsType[*lease.HeldError](err)
		if !ok {
			return err
		}
		select {
		case <-time.After(time.Until(held.Lease.ExpiresAt)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// verify compares each read model with the events, and the hot files with what
// they were before the rebuild.
//
//docs:begin verify
func (h *history) verify(ctx context.Context, before totals) error {
	after, err := sumUp(ctx, h.store.DB())
	if err != nil {
		return err
	}
	records, err := audit.Compare(ctx, h.auditLog, audit.Replay(h.store, auditConfig()), 10)
	if err != nil {
		return err
	}
	activities, err := audit.CompareActivities(ctx, h.activity, audit.ReplayActivities(h.store), 10)
	if err != nil {
		return err
	}
	fmt.Fprintf(h.out, "  audit log:     %s\n", records)
	fmt.Fprintf(h.out, "  user activity: %s\n", activities)
	fmt.Fprintf(h.out, "  hot files:     %d compared, equal: %t\n", after.files, after == before)
	if !records.Equal() || !activities.Equal() || after != before {
		return errors.New("what was rebuilt is not what was there")
	}
	return nil
}

//docs:end verify

func earlier(events int) string {
	if events == 0 {
		return ""
	}
	return fmt.Sprintf(" (%d were stored before)", events)
}

func rate(events int, began time.Time) string {
	took := time.Since(began).Seconds()
	return fmt.Sprintf("%.1f s, %.0f events/s", took, float64(events)/took)
}
