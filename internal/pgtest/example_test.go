package pgtest_test

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/evident-go/evident/internal/pgtest"
)

// A program that is not a test stops its server itself.
func ExampleStart() {
	ctx := context.Background()
	server, err := pgtest.Start(ctx, pgtest.Setting("application_name", "example"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = server.Stop() }()

	conn, err := pgx.Connect(ctx, server.URL())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = conn.Close(ctx) }()
	var name string
	err = conn.QueryRow(ctx, "SHOW application_name").Scan(&name)
	fmt.Println(name, err)
	// Output: example <nil>
}
