package console

import (
	"net/http"
	"slices"

	"chancery/internal/ca"
	"chancery/internal/setting"
)

// modelLine is one question about the deployment models, with an answer each.
type modelLine struct {
	Question string
	Answers  []string
}

type modelsView struct {
	Models []string
	Lines  []modelLine
	Kinds  []kindLine // those with a SCEP server
	CLI    []string
}

var modelsPage = view[modelsView]("models")

// models are the ways in which devices get certificates of a SCEP server.
func (v *visit) models() error {
	data := modelsView{Models: []string{"Direct", "Delegate", "Proxy", "RA mode"}, CLI: []string{"chancery authority kinds"}, Lines: []modelLine{
		{"Who makes the key", []string{"The device", "The device", "The device", "The device; Chancery where the template says so"}},
		{"Who talks to whom", []string{"The device to the SCEP server; Chancery knows nothing", "The device to the SCEP server, Chancery to its challenge page", "The device to Chancery, Chancery to the server; nothing is opened on the way", "The device to an endpoint of Chancery, Chancery as a client of its own to the server"}},
		{"What devices must reach", []string{"The SCEP server", "The SCEP server", "Chancery only", "Chancery only"}},
		{"What a stolen challenge may obtain", []string{"Whatever the server gives for it", "Whatever the server gives for it, while it lives", "Whatever the server gives for it, but only with the token of the pass, and before a device is bound to it", "What the template gives, for that one device; a static challenge of the server never leaves Chancery"}},
		{"What is checked here", []string{"Nothing", "The device and the template, before the challenge is fetched", "The token, the signature, the algorithms and the transaction", "The whole request, against the template"}},
		{"What the trace shows", []string{"Nothing", "The parameters, and the certificate when it is reported", "Each of the nineteen steps", "The request from the challenge to the certificate"}},
		{"Renewal", []string{"By the device", "By a new pass, made in time", "By a new pass, made in time, or by the device through its pass", "By the device here, or by Chancery where the key is here"}},
		{"Revocation", []string{"At the CA", "At the CA", "At the CA", "At the CA, or here where the authority, or another one that reaches the same CA, can revoke"}},
	}}
	for _, k := range v.kinds() {
		if hasServer(k.Kind) {
			data.Kinds = append(data.Kinds, k)
		}
	}
	return modelsPage.show(v, http.StatusOK, data)
}

// hasServer reports whether authorities of a kind have a SCEP server of their
// own: those offer to hide it behind the proxy.
func hasServer(k ca.Kind) bool {
	return slices.ContainsFunc(setting.Fields(k.New()), func(f setting.Field) bool { return f.Name == "proxy" })
}
