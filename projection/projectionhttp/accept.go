package projectionhttp

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
)

const (
	typeJSON = "application/json"
	typeText = "text/plain"
)

// prefersJSON reports whether the client likes JSON better than plain text (RFC
// 9110, section 12.5.1). One that likes neither gets plain text: what counts of a
// probe's answer is its code.
func prefersJSON(r *http.Request) bool {
	accept := strings.Join(r.Header.Values("Accept"), ",")
	return quality(accept, typeJSON) > quality(accept, typeText)
}

// quality is how much a client likes a type: what the most specific range says
// that it falls into, and 0 if there is none.
func quality(accept, candidate string) float64 {
	kind, _, _ := strings.Cut(candidate, "/")
	q, specific := 0.0, 0
	for item := range strings.SplitSeq(accept, ",") {
		media, params, err := mime.ParseMediaType(item)
		if err != nil {
			continue
		}
		s := map[string]int{"*/*": 1, kind + "/*": 2, candidate: 3}[media]
		if s > specific {
			q, specific = weight(params), s
		}
	}
	return q
}

// weight is 1 unless the range says otherwise; what cannot be read counts for
// nothing.
func weight(params map[string]string) float64 {
	text, given := params["q"]
	if !given {
		return 1
	}
	q, err := strconv.ParseFloat(text, 64)
	if err != nil || !(q >= 0 && q <= 1) {
		return 0
	}
	return q
}
