package memory

import "strings"

// names keeps each distinct text once and knows it by number: event types,
// aggregate types, tenants and actors repeat in almost every event. As to
// concurrency it is like [list].
type names struct {
	numbers map[string]uint32
	texts   list[string]
	latest  [64]name // those used of late, each at the place that slotOf says
}

type name struct {
	text   string
	number uint32
	known  bool
}

// number returns the number of text, and takes it in if it is new.
func (n *names) number(text string) uint32 {
	number, known := n.find(text)
	if known {
		return number
	}
	text = strings.Clone(text) // it may be a piece of something large
	entry, added := n.texts.add()
	*entry, number = text, uint32(added) //nolint:gosec // memory ends long before the numbers do.
	n.numbers[text] = number
	return number
}

// find returns the number of text if it is known.
func (n *names) find(text string) (number uint32, known bool) {
	latest := &n.latest[slotOf(text)]
	if latest.known && latest.text == text {
		return latest.number, true
	}
	if number, known = n.numbers[text]; known {
		*latest = name{n.text(number), number, true}
	}
	return number, known
}

// slotOf spreads texts by what costs nothing to look at.
func slotOf(text string) int {
	if text == "" {
		return 0
	}
	return (len(text)*7 + int(text[len(text)-1])) & 63
}

// text is the reverse of number.
func (n *names) text(number uint32) string { return *n.texts.at(uint64(number)) }
