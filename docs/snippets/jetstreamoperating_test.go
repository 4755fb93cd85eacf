package snippets_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/jetstream"
)

// withConfiguredNATS runs an example on one server that is configured as the page
// says, but for its place and its neighbours.
func withConfiguredNATS(example func(ctx context.Context, url string) error) {
	run(func(ctx context.Context, _ *bank) error {
		dir, err := os.MkdirTemp("", "nats")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
		options, err := server.ProcessConfigFile("nats-server.conf")
		if err != nil {
			return err
		}
		fmt.Println("sync always:", options.SyncAlways)
		options.Host, options.Port, options.StoreDir, options.NoLog, options.NoSigs = "127.0.0.1", server.RANDOM_PORT, dir, true, true
		options.Cluster, options.Routes = server.ClusterOpts{}, nil
		s, err := server.NewServer(options)
		if err != nil {
			return err
		}
		go s.Start()
		defer s.Shutdown()
		if !s.ReadyForConnections(time.Minute) {
			return fmt.Errorf("no server at %s", dir)
		}
		return example(ctx, s.ClientURL())
	})
}

// openTenant opens the store of a tenant that has an account of its own.
func openTenant(ctx context.Context, url, user, password string) (store *jetstream.Store, end func(), err error) {
	//docs:begin account
	conn, err := nats.Connect(url, nats.UserInfo(user, password), nats.MaxReconnects(-1))
	if err != nil {
		return nil, nil, err
	}
	js, err := natsjs.New(conn)
	if err != nil {
		return nil, nil, err
	}
	config := jetstream.Config{} // the same names for each: they are the account's own
	if err := jetstream.Provision(ctx, js, config); err != nil {
		return nil, nil, err
	}
	store, err = jetstream.Open(ctx, js, config)
	//docs:end account
	return store, conn.Close, err
}

func Example_accountsOnJetStream() {
	withConfiguredNATS(func(ctx context.Context, url string) error {
		acme, end, err := openTenant(ctx, url, "acme", "change-me-1")
		if err != nil {
			return err
		}
		defer end()
		globex, end, err := openTenant(ctx, url, "globex", "change-me-2")
		if err != nil {
			return err
		}
		defer end()
		repo := aggregate.NewRepository[Account](acme, accounts)
		if err := repo.Update(ctx, aliceID, func(a *Account) error { return a.Open(ctx, "alice") }); err != nil {
			return err
		}
		for name, store := range map[string]eventstore.Store{"acme": acme, "globex": globex} {
			head, err := store.Head(ctx)
			if err != nil {
				return err
			}
			fmt.Println(name, "has", head, "events")
		}
		_, _, err = openTenant(ctx, url, "globex", "change-me-1")
		fmt.Println("with the other's password:", err)
		return errors.Join(acme.Close(), globex.Close())
	})
	// Unordered output:
	// sync always: true
	// acme has 1 events
	// globex has 0 events
	// with the other's password: nats: Authorization Violation
}

// Enrolled has a name that only those can read who have the person's key.
type Enrolled struct {
	Person string `json:"person"` // token
	Name   []byte `json:"name"`   // sealed with the person's key
}

func (Enrolled) EventType() string { return "MemberEnrolled" }

// Member is an aggregate whose state is what was enrolled.
type Member struct {
	aggregate.AggregateRoot[Enrolled]
}

var members = aggregate.Define("Member", aggregate.On(func(s *Enrolled, e event.Of[Enrolled]) { *s = e.Payload }))

//docs:begin keys

// keys has a key for each person. In a program it is a table, in a database that the
// events are not in, and whose backups are not kept for long.
type keys map[string][]byte

var errForgotten = errors.New("this person's key was destroyed")

func (k keys) seal(person, text string) ([]byte, error) {
	if k[person] == nil {
		k[person] = make([]byte, 32)
		_, _ = rand.Read(k[person]) // it never fails
	}
	box, err := k.box(person)
	if err != nil {
		return nil, err
	}
	return box.Seal(nil, nil, []byte(text), []byte(person)), nil
}

func (k keys) open(person string, sealed []byte) (string, error) {
	box, err := k.box(person)
	if err != nil {
		return "", err
	}
	text, err := box.Open(nil, nil, sealed, []byte(person))
	return string(text), err
}

func (k keys) box(person string) (cipher.AEAD, error) {
	if k[person] == nil {
		return nil, errForgotten
	}
	block, err := aes.NewCipher(k[person])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

//docs:end keys

// destroyAKey enrols somebody, and forgets who it was.
func destroyAKey(ctx context.Context, store eventstore.Store) error {
	repo := aggregate.NewRepository[Member](store, members)
	kept, token, id := keys{}, "01hb7", uuid.NewSHA1(uuid.NameSpaceURL, []byte("member"))
	//docs:begin destroy
	name, err := kept.seal(token, "Jane Doe")
	if err != nil {
		return err
	}
	err = repo.Update(ctx, id, func(m *Member) error { return m.Emit(ctx, Enrolled{Person: token, Name: name}) })
	if err != nil {
		return err
	}
	m, err := repo.Load(ctx, id)
	if err != nil {
		return err
	}
	fmt.Println(kept.open(m.State().Person, m.State().Name))
	delete(kept, token) // the event stays as it is, and nobody can read the name
	fmt.Println(kept.open(m.State().Person, m.State().Name))
	//docs:end destroy
	return nil
}

func Example_destroyAKey() {
	withNATS(func(ctx context.Context, _ *bank, js natsjs.JetStream, _ string) error {
		if err := jetstream.Provision(ctx, js, jetstream.Config{}); err != nil {
			return err
		}
		store, err := jetstream.Open(ctx, js, jetstream.Config{})
		if err != nil {
			return err
		}
		return errors.Join(destroyAKey(ctx, store), store.Close())
	})
	// Output:
	// Jane Doe <nil>
	//  this person's key was destroyed
}
