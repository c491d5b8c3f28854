package api

import (
	"net/http"
	"strings"
	"testing"

	"chancery/internal/api/resource"
)

// TestKeyDelivery: a certificate says where its key goes, and what waits goes by
// the certificate.
func TestKeyDelivery(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := w.populate("acme")
		var tpl resource.Template
		w.do(http.StatusCreated, post, "/templates", map[string]any{"group_id": s.Group, "authority_id": s.Authority, "name": "escrowed",
			"spec": map[string]any{"subject": "CN={DeviceUid}", "key_type": "p-256", "key_place": "server", "publish": map[string]any{"key": "service", "key_service": s.KeyService}}}, &tpl)
		var r resource.Request
		w.do(http.StatusCreated, post, "/requests", map[string]any{"template_id": tpl.ID, "device_id": s.Device, "wait": true}, &r)
		var c resource.Certificate
		w.do(http.StatusOK, get, "/certificates/"+r.CertificateID, nil, &c)
		if d := c.KeyDelivery; d == nil || d.KeyServiceID != s.KeyService || d.DirectoryID != "" || d.Delivered || d.Action != "hand_over" || !strings.HasPrefix(d.ID, "kdl_") {
			t.Errorf("its key: %+v", c.KeyDelivery)
		}
		var waiting resource.Page[resource.Waiting]
		w.do(http.StatusOK, get, "/obligations?action=hand_over", nil, &waiting)
		if len(waiting.Items) != 1 || waiting.Items[0].Kind != "key_delivery" || waiting.Items[0].ID != c.ID {
			t.Errorf("what waits: %+v", waiting.Items)
		}
		var plain resource.Certificate
		w.do(http.StatusOK, get, "/certificates/"+s.Certificate, nil, &plain)
		if plain.KeyDelivery != nil {
			t.Errorf("a key that stays with its device goes to %+v", plain.KeyDelivery)
		}
		w.refused(w.owner, http.StatusConflict, remove, prefix+"/key-services/"+s.KeyService, nil)
	})
}
