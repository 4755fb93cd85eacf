package audit

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/evident-go/evident/event"
)

const (
	mostActionParts = 5
	mostPartBytes   = 120 // of a part that ActionOf makes: two of them and a dot stay below MaxActionBytes
)

// ValidateAction checks an action's name: one to five parts with dots
// between, each a lower-case letter and then lower-case letters, digits and
// underscores, for example "create_task" or "document.update".
func ValidateAction(action string) error {
	if len(action) > MaxActionBytes {
		return &event.TooLargeError{Field: "action", Size: len(action), Limit: MaxActionBytes, Unit: "bytes"}
	}
	parts := strings.Split(action, ".")
	if len(parts) > mostActionParts || slices.ContainsFunc(parts, func(part string) bool { return !isActionPart(part) }) {
		return &event.InvalidError{
			Field: "action", Value: cut(printable(action), 64),
			Reason: `must be like "create_task" or "document.update": lower-case letters, digits and underscores, at most five parts`,
		}
	}
	return nil
}

func isActionPart(part string) bool {
	for i := range len(part) {
		c := part[i]
		letter := c >= 'a' && c <= 'z'
		if !letter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return part != ""
}

// ActionOf names what an event did after its aggregate's and its own type:
// "DocumentCreated" of a "Document" is "document.created", "Archived" is
// "document.archived", "OwnerChanged" of an "HTTPRoute" is
// "http_route.owner_changed". The aggregate's words are left out of the second
// part if the event's type begins with them and says more. Letters outside of
// ASCII are written as their code point ("é" as "u00e9"), so that every event
// has a valid action.
func ActionOf(e event.Event) string {
	subject, verb := words(e.AggregateType), words(e.Type)
	if len(verb) > len(subject) && slices.Equal(verb[:len(subject)], subject) {
		verb = verb[len(subject):]
	}
	return actionPart(e.AggregateType, subject) + "." + actionPart(e.Type, verb)
}

func actionPart(name string, words []string) string {
	part := strings.Join(words, "_")
	switch {
	case part == "":
		part = fmt.Sprintf("x%x", name)
	case part[0] >= '0' && part[0] <= '9':
		part = "n" + part
	}
	return cut(part, mostPartBytes)
}

// words takes a name apart: at changes from small to capital letters, in front
// of the last capital of several ("HTTPRoute" is http and route), and at
// whatever is neither letter nor digit.
func words(name string) []string {
	var all []string
	var word []byte
	end := func() {
		if len(word) > 0 {
			all, word = append(all, string(word)), nil
		}
	}
	runes := []rune(name)
	for i, r := range runes {
		switch {
		case r > unicode.MaxASCII:
			end()
			all = append(all, fmt.Sprintf("u%04x", r))
		case r >= 'A' && r <= 'Z':
			if beginsWord(runes, i) {
				end()
			}
			word = append(word, byte(r)-'A'+'a')
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			word = append(word, byte(r))
		default:
			end()
		}
	}
	end()
	return all
}

// beginsWord reports whether the capital at i starts a new word.
func beginsWord(runes []rune, i int) bool {
	if i == 0 {
		return false
	}
	afterCapital := runes[i-1] >= 'A' && runes[i-1] <= 'Z'
	beforeSmall := i+1 < len(runes) && runes[i+1] >= 'a' && runes[i+1] <= 'z'
	return !afterCapital || beforeSmall
}
