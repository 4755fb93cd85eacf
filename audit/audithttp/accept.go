package audithttp

import (
	"mime"
	"strconv"
	"strings"
)

// accepted returns the format that the client likes best of those that the
// route has; of several, the first.
func (x *exchange) accepted() (format string, ok bool) {
	return prefer(x.r.Header.Values("Accept"), x.route.formats)
}

// exports reports whether the answer is streamed.
func (x *exchange) exports() bool {
	format, ok := x.accepted()
	return ok && (format == typeNDJSON || format == typeCSV)
}

// prefer is content negotiation as RFC 9110, section 12.5.1, has it: of each
// format the most specific range counts, and 0 means no. What cannot be read
// counts for nothing.
func prefer(accept, offered []string) (format string, ok bool) {
	if len(accept) == 0 {
		return offered[0], true
	}
	ranges := mediaRanges(accept)
	best := 0.0
	for _, candidate := range offered {
		if q := quality(ranges, candidate); q > best {
			format, best = candidate, q
		}
	}
	return format, best > 0
}

type mediaRange struct {
	kind, sub string
	params    map[string]string
	q         float64
}

func mediaRanges(accept []string) []mediaRange {
	var all []mediaRange
	for item := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		name, params, err := mime.ParseMediaType(item)
		kind, sub, slash := strings.Cut(name, "/")
		if err != nil || !slash {
			continue
		}
		q := 1.0
		if text, given := params["q"]; given {
			if q, err = strconv.ParseFloat(text, 64); err != nil || !(q >= 0 && q <= 1) {
				continue
			}
		}
		delete(params, "q")
		all = append(all, mediaRange{kind: kind, sub: sub, params: params, q: q})
	}
	return all
}

func quality(ranges []mediaRange, format string) float64 {
	q, specific := 0.0, 0
	for _, r := range ranges {
		if s := r.specificity(format); s > specific {
			q, specific = r.q, s
		}
	}
	return q
}

// specificity is 0 for a range that format does not fall into.
func (r mediaRange) specificity(format string) int {
	kind, sub, _ := strings.Cut(format, "/")
	switch {
	case r.kind == "*" && r.sub == "*":
		return 1
	case r.kind == kind && r.sub == "*":
		return 2
	case r.kind != kind || r.sub != sub:
		return 0
	}
	for name, value := range r.params {
		known := name == "charset" && strings.EqualFold(value, "utf-8") || format == typeCSV && name == "header" && value == "present"
		if !known {
			return 0
		}
	}
	return 3 + len(r.params)
}

// list is "a, b and c".
func list(items []string) string {
	last := len(items) - 1
	if last < 1 {
		return strings.Join(items, "")
	}
	return strings.Join(items[:last], ", ") + " and " + items[last]
}
