package main

import "encoding/base64"

// plantDirectories defines directories with marked secrets, and has each of them
// tested and taken over: nothing answers there.
func (s *site) plantDirectories() {
	group := text(s.list("/groups")[0], "id")
	keytab := base64.StdEncoding.EncodeToString([]byte("\x05\x02" + s.mark("directory.keytab")))
	s.birds.add(s.t, "directory.keytab as sent", []byte(keytab))
	for name, settings := range map[string]object{
		"by password": {"password": s.mark("directory.password")},
		"by keytab":   {"login": "kerberos", "realm": "CORP.EXAMPLE.TEST", "kdcs": []string{"127.0.0.1:1"}, "keytab": keytab},
	} {
		settings["servers"], settings["user"] = []string{"127.0.0.1:1"}, "svc"
		d := "/directories/" + text(s.done("POST", "/directories", object{"group_id": group, "name": name, "settings": settings}), "id")
		s.ask("PATCH", d, object{"settings": object{"password": s.mark("another password for " + name)}})
		s.ask("GET", d, nil)
		s.ask("POST", d+"/test", nil)
		s.ask("POST", d+"/syncs", object{"preview": true})
	}
	s.ask("POST", "/directories/test", object{"settings": object{"servers": []string{"127.0.0.1:1"}, "user": "svc", "password": s.mark("a password only tested")}})
}
