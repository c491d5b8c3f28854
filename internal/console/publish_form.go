package console

import (
	"strings"

	"chancery/internal/ra"
	"chancery/internal/setting"
)

// describePublish names the fields of what a template does with keys that are
// not made on the device. They are called spec.publish_key, because the name of
// a field has no dots, where an error says spec.publish.key.
func (f *specForm) describePublish(s *setting.Form) {
	made := []string{string(ra.KeyHere), string(ra.KeyAtCA)}
	s.Section("Where the key also goes", "A key that is made here or at the authority may be brought elsewhere, besides being handed out.")
	s.Choice(&f.Publish.Key, "publish_key", "Bring the key to").When("key_place", made...).Options(
		setting.Option{Value: ra.KeyToDirectory, Label: "Its user's directory entry", Help: "As a PKCS #12 under the directory's password for keys. A successor takes its place, unless former keys stay."},
		setting.Option{Value: ra.KeyToService, Label: "A key service", Help: "Encrypted for the certificate of a web service of your own."})
	s.Choice((*string)(&f.Publish.KeyService), "publish_key_service", "Key service").When("publish_key", ra.KeyToService).Lookup("key_services")
	s.Bool(&f.Publish.KeepFormer, "publish_keep_former", "Former keys stay in the directory").When("publish_key", ra.KeyToDirectory).
		Help("A renewal adds its key beside the former ones, so that whoever reads them can open old mail. Without this it takes their place.")
	s.Bool(&f.Publish.WithdrawKey, "publish_withdraw_key", "Take the key out of the directory when its certificate is revoked").When("publish_key", ra.KeyToDirectory).
		Help("Without this it stays there, because mail that was encrypted for it must stay readable.")
}

// tidyPublish forgets what does not matter by what was chosen.
func tidyPublish(s *ra.TemplateSpec) {
	if s.KeyPlace == ra.KeyOnDevice {
		s.Publish.Key = ""
	}
	if s.Publish.Key != ra.KeyToService {
		s.Publish.KeyService = ""
	}
	if s.Publish.Key != ra.KeyToDirectory {
		s.Publish.KeepFormer, s.Publish.WithdrawKey = false, false
	}
}

// atPublishInputs leads what is wrong with publication to its inputs.
func atPublishInputs(wrong error) error {
	if wrong == nil {
		return nil
	}
	lead := func(e *ra.Error) *ra.Error {
		c := *e
		c.Field = strings.Replace(c.Field, "spec.publish.", "spec.publish_", 1)
		return &c
	}
	e := lead(ra.AsError(wrong))
	for i, d := range e.Details {
		if i == 0 {
			e.Details = append([]*ra.Error(nil), e.Details...)
		}
		e.Details[i] = lead(d)
	}
	return e
}

// keyGoes says in words where the keys of a template go.
func (v *visit) keyGoes(s *ra.PublishSpec) (lines []previewLine) {
	switch s.Key {
	case ra.KeyToDirectory:
		lines = append(lines, previewLine{"Key goes to", "its user's directory entry"})
	case ra.KeyToService:
		lines = append(lines, previewLine{"Key goes to", "the key service " + v.keyServiceLink(s.KeyService).Title})
	}
	if s.KeepFormer {
		lines = append(lines, previewLine{"Former keys", "stay there"})
	}
	if s.WithdrawKey {
		lines = append(lines, previewLine{"Key taken back", "when its certificate is revoked"})
	}
	return lines
}
