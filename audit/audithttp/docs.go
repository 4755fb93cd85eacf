package audithttp

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// The page has no script and asks nobody for anything: its style is in it, and
// named by its digest in the content security policy.
var (
	//go:embed docs.html
	pageTemplate string
	//go:embed docs.css
	pageStyle string
)

func (x *exchange) docs() error {
	digest := sha256.Sum256([]byte(pageStyle))
	x.w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(digest[:])+
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	x.write(http.StatusOK, "text/html; charset=utf-8", x.h.contract.page)
	return nil
}

// document is as much of an OpenAPI document as the page shows.
type document struct {
	Info struct {
		Title, Version, Summary, Description string
	}
	Tags       []struct{ Name, Description string }
	Paths      map[string]map[string]*operation
	Components struct {
		SecuritySchemes map[string]struct{ Description string }
		Parameters      map[string]*parameter
		Responses       map[string]*response
		Schemas         map[string]*schema
	}
}

type operation struct {
	OperationID, Summary, Description string
	Tags                              []string
	Security                          []map[string][]string
	Parameters                        []*parameter
	RequestBody                       *struct{ Content map[string]media }
	Responses                         map[string]*response

	Method, Path string `json:"-"`
}

type parameter struct {
	Ref                   string `json:"$ref"`
	Name, In, Description string
	Required              bool
	Schema                *schema
}

type response struct {
	Ref         string `json:"$ref"`
	Description string
	Content     map[string]media
}

type media struct{ Schema *schema }

type schema struct {
	Ref                string `json:"$ref"`
	Type               any
	Description        string
	Pattern, Format    string
	Enum               []any
	Default            any
	Minimum, Maximum   *float64
	MinItems, MaxItems *int
	MinLength          *int
	MaxLength          *int
	Required           []string
	Properties         map[string]*schema
	Items              *schema
	OneOf              []*schema
}

// newPage draws a contract for people.
func newPage(contract []byte, prefix string) ([]byte, error) {
	var d document
	if err := json.Unmarshal(contract, &d); err != nil {
		return nil, fmt.Errorf("contract: %w", err)
	}
	d.resolve()
	page, err := template.New("docs").Funcs(template.FuncMap{
		"groups": d.groups, "type": typeOf, "limits": limitsOf, "paragraphs": paragraphs, "inline": inline,
		"scopes": scopesOf, "sorted": func(m map[string]*response) []string { return slices.Sorted(maps.Keys(m)) },
		"needs": slices.Contains[[]string],
		"style": func() template.CSS { return template.CSS(pageStyle) }, //nolint:gosec // an embedded file
	}).Parse(pageTemplate)
	if err != nil {
		return nil, fmt.Errorf("docs page: %w", err)
	}
	var out bytes.Buffer
	err = page.Execute(&out, map[string]any{"Document": d, "Prefix": prefix, "Codes": meanings()})
	if err != nil {
		return nil, fmt.Errorf("docs page: %w", err)
	}
	return out.Bytes(), nil
}

// resolve puts components in place of the references to them.
func (d *document) resolve() {
	for path, operations := range d.Paths {
		for method, op := range operations {
			op.Method, op.Path = strings.ToUpper(method), path
			for i, p := range op.Parameters {
				if p.Ref != "" {
					op.Parameters[i] = d.Components.Parameters[lastOf(p.Ref)]
				}
			}
			for status, r := range op.Responses {
				if r.Ref != "" {
					op.Responses[status] = d.Components.Responses[lastOf(r.Ref)]
				}
			}
		}
	}
}

func lastOf(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }

// group is a tag with its operations.
type group struct {
	Name, Description string
	Operations        []*operation
}

func (d *document) groups() []group {
	var groups []group
	for _, tag := range d.Tags {
		g := group{Name: tag.Name, Description: tag.Description}
		for _, operations := range d.Paths {
			for _, op := range operations {
				if slices.Contains(op.Tags, tag.Name) {
					g.Operations = append(g.Operations, op)
				}
			}
		}
		slices.SortFunc(g.Operations, func(a, b *operation) int {
			return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method))
		})
		groups = append(groups, g)
	}
	return groups
}

// typeOf names a schema, with a link if it has a section of its own.
func typeOf(s *schema) template.HTML {
	escape := template.HTMLEscapeString
	switch {
	case s == nil:
		return "anything"
	case s.Ref != "":
		name := escape(lastOf(s.Ref))
		return template.HTML(`<a href="#schema-` + name + `">` + name + `</a>`) //nolint:gosec // escaped, and of an embedded file
	case s.Items != nil:
		return "list of " + typeOf(s.Items)
	case len(s.OneOf) > 0:
		names := make([]string, len(s.OneOf))
		for i, one := range s.OneOf {
			names[i] = string(typeOf(one))
		}
		return template.HTML(strings.Join(names, " or ")) //nolint:gosec // made here
	}
	if several, ok := s.Type.([]any); ok {
		return template.HTML(escape(strings.Trim(fmt.Sprint(several), "[]"))) //nolint:gosec // escaped
	}
	return template.HTML(escape(strings.TrimSpace(fmt.Sprint(cmp.Or(s.Type, any("object")), " ", s.Format)))) //nolint:gosec // escaped
}

// limitsOf says in words what a schema allows.
func limitsOf(s *schema) string {
	if s == nil {
		return ""
	}
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if len(s.Enum) > 0 {
		add("one of %s", strings.Trim(fmt.Sprint(s.Enum), "[]"))
	}
	if s.Minimum != nil && s.Maximum != nil {
		add("%v to %v", *s.Minimum, *s.Maximum)
	}
	if s.MinItems != nil && s.MaxItems != nil {
		add("%d to %d items", *s.MinItems, *s.MaxItems)
	}
	if s.MaxLength != nil {
		add("at most %d long", *s.MaxLength)
	}
	if s.Pattern != "" {
		add("matches %s", s.Pattern)
	}
	if s.Default != nil {
		add("default %v", s.Default)
	}
	return strings.Join(parts, "; ")
}

// scopesOf lists the scopes that an operation asks for.
func scopesOf(op *operation) []string {
	var scopes []string
	for _, requirement := range op.Security {
		for _, each := range requirement {
			scopes = append(scopes, each...)
		}
	}
	return scopes
}

func paragraphs(text string) []string { return strings.Split(strings.TrimSpace(text), "\n\n") }

// inline writes what stands between backquotes as code.
func inline(text string) template.HTML {
	var b strings.Builder
	for i, part := range strings.Split(text, "`") {
		if i%2 == 1 {
			b.WriteString("<code>" + template.HTMLEscapeString(part) + "</code>")
			continue
		}
		b.WriteString(template.HTMLEscapeString(part))
	}
	return template.HTML(b.String()) //nolint:gosec // escaped
}
