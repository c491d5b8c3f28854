package ca

// Hosted is implemented by Settings that can name things of the machine the
// server runs on: files, libraries, tokens, what the credentials of the service
// open. They do not belong to any organization group, so whoever names one that
// was not named before must be allowed to edit authorities in the whole
// installation.
type Hosted interface {
	// HostParts gives what the settings name now, without empty texts.
	HostParts() []string
}
