package jetstream_test

import (
	"context"
	"errors"
	"strings"

	"github.com/evident-go/evident/internal/chaostest"
	"github.com/evident-go/evident/internal/chaostest/sqlitehome"
	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/jetstream"
	"github.com/evident-go/evident/sqlite"
)

// chaosHome is what the processes of the chaos must know: events come from
// JetStream, and rows and progress are in one SQLite file.
var chaosHome = chaostest.Home{Open: openChaos, Projections: sqlitehome.Projections}

// chaosAddress names a server and a file.
func chaosAddress(url, path string) string { return url + " " + path }

func openChaos(ctx context.Context, address string) (place chaostest.Place, err error) {
	url, path, _ := strings.Cut(address, " ")
	js, hangUp, err := natstest.Dial(url)
	if err != nil {
		return place, err
	}
	events, err := jetstream.Open(ctx, js, jetstream.Config{})
	if err != nil {
		hangUp()
		return place, err
	}
	file, err := sqlite.Open(ctx, sqlite.Config{Path: path})
	if err != nil {
		defer hangUp()
		return place, errors.Join(err, events.Close())
	}
	return chaostest.Place{Store: events, Progress: file, Close: func() error {
		defer hangUp()
		return errors.Join(events.Close(), file.Close())
	}}, nil
}
