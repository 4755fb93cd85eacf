package audithttp

import (
	_ "embed"
	"net/http"
	"strings"
)

// The contract is written by hand as YAML. The same as JSON is kept equal to it
// by a test.
var (
	//go:embed openapi.yaml
	contractYAML string
	//go:embed openapi.json
	contractJSON string
)

// contract is what describes the API, for where it is mounted.
type contract struct {
	yaml, json, page []byte
}

func newContract(prefix string) (contract, error) {
	c := contract{yaml: mounted(contractYAML, prefix), json: mounted(contractJSON, prefix)}
	var err error
	c.page, err = newPage(c.json, prefix)
	return c, err
}

func mounted(text, prefix string) []byte {
	return []byte(strings.ReplaceAll(text, "/v1/audit", prefix))
}

func (x *exchange) contractYAML() error {
	x.write(http.StatusOK, typeYAML, x.h.contract.yaml)
	return nil
}

func (x *exchange) contractJSON() error {
	x.write(http.StatusOK, typeJSON, x.h.contract.json)
	return nil
}

// indexJSON says where everything is.
type indexJSON struct {
	Records     string `json:"records"`
	Actions     string `json:"actions"`
	Docs        string `json:"docs"`
	OpenAPIYAML string `json:"openapi_yaml"`
	OpenAPIJSON string `json:"openapi_json"`
}

func (x *exchange) index() error {
	at := x.h.config.Prefix
	return x.answer(http.StatusOK, indexJSON{
		Records: at + "/records", Actions: at + "/actions", Docs: at + "/docs",
		OpenAPIYAML: at + "/openapi.yaml", OpenAPIJSON: at + "/openapi.json",
	})
}
