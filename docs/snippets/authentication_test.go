package snippets_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/auth/httpauth"
	"github.com/evident-go/evident/auth/jwtauth"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/memory"
)

// OrderCreated and OrderShipped are what can happen to an order.
type OrderCreated struct {
	Customer event.ActorID `json:"customer"`
	Cents    int64         `json:"cents"`
}

type OrderShipped struct {
	Tracking string `json:"tracking"`
}

func (OrderCreated) EventType() string { return "OrderCreated" }
func (OrderShipped) EventType() string { return "OrderShipped" }

// OrderState is what decisions about orders need to know.
type OrderState struct {
	Customer  event.ActorID
	Cents     int64
	Tracking  string
	ShippedBy event.ActorID
}

var orders = aggregate.Define("Order",
	aggregate.On(func(s *OrderState, e event.Of[OrderCreated]) {
		s.Customer, s.Cents = e.Payload.Customer, e.Payload.Cents
	}),
	aggregate.On(func(s *OrderState, e event.Of[OrderShipped]) {
		s.Tracking, s.ShippedBy = e.Payload.Tracking, e.ActorID
	}),
)

var errExists = errors.New("order already created")

//docs:begin auth-context

// Order decides. It never asks who acts: the context says so to Emit.
type Order struct {
	aggregate.AggregateRoot[OrderState]
}

func (o *Order) Create(ctx context.Context, customer event.ActorID, cents int64) error {
	if o.Version() > 0 {
		return errExists
	}
	return o.Emit(ctx, OrderCreated{Customer: customer, Cents: cents})
}

//docs:end auth-context

func (o *Order) Ship(ctx context.Context, tracking string) error {
	return o.Emit(ctx, OrderShipped{Tracking: tracking})
}

//docs:begin auth-direct

// ship takes who acts as an argument. Nobody can forget it.
func ship(ctx context.Context, by auth.Principal, repo *aggregate.Repository[Order], id uuid.UUID, tracking string) error {
	if err := auth.Check(ctx, by, "order:ship"); err != nil {
		return err
	}
	ctx = auth.With(ctx, by) // from here on the events carry the actor
	return repo.Update(ctx, id, func(o *Order) error { return o.Ship(ctx, tracking) })
}

//docs:end auth-direct

//docs:begin auth-command

// CreateOrder is what is to be done. Who wants it is in the [auth.Command]
// around it, and cannot be decoded from a request.
type CreateOrder struct {
	Cents int64 `json:"cents"`
}

func createOrder(repo *aggregate.Repository[Order]) auth.Handler[CreateOrder, uuid.UUID] {
	return auth.Guarded("order:create", func(ctx context.Context, c auth.Command[CreateOrder]) (uuid.UUID, error) {
		id := event.NewID()
		err := repo.Update(ctx, id, func(o *Order) error {
			return o.Create(ctx, c.Principal().Subject(), c.Payload.Cents)
		})
		return id, err
	})
}

//docs:end auth-command

// shop is what the examples of this page start from.
type shop struct {
	store    *memory.Store
	log      *audit.Log
	recorder *auth.Recorder
	orders   *aggregate.Repository[Order]
	guarded  *auth.Repository[Order]
}

var signingSecret = []byte("a secret of at least 32 bytes, please")

func openShop(ctx context.Context) (*shop, error) {
	store, err := memory.Open(ctx, memory.Config{})
	if err != nil {
		return nil, err
	}
	log, err := audit.NewLog(store, audit.Replay(store, audit.Config{}), audit.LogConfig{})
	if err != nil {
		return nil, err
	}
	recorder, err := auth.NewRecorder(log, auth.RecorderConfig{})
	if err != nil {
		return nil, err
	}
	repo := aggregate.NewRepository[Order](store, orders)
	//docs:begin auth-repository
	guarded, err := auth.NewRepository(auth.RepositoryConfig[Order]{
		Repository: repo,
		Type:       "Order",
		Owner:      func(o *Order) event.ActorID { return o.State().Customer },
		Recorder:   recorder,
	})
	//docs:end auth-repository
	if err != nil {
		return nil, err
	}
	return &shop{store: store, log: log, recorder: recorder, orders: repo, guarded: guarded}, nil
}

func inShop(example func(ctx context.Context, s *shop) error) {
	ctx := context.Background()
	s, err := openShop(ctx)
	if err == nil {
		err = errors.Join(example(auth.WithRecorder(ctx, s.recorder), s), s.store.Close())
	}
	if err != nil {
		fmt.Println("error:", err)
	}
}

var (
	jane  = auth.Principal{ActorID: event.User("jane"), TenantID: "acme", Permissions: []auth.Permission{"order:create"}}
	clerk = auth.Principal{ActorID: event.User("clerk"), TenantID: "acme", Permissions: []auth.Permission{"order:ship"}}
	boss  = auth.Principal{ActorID: event.User("boss"), TenantID: "acme", Roles: []string{auth.RoleAdmin}}
	rival = auth.Principal{ActorID: event.User("rival"), TenantID: "rivals", Roles: []string{auth.RoleAdmin}}
)

func Example_authDirect() {
	inShop(func(ctx context.Context, s *shop) error {
		id, err := createOrder(s.orders)(ctx, auth.NewCommand(jane, CreateOrder{Cents: 9999}))
		if err != nil {
			return err
		}
		err = ship(ctx, jane, s.orders, id, "track-1")
		fmt.Println("jane ships:", err)
		fmt.Println("clerk ships:", ship(ctx, clerk, s.orders, id, "track-1"))
		o, err := s.orders.Load(auth.With(ctx, clerk), id)
		if err != nil {
			return err
		}
		fmt.Println(o.State().Customer, o.State().ShippedBy)
		return nil
	})
	// Output:
	// jane ships: user:jane: not allowed: lacks the permission order:ship
	// clerk ships: <nil>
	// user:jane user:clerk
}

func Example_authContext() {
	inShop(func(ctx context.Context, s *shop) error {
		//docs:begin auth-require
		ctx = auth.With(ctx, jane) // a middleware does that, from a verified token
		if err := auth.Require(ctx, "order:create"); err != nil {
			return err
		}
		id := event.NewID()
		err := s.orders.Update(ctx, id, func(o *Order) error { return o.Create(ctx, "user:jane", 9999) })
		//docs:end auth-require
		if err != nil {
			return err
		}
		for record, err := range s.log.ByAggregate(ctx, id, audit.Page{}) {
			fmt.Println(record.ActorID(), record.Action(), err)
		}
		return nil
	})
	// Output: user:jane order.created <nil>
}

func Example_authCommand() {
	inShop(func(ctx context.Context, s *shop) error {
		handle := createOrder(s.orders)
		//docs:begin auth-command-use
		var forged auth.Command[CreateOrder]
		body := `{"principal": {"ActorID": "user:boss"}, "Payload": {"cents": 1}}`
		if err := json.Unmarshal([]byte(body), &forged); err != nil {
			return err
		}
		_, err := handle(ctx, forged)
		fmt.Println("decoded:", errors.Is(err, auth.ErrUnauthenticated))

		_, err = handle(ctx, auth.CommandFrom(auth.With(ctx, jane), forged.Payload))
		fmt.Println("from the verified context:", err)
		//docs:end auth-command-use
		return nil
	})
	// Output:
	// decoded: true
	// from the verified context: <nil>
}

func Example_authRepository() {
	inShop(func(ctx context.Context, s *shop) error {
		id := event.NewID()
		owner := auth.With(ctx, jane)
		if err := s.guarded.Create(owner, id, func(o *Order) error { return o.Create(owner, "user:jane", 9999) }); err != nil {
			return err
		}
		//docs:begin auth-repository-use
		for _, p := range []auth.Principal{jane, boss, clerk, rival} {
			_, err := s.guarded.Load(auth.With(ctx, p), id)
			switch {
			case errors.Is(err, auth.ErrDenied): // 403
				fmt.Println(p.ActorID, "may not")
			case errors.Is(err, aggregate.ErrNotFound): // 404
				fmt.Println(p.ActorID, "sees nothing")
			default:
				fmt.Println(p.ActorID, err)
			}
		}
		//docs:end auth-repository-use
		//docs:begin auth-denials
		for record, err := range s.log.ByAction(ctx, auth.ActionDenied, audit.Page{OldestFirst: true}) {
			if err != nil {
				return err
			}
			fmt.Println(record.TenantID(), record.ActorID(), record.Reason())
		}
		//docs:end auth-denials
		return nil
	})
	// Output:
	// user:jane <nil>
	// user:boss <nil>
	// user:clerk may not
	// user:rival sees nothing
	// acme user:clerk is neither owner nor administrator
	// rivals user:rival not found for this tenant
}

// service is the HTTP service of the page.
func service(s *shop, logger *zap.Logger) (http.Handler, error) {
	recorder, repo := s.recorder, s.guarded
	//docs:begin auth-middleware
	tokens, err := jwtauth.New(jwtauth.Config{
		Algorithms: []string{jwtauth.HS256},
		Keys:       jwtauth.Keys{{Algorithm: jwtauth.HS256, Material: signingSecret}}, // or jwtauth.NewJWKS(…)
		Issuer:     "https://id.example.com",
		Audience:   []string{"shop"},
	})
	if err != nil {
		return nil, err
	}
	middleware, err := httpauth.New(httpauth.Config{Bearer: tokens, Recorder: recorder, Logger: logger})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("POST /orders", httpauth.RequirePermission("order:create")(placeOrder(repo)))
	mux.Handle("GET /orders/{id}", showOrder(repo))
	return middleware.Handler(mux), nil
	//docs:end auth-middleware
}

//docs:begin auth-endpoint
func placeOrder(repo *auth.Repository[Order]) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		var order struct {
			Cents   int64  `json:"cents"`
			ActorID string `json:"actor_id"` // the client's claim: never used
		}
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&order); err != nil {
			http.Error(w, "body is not an order", http.StatusBadRequest)
			return
		}
		p, _ := auth.From(ctx) // the middleware has verified it
		id := event.NewID()
		err := repo.Create(ctx, id, func(o *Order) error { return o.Create(ctx, p.Subject(), order.Cents) })
		if err != nil {
			httpauth.WriteProblem(w, r, err) // 401, 403, 404, 503 or 500
			return
		}
		httpauth.Logger(ctx).Info("order created") // with actor_id, tenant_id, request_id
		w.Header().Set("Location", "/orders/"+id.String())
		w.WriteHeader(http.StatusCreated)
	}
}

//docs:end auth-endpoint

func showOrder(repo *auth.Repository[Order]) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, err := uuid.Parse(r.PathValue("id"))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		o, err := repo.Load(r.Context(), id)
		if err != nil {
			httpauth.WriteProblem(w, r, err)
			return
		}
		fmt.Fprintln(w, o.State().Customer, o.State().Cents)
	}
}

// tokenOf is a token of somebody, as an issuer would sign it.
func tokenOf(subject, tenant, scope string) (string, error) {
	return jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": "https://id.example.com", "aud": "shop", "sub": subject, "tenant_id": tenant, "scope": scope,
		"exp": time.Now().Add(time.Hour).Unix(),
	}).SignedString(signingSecret)
}

func Example_authService() {
	inShop(func(ctx context.Context, s *shop) error {
		var logs bytes.Buffer
		logger := zap.New(zapcore.NewCore(
			zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "msg"}), zapcore.AddSync(&logs), zap.InfoLevel))
		handler, err := service(s, logger)
		if err != nil {
			return err
		}
		token, err := tokenOf("jane", "acme", "order:create")
		if err != nil {
			return err
		}
		do := func(method, path, token, body string) *httptest.ResponseRecorder {
			r := httptest.NewRequest(method, path, strings.NewReader(body))
			r.Header.Set("X-Request-Id", "req-1")
			r.Header.Set("X-Actor-Id", "user:boss") // the client's claim: never read
			if token != "" {
				r.Header.Set("Authorization", "Bearer "+token)
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			return w
		}
		created := do(http.MethodPost, "/orders", token, `{"cents": 9999, "actor_id": "user:boss"}`)
		fmt.Println(created.Code)
		fmt.Println(do(http.MethodGet, created.Header().Get("Location"), token, "").Body.String() + "and in the log:")
		fmt.Println(strings.Contains(logs.String(), `{"msg":"order created","actor_id":"user:jane","tenant_id":"acme","request_id":"req-1"`))
		fmt.Println(do(http.MethodPost, "/orders", "", "").Code, "without a token")
		fmt.Println(do(http.MethodPost, "/orders", token+"x", "").Code, "with a wrong one")
		for record, err := range s.log.Recent(ctx, audit.Page{OldestFirst: true}) {
			fmt.Println(record.ActorID(), record.Action(), record.Request().ID, err)
		}
		return nil
	})
	// Output:
	// 201
	// user:jane 9999
	// and in the log:
	// true
	// 401 without a token
	// 401 with a wrong one
	// user:jane order.created req-1 <nil>
	// anonymous auth.failed req-1 <nil>
}

func Example_authMetadata() {
	inShop(func(ctx context.Context, s *shop) error {
		//docs:begin auth-metadata
		ctx = event.WithMetadata(auth.With(ctx, jane), event.Metadata{
			"channel": "mobile-app", "promotion_code": "SUMMER20", "mfa_verified": true,
		})
		//docs:end auth-metadata
		id := event.NewID()
		err := s.orders.Update(ctx, id, func(o *Order) error { return o.Create(ctx, "user:jane", 1) })
		for record, err := range s.log.ByAggregate(ctx, id, audit.Page{}) {
			fmt.Println(record.Metadata()["channel"], record.Metadata()["mfa_verified"], err)
		}
		return err
	})
	// Output: mobile-app true <nil>
}

func Example_authKeys() {
	inShop(func(ctx context.Context, _ *shop) error {
		//docs:begin auth-keys
		keys, err := auth.NewAPIKeys(&auth.MemoryKeys{}, auth.APIKeysConfig{}) // or a KeyStore of your own
		if err != nil {
			return err
		}
		text, key, err := keys.Issue(ctx, auth.Principal{
			ActorID: event.Service("payment-processor"), TenantID: "acme", Permissions: []auth.Permission{"order:ship"},
		}, time.Now().AddDate(1, 0, 0))
		//docs:end auth-keys
		if err != nil {
			return err
		}
		p, err := keys.Authenticate(ctx, text)
		fmt.Println(p.ActorID, p.Method, p.TokenID == key.ID, err)
		return nil
	})
	// Output: service:payment-processor api_key true <nil>
}

func Example_authOpaque() {
	//docs:begin auth-opaque
	fmt.Println(event.User("550e8400-e29b-41d4-a716-446655440000").Lint())
	fmt.Println(event.User("jane@example.com").Lint())
	//docs:end auth-opaque
	// Output:
	// []
	// [actor id user:jane@example.com looks like an e-mail address: use an opaque id, events cannot be edited later]
}
