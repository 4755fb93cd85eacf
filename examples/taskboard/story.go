package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
)

// story is the walk-through. What is done in it is done over HTTP, as anybody
// else would.
type story struct {
	*Board

	web visitor // nobody yet
	out io.Writer
}

func newStory(b *Board, address net.Addr, out io.Writer) story {
	return story{Board: b, out: out, web: visitor{base: "http://" + address.String(), client: &http.Client{Timeout: time.Minute}}}
}

// tell fills an empty board, and shows it.
func (s story) tell(ctx context.Context) error {
	head, err := s.store.events.Head(ctx)
	if err != nil {
		return err
	}
	if head == 0 {
		if err := s.fill(ctx); err != nil {
			return fmt.Errorf("fill the board: %w", err)
		}
		if err := s.settle(ctx); err != nil {
			return fmt.Errorf("wait for what follows: %w", err)
		}
	}
	defer s.web.client.CloseIdleConnections()
	return s.show(ctx)
}

// fill lets people of two tenants use the board, and some try what they may not.
func (s story) fill(ctx context.Context) error {
	if err := s.web.post(ctx, "/login", credentials{Name: "bob", Password: "hunter2"}, http.StatusUnauthorized); err != nil {
		return err
	}
	as := map[string]visitor{}
	for _, p := range s.people.everybody {
		var err error
		if as[p.Name], err = s.web.logIn(ctx, p.Name, s.passwords[p.Name]); err != nil {
			return err
		}
	}
	minutes, err := as["bob"].create(ctx, "Write the minutes")
	if err != nil {
		return err
	}
	chairs, err := as["ada"].create(ctx, "Order new chairs")
	if err != nil {
		return err
	}
	stock, err := as["gus"].create(ctx, "Count the stock")
	if err != nil {
		return err
	}
	return errors.Join(
		as["bob"].do(ctx, http.MethodPatch, minutes, titleJSON{Title: "Write and send the minutes"}, http.StatusNoContent),
		as["bob"].do(ctx, http.MethodPut, minutes+"/assignee", map[string]string{"name": "dan"}, http.StatusNoContent),
		as["dan"].do(ctx, http.MethodDelete, minutes, nil, http.StatusForbidden), // it is not dan's
		as["dan"].post(ctx, minutes+"/completion", nil, http.StatusNoContent),    // but he is to do it
		as["eve"].post(ctx, "/tasks", titleJSON{Title: "Look into it"}, http.StatusForbidden),
		as["bob"].get(ctx, "/v1/audit/records", http.StatusForbidden),
		as["gus"].get(ctx, minutes, http.StatusNotFound), // it is another tenant's
		s.web.get(ctx, stock, http.StatusUnauthorized),
		as["ada"].do(ctx, http.MethodDelete, chairs, nil, http.StatusNoContent),
		as["eve"].accepting("text/csv").get(ctx, "/v1/audit/records?owner_id=user:2c90", http.StatusOK),
	)
}

//docs:begin settle

// settle waits until everything that has happened is shown, and has come over NATS.
func (s story) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	head, err := s.shown(ctx)
	if err != nil {
		return err
	}
	for record, err := range s.log.AsOf(head).Find(ctx, audit.Query{}) {
		if err != nil {
			return err
		}
		if err := s.inbox.Await(ctx, record.ID()); err != nil {
			return err
		}
	}
	return nil
}

// shown waits until the log shows what has happened, and returns up to where.
func (s story) shown(ctx context.Context) (uint64, error) {
	head, err := s.store.events.Head(ctx)
	if err != nil {
		return 0, err
	}
	for _, name := range []string{audit.LogName, audit.ActivityName} {
		if err := s.views.WaitFor(ctx, name, head); err != nil {
			return 0, err
		}
	}
	return head, nil
}

//docs:end settle

// visitor is somebody with a browser, logged in or not.
type visitor struct {
	client *http.Client
	base   string
	token  string
	accept string
}

func (v visitor) accepting(contentType string) visitor {
	v.accept = contentType
	return v
}

func (v visitor) logIn(ctx context.Context, name, password string) (visitor, error) {
	got, err := v.send(ctx, http.MethodPost, "/login", credentials{Name: name, Password: password})
	if err == nil {
		err = got.expect(http.StatusOK)
	}
	if err != nil {
		return v, err
	}
	var token granted
	err = json.Unmarshal(got.body, &token)
	v.token = token.AccessToken
	return v, err
}

// create returns where the task is.
func (v visitor) create(ctx context.Context, title string) (string, error) {
	got, err := v.send(ctx, http.MethodPost, "/tasks", titleJSON{Title: title})
	if err != nil {
		return "", err
	}
	return got.header.Get("Location"), got.expect(http.StatusCreated)
}

func (v visitor) get(ctx context.Context, path string, status int) error {
	return v.do(ctx, http.MethodGet, path, nil, status)
}

func (v visitor) post(ctx context.Context, path string, body any, status int) error {
	return v.do(ctx, http.MethodPost, path, body, status)
}

// do expects a status.
func (v visitor) do(ctx context.Context, method, path string, body any, status int) error {
	got, err := v.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	return got.expect(status)
}

func (v visitor) send(ctx context.Context, method, path string, body any) (reply, error) {
	var given bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&given).Encode(body); err != nil {
			return reply{}, err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, v.base+path, &given)
	if err != nil {
		return reply{}, err
	}
	if v.token != "" {
		request.Header.Set("Authorization", "Bearer "+v.token)
	}
	if v.accept != "" {
		request.Header.Set("Accept", v.accept)
	}
	return replyTo(v.client, request)
}

// reply is an answer, read to its end.
type reply struct {
	request string
	status  int
	header  http.Header
	body    []byte
}

func replyTo(client *http.Client, request *http.Request) (_ reply, err error) {
	response, err := client.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	body, err := io.ReadAll(response.Body)
	return reply{request: request.Method + " " + request.URL.Path, status: response.StatusCode, header: response.Header, body: body}, err
}

// expect returns an error unless the status is as it should be.
func (r reply) expect(status int) error {
	if r.status != status {
		return fmt.Errorf("%s: status %d, not %d: %s", r.request, r.status, status, r.body)
	}
	return nil
}

// example returns what bob's first task is called in the log, and the chain of
// actions that its creation belongs to.
func (s story) example(ctx context.Context) (task audit.EntityRef, chain uuid.UUID, err error) {
	query := audit.Query{TenantID: "acme", ActorID: event.User("2c90"), Action: "create_task", Page: audit.Page{OldestFirst: true, Limit: 1}}
	for record, err := range s.log.Find(ctx, query) {
		if err != nil {
			return task, chain, err
		}
		return record.Entity(), record.CorrelationID(), nil
	}
	return task, chain, errors.New("bob has no task: this is another board's database")
}
