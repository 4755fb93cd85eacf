package seeds_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/auth/httpauth"
	"github.com/evident-go/evident/auth/jwtauth"
	"github.com/evident-go/evident/event"
)

// secret is for examples. A service has public keys of its issuer, [jwtauth.JWKS].
const secret = "thirty-two bytes at the very least"

// door is a shop that requests come to.
type door struct {
	*shop

	recorder   *auth.Recorder
	config     httpauth.Config
	middleware *httpauth.Middleware
}

func openDoor(s *shop) (*door, error) {
	tokens, err := jwtauth.New(jwtauth.Config{
		Algorithms: []string{jwtauth.HS256},
		Keys:       jwtauth.Keys{{ID: "k1", Algorithm: jwtauth.HS256, Material: []byte(secret)}},
		Issuer:     "https://id.example.com",
		Audience:   []string{"shop"},
		Now:        s.clock.Now,
	})
	if err != nil {
		return nil, err
	}
	recorder, err := auth.NewRecorder(s.log, auth.RecorderConfig{Now: s.clock.Now})
	if err != nil {
		return nil, err
	}
	config := httpauth.Config{Bearer: tokens, Recorder: recorder, AllowAnonymous: true}
	middleware, err := httpauth.New(config)
	return &door{shop: s, recorder: recorder, config: config, middleware: middleware}, err
}

// stdout returns a logger that writes lines without times.
func stdout() *zap.Logger {
	encoder := zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "msg"})
	return zap.New(zapcore.NewCore(encoder, zapcore.AddSync(os.Stdout), zap.InfoLevel))
}

// withDoor runs an example in a shop with a door.
func withDoor(example func(ctx context.Context, d *door) error) {
	run(func(ctx context.Context, s *shop) error {
		d, err := openDoor(s)
		if err != nil {
			return err
		}
		return example(ctx, d)
	})
}

// token is what the issuer gives to a user who has logged in.
func (d *door) token(user string, permissions ...string) string {
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": "https://id.example.com", "aud": "shop", "sub": user, "jti": "t-9",
		"iat": d.clock.at.Unix(), "exp": d.clock.at.Add(time.Hour).Unix(),
		"scope": strings.Join(permissions, " "), "roles": []string{"clerk"},
	})
	token.Header["kid"] = "k1"
	signed, err := token.SignedString([]byte(secret))
	if err != nil {
		return err.Error()
	}
	return signed
}

// send sends a request, with a token unless that is empty.
func (d *door) send(handler http.Handler, method, target, body, token string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), method, target, strings.NewReader(body))
	r.Header.Set(httpauth.HeaderRequestID, "req-17")
	r.Header.Set(httpauth.HeaderTraceparent, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	r.Header.Set("User-Agent", "curl/8")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

// show prints the records of an action.
func (d *door) show(ctx context.Context, action string) error {
	for record, err := range d.log.ByAction(ctx, action, audit.Page{OldestFirst: true}) {
		if err != nil {
			return err
		}
		fmt.Println("recorded:", record.Action(), record.Outcome(), record.ActorID(), record.Metadata()[auth.KeyReason])
	}
	return nil
}

// A middleware verifies tokens and puts who acts into the request's context.
func Example_tokenMiddleware() {
	withDoor(func(ctx context.Context, d *door) error {
		handler := d.middleware.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Actor", string(event.ActorFrom(r.Context())))
		}))
		good := d.token("7f3a")
		for _, token := range []string{good, "", good + "x"} {
			answer := d.send(handler, http.MethodGet, "/", "", token)
			fmt.Printf("%d %q\n", answer.Code, answer.Header().Get("X-Actor"))
		}
		d.clock.pass(2 * time.Hour)
		fmt.Println(d.send(handler, http.MethodGet, "/", "", good).Code)
		return d.show(ctx, auth.ActionFailed)
	})
	// Output:
	// 200 "user:7f3a"
	// 200 "anonymous"
	// 401 ""
	// 401
	// recorded: auth.failed failure anonymous signature
	// recorded: auth.failed failure anonymous expired
}

// A handler asks who acts, or demands that somebody does.
func Example_currentUser() {
	withDoor(func(_ context.Context, d *door) error {
		mux := http.NewServeMux()
		mux.HandleFunc("GET /greeting", func(w http.ResponseWriter, r *http.Request) {
			if p, ok := auth.From(r.Context()); ok {
				fmt.Fprintln(w, "hello", p.ActorID.Name(), p.Roles)
				return
			}
			fmt.Fprintln(w, "hello, whoever you are")
		})
		mux.HandleFunc("GET /me", func(w http.ResponseWriter, r *http.Request) {
			p, err := d.middleware.Principal(r)
			if err != nil {
				httpauth.WriteProblem(w, r, err)
				return
			}
			fmt.Fprintln(w, p.ActorID)
		})
		handler, token := d.middleware.Handler(mux), d.token("7f3a")
		fmt.Print(d.send(handler, http.MethodGet, "/greeting", "", "").Body)
		fmt.Print(d.send(handler, http.MethodGet, "/greeting", "", token).Body)
		fmt.Print(d.send(handler, http.MethodGet, "/me", "", token).Body)
		fmt.Println(d.send(handler, http.MethodGet, "/me", "", "").Code)
		return nil
	})
	// Output:
	// hello, whoever you are
	// hello 7f3a [clerk]
	// user:7f3a
	// 401
}

// api has the shop's endpoints. Nothing in it names an actor.
func (d *door) api() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		var order struct {
			Cents int64 `json:"cents"`
		}
		if err := json.NewDecoder(r.Body).Decode(&order); err != nil {
			http.Error(w, "the body is no order", http.StatusBadRequest)
			return
		}
		ctx := r.Context()
		err := d.orders.Update(ctx, orderID, func(o *Order) error { return o.Create(ctx, event.ActorFrom(ctx), order.Cents) })
		answer(w, r, http.StatusCreated, err)
	})
	ship := func(w http.ResponseWriter, r *http.Request) {
		id, err := uuid.Parse(r.PathValue("id"))
		if err == nil {
			ctx := r.Context()
			err = d.orders.Update(ctx, id, func(o *Order) error { return o.Ship(ctx, r.FormValue("parcel")) })
		}
		answer(w, r, http.StatusOK, err)
	}
	mux.Handle("POST /orders/{id}/ship", httpauth.RequirePermission("order:ship")(http.HandlerFunc(ship)))
	return d.middleware.Handler(mux)
}

func answer(w http.ResponseWriter, r *http.Request, status int, err error) {
	if err != nil {
		httpauth.WriteProblem(w, r, err)
		return
	}
	w.WriteHeader(status)
}

// Two endpoints, each with the actor of its request.
func Example_endpoints() {
	withDoor(func(ctx context.Context, d *door) error {
		api := d.api()
		fmt.Println(d.send(api, http.MethodPost, "/orders", `{"cents": 9900}`, d.token("7f3a")).Code)
		ship := "/orders/" + orderID.String() + "/ship?parcel=PKG-1"
		fmt.Println(d.send(api, http.MethodPost, ship, "", d.token("55aa", "order:ship")).Code)
		for record, err := range d.log.ByAggregate(ctx, orderID, audit.Page{OldestFirst: true}) {
			if err != nil {
				return err
			}
			fmt.Println(record.Action(), "by", record.ActorID())
		}
		return nil
	})
	// Output:
	// 201
	// 200
	// order.created by user:7f3a
	// order.shipped by user:55aa
}

// What may be done is checked before the command runs. Refusals are recorded.
func Example_permissions() {
	const (
		CreateOrder auth.Permission = "order:create"
		ShipOrder   auth.Permission = "order:ship"
		CancelOrder auth.Permission = "order:cancel"
		ViewOrder   auth.Permission = "order:view"
	)
	withDoor(func(ctx context.Context, d *door) error {
		clerk := d.token("55aa", string(CreateOrder), string(ViewOrder))
		ship := "/orders/" + orderID.String() + "/ship"
		refused := d.send(d.api(), http.MethodPost, ship, "", clerk) // behind RequirePermission(ShipOrder)
		fmt.Println(refused.Code, refused.Header().Get("Content-Type"))

		p := auth.Principal{ActorID: event.User("55aa"), Permissions: []auth.Permission{CreateOrder, ViewOrder}}
		ctx = auth.WithRecorder(auth.With(ctx, p), d.recorder)
		fmt.Println(auth.Require(ctx, ViewOrder))
		fmt.Println(errors.Is(auth.Require(ctx, CancelOrder), auth.ErrDenied))
		for record, err := range d.log.ByAction(ctx, auth.ActionDenied, audit.Page{OldestFirst: true}) {
			if err != nil {
				return err
			}
			fmt.Println(record.ActorID(), record.Outcome(), record.Metadata()[auth.KeyPermission])
		}
		return nil
	})
	// Output:
	// 403 application/problem+json
	// <nil>
	// true
	// user:55aa denied order:ship
	// user:55aa denied order:cancel
}

// Whoever claims to be somebody else, in body, query or header, stays himself.
func Example_forgedActor() {
	withDoor(func(ctx context.Context, d *door) error {
		claims := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for _, name := range []string{"X-Actor-Id", "X-User", "X-Forwarded-User", "Actor-Id", "Baggage"} {
				r.Header.Set(name, "actor_id=user:root")
			}
			d.api().ServeHTTP(w, r)
		})
		forged := `{"cents": 9900, "actor_id": "user:root", "metadata": {"actor_id": "user:root"}}`
		fmt.Println(d.send(claims, http.MethodPost, "/orders?actor_id=user:root", forged, d.token("7f3a")).Code)
		e, err := d.last(ctx)
		fmt.Println(e.ActorID)
		return err
	})
	// Output:
	// 201
	// user:7f3a
}

// One trusted place sets the actor: where the request is let in. A context of
// another actor ends there, too.
func Example_trustedCode() {
	withDoor(func(_ context.Context, d *door) error {
		handler := d.middleware.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			fmt.Println(event.ActorFrom(r.Context()))
		}))
		spoilt := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			handler.ServeHTTP(w, r.WithContext(event.WithActor(r.Context(), event.User("root"))))
		})
		d.send(spoilt, http.MethodGet, "/", "", d.token("7f3a"))
		d.send(spoilt, http.MethodGet, "/", "", "")
		return nil
	})
	// Output:
	// user:7f3a
	// anonymous
}

// Each line of a request's logger says who acts.
func Example_actorInLogs() {
	withDoor(func(_ context.Context, d *door) error {
		d.config.Logger = stdout()
		middleware, err := httpauth.New(d.config)
		if err != nil {
			return err
		}
		handler := middleware.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			httpauth.Logger(r.Context()).Info("order is looked at")
		}))
		d.send(handler, http.MethodGet, "/", "", d.token("7f3a"))
		return nil
	})
	// Output:
	// {"msg":"order is looked at","actor_id":"user:7f3a","request_id":"req-17","correlation_id":"0af76519-16cd-43dd-8448-eb211c80319c"}
}
