package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// repository is the history of a git repository.
type repository struct{ folder string }

func (r repository) count(ctx context.Context) (int, error) {
	said, err := r.git(ctx, "rev-list", "--count", "HEAD").Output()
	if err != nil {
		return 0, r.explain("rev-list", err)
	}
	return strconv.Atoi(strings.TrimSpace(string(said)))
}

// Each commit starts with a character that nothing else does; its fields and
// the paths end in characters that cannot be part of them.
const (
	commitMark = "\x1e"
	fieldMark  = "\x1f"
	logFormat  = "%x1e%H%x1f%P%x1f%at%x1f%ae"
)

func (r repository) commits(ctx context.Context) iter.Seq2[Commit, error] {
	return func(yield func(Commit, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel() // ends git if the loop was left
		log := r.git(ctx, "log", "--reverse", "--topo-order", "--no-renames", "--name-status", "-z", "--format="+logFormat)
		var complaint bytes.Buffer
		log.Stderr = &complaint
		out, err := log.StdoutPipe()
		if err != nil {
			yield(Commit{}, err)
			return
		}
		if err := log.Start(); err != nil {
			yield(Commit{}, r.explain("log", err))
			return
		}
		more, err := parseLog(bufio.NewReader(out), yield)
		if !more {
			cancel()
			_ = log.Wait() // it was told to stop
			return
		}
		if err = errors.Join(err, log.Wait()); err != nil {
			yield(Commit{}, fmt.Errorf("%w\n%s", r.explain("log", err), &complaint))
		}
	}
}

func (r repository) git(ctx context.Context, arguments ...string) *exec.Cmd {
	settings := []string{"-C", r.folder, "-c", "log.showRoot=true", "-c", "log.showSignature=false"} // whatever the user's are
	return exec.CommandContext(ctx, "git", append(settings, arguments...)...)                        //nolint:gosec // the folder is an argument of this program.
}

func (r repository) explain(command string, err error) error {
	text := ""
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		text = ": " + strings.TrimSpace(string(exit.Stderr))
	}
	return fmt.Errorf("git %s in %q: %w%s (name a repository with commits, or a file of commits)", command, r.folder, err, text)
}

// parseLog yields the commits of git's output and reports whether more are
// wanted.
func parseLog(in *bufio.Reader, yield func(Commit, error) bool) (more bool, err error) {
	var c Commit
	for {
		token, err := in.ReadString(0)
		if errors.Is(err, io.EOF) {
			return c.Hash == "" || yield(c, nil), nil
		}
		if err != nil {
			return true, err
		}
		token = strings.TrimSuffix(token, "\x00")
		if header, ok := strings.CutPrefix(token, commitMark); ok {
			if c.Hash != "" && !yield(c, nil) {
				return false, nil
			}
			if c, err = parseHeader(header); err != nil {
				return true, err
			}
			continue
		}
		path, err := in.ReadString(0)
		if err != nil {
			return true, err
		}
		c.Changes = append(c.Changes, Change{Op: strings.TrimSpace(token), Path: strings.TrimSuffix(path, "\x00")})
	}
}

func parseHeader(header string) (Commit, error) {
	fields := strings.Split(header, fieldMark)
	if len(fields) < 4 {
		return Commit{}, fmt.Errorf("git log said %q", header)
	}
	seconds, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil {
		return Commit{}, fmt.Errorf("time of commit %s: %w", fields[0], err)
	}
	parent, _, _ := strings.Cut(fields[1], " ") // a merge's first parent is the branch that it was merged into
	return Commit{Hash: fields[0], Parent: parent, At: time.Unix(seconds, 0).UTC(), Actor: author(fields[3])}, nil
}
