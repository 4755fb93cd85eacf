package main

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
)

// FileAdded, FileModified and FileDeleted are what commits say of a file.
//
//docs:begin events
type FileAdded struct {
	Path string `json:"path"`
}

type FileModified struct {
	Path string `json:"path"`
}

type FileDeleted struct {
	Path string `json:"path"`
}

func (FileAdded) EventType() string    { return "FileAdded" }
func (FileModified) EventType() string { return "FileModified" }
func (FileDeleted) EventType() string  { return "FileDeleted" }

//docs:end events

// File is the aggregate: a path, through all of its changes.
type File struct{ aggregate.AggregateRoot[State] }

// State is what is known of a file. Its handlers accept every order of changes:
// branches that are told in one line add a file twice, or modify one that
// another branch has deleted. An event says what a commit said, and that stays
// true however odd it looks from another branch.
type State struct {
	Path        string
	Exists      bool
	First, Last time.Time // by the authors' clocks
}

func (s *State) change(path string, at time.Time, exists bool) {
	if s.First.IsZero() {
		s.First = at
	}
	s.Path, s.Exists, s.Last = path, exists, at
}

var files = aggregate.Define("File",
	aggregate.On(func(s *State, e event.Of[FileAdded]) { s.change(e.Payload.Path, e.OccurredAt, true) }),
	aggregate.On(func(s *State, e event.Of[FileModified]) { s.change(e.Payload.Path, e.OccurredAt, true) }),
	aggregate.On(func(s *State, e event.Of[FileDeleted]) { s.change(e.Payload.Path, e.OccurredAt, false) }),
)

// Ids are made from what they name, so that importing the same history again
// makes the same events. A store keeps each event once.
//
//docs:begin ids
func fileID(path string) uuid.UUID { return uuid.NewSHA1(uuid.NameSpaceURL, []byte("file:"+path)) }

func commitID(hash string) uuid.UUID { return uuid.NewSHA1(uuid.NameSpaceURL, []byte("commit:"+hash)) }

func changeID(hash string, c Change) uuid.UUID {
	return uuid.NewSHA1(commitID(hash), []byte(c.Op+" "+c.Path))
}

//docs:end ids

// author returns an id that tells people apart without naming them: events are
// kept for ever, and an e-mail address must not be.
func author(email string) event.ActorID {
	const enough = 6 // bytes: one chance in a million that two of 20,000 authors are taken for one
	sum := sha256.Sum256([]byte(strings.ToLower(strings.TrimSpace(email))))
	return event.User(hex.EncodeToString(sum[:enough]))
}
