// Command cmd is what the Makefile runs:
//
//	cmd test [arguments of go test]     tests, failing if one was skipped
//	cmd bench [arguments of go test]    benchmarks, with their ratios
//	cmd cover profile percent room...   coverage of rooms from a profile
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"

	"github.com/evident-go/evident/internal/report"
)

const module = "github.com/evident-go/evident"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("give a command, test, bench or cover, and its arguments")
	}
	switch command, rest := args[0], args[1:]; command {
	case "test":
		return goTest(ctx, append([]string{"test", "-json"}, rest...), report.Tests)
	case "bench":
		return goTest(ctx, append([]string{"test"}, rest...), report.Ratios)
	case "cover":
		return cover(rest)
	default:
		return fmt.Errorf("no such command: %s", command)
	}
}

// goTest runs the go command and hands what it prints to read.
func goTest(ctx context.Context, args []string, read func(io.Reader, io.Writer) error) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("go test: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("go test: %w", err)
	}
	said := read(out, os.Stdout)
	if err := cmd.Wait(); err != nil && said == nil {
		return fmt.Errorf("go test: %w", err)
	}
	return said
}

func cover(args []string) error {
	if len(args) < 3 {
		return errors.New("cover takes a profile, a percentage and rooms")
	}
	percent, err := strconv.ParseFloat(args[1], 64)
	if err != nil {
		return fmt.Errorf("percent: %w", err)
	}
	profile, err := os.Open(args[0])
	if err != nil {
		return fmt.Errorf("coverage profile: %w", err)
	}
	defer func() { _ = profile.Close() }()
	return report.Coverage(profile, os.Stdout, module, percent, args[2:])
}
