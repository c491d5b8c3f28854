package console

import "chancery/internal/access"

// route is one line of the console's table of contents.
type route struct {
	pattern string
	needs   access.Permission // hides what would be refused; empty: anybody who is signed in
	whole   bool              // needs it in the whole installation
	open    bool              // needs no session
	upload  bool              // takes a file
	do      func(*visit) error
}

// routes lists every page and every action. What a screen does is decided by
// the capability it calls; needs only keeps people from pages they could not
// use.
var routes = []route{
	{pattern: "GET /sign-in", open: true, do: (*visit).signInPage},
	{pattern: "POST /sign-in", open: true, do: (*visit).signIn},
	{pattern: "GET /sign-in/link", open: true, do: (*visit).linkPage},
	{pattern: "POST /sign-in/link", open: true, do: (*visit).useLink},
	{pattern: "POST /sign-in/passkey/begin", open: true, do: (*visit).beginPasskey},
	{pattern: "POST /sign-in/passkey/finish", open: true, do: (*visit).finishPasskey},
	{pattern: "POST /sign-out", open: true, do: (*visit).signOut},

	{pattern: "GET /profile", do: (*visit).profile},
	{pattern: "POST /profile", do: (*visit).saveProfile},
	{pattern: "POST /profile/password", do: (*visit).changePassword},
	{pattern: "POST /profile/passkeys/begin", do: (*visit).beginRegistration},
	{pattern: "POST /profile/passkeys/finish", do: (*visit).finishRegistration},
	{pattern: "GET /profile/passkeys/{id}/remove", do: (*visit).removePasskeyPage},
	{pattern: "POST /profile/passkeys/{id}/remove", do: (*visit).removePasskey},

	{pattern: "GET /{$}", needs: access.See, do: (*visit).now},
	{pattern: "GET /search", needs: access.See, do: (*visit).search},
	{pattern: "GET /search.json", needs: access.See, do: (*visit).searchJSON},

	{pattern: "GET /certificates", needs: access.See, do: (*visit).certificates},
	{pattern: "GET /certificates.csv", needs: access.See, do: (*visit).certificatesCSV},
	{pattern: "POST /certificates/revoke", needs: access.Revoke, do: (*visit).bulkRevokePage},
	{pattern: "POST /certificates/revoke/confirm", needs: access.Revoke, do: (*visit).bulkRevoke},
	{pattern: "POST /certificates/revoke/all", needs: access.Revoke, do: (*visit).bulkRevokeAll},
	{pattern: "GET /revocations", needs: access.Revoke, do: (*visit).revocations},
	{pattern: "GET /revocations/{id}", needs: access.Revoke, do: (*visit).revocation},
	{pattern: "GET /certificates/{id}", needs: access.See, do: (*visit).certificate},
	{pattern: "GET /certificates/{id}/download", needs: access.See, do: (*visit).certificateFile},
	{pattern: "GET /certificates/{id}/renew", needs: access.Request, do: (*visit).renewPage},
	{pattern: "POST /certificates/{id}/renew", needs: access.Request, do: (*visit).renew},
	{pattern: "GET /certificates/{id}/pass", needs: access.Request, do: (*visit).passByCertificatePage},
	{pattern: "POST /certificates/{id}/pass", needs: access.Request, do: (*visit).passByCertificate},
	{pattern: "GET /certificates/{id}/revoke", needs: access.Revoke, do: (*visit).revokePage},
	{pattern: "POST /certificates/{id}/revoke", needs: access.Revoke, do: (*visit).revoke},
	{pattern: "GET /certificates/{id}/hold", needs: access.Revoke, do: (*visit).holdPage},
	{pattern: "POST /certificates/{id}/hold", needs: access.Revoke, do: (*visit).hold},
	{pattern: "GET /certificates/{id}/unhold", needs: access.Revoke, do: (*visit).unholdPage},
	{pattern: "POST /certificates/{id}/unhold", needs: access.Revoke, do: (*visit).unhold},
	{pattern: "GET /certificates/{id}/key", needs: access.TakeKey, do: (*visit).keyPage},
	{pattern: "POST /certificates/{id}/key", needs: access.TakeKey, do: (*visit).takeKey},

	{pattern: "GET /requests", needs: access.See, do: (*visit).requests},
	{pattern: "GET /requests/new", needs: access.Request, do: (*visit).newRequestPage},
	{pattern: "POST /requests/new", needs: access.Request, upload: true, do: (*visit).newRequest},
	{pattern: "GET /requests/{id}", needs: access.See, do: (*visit).request},
	{pattern: "POST /requests/{id}/decide", needs: access.Approve, do: (*visit).decide},
	{pattern: "GET /requests/{id}/cancel", needs: access.Request, do: (*visit).cancelRequestPage},
	{pattern: "POST /requests/{id}/cancel", needs: access.Request, do: (*visit).cancelRequest},

	{pattern: "GET /passes", needs: access.See, do: (*visit).passes},
	{pattern: "GET /passes.csv", needs: access.See, do: (*visit).passesCSV},
	{pattern: "GET /passes/models", needs: access.See, do: (*visit).models},
	{pattern: "GET /passes/new", needs: access.Request, do: (*visit).newPassPage},
	{pattern: "POST /passes/new", needs: access.Request, do: (*visit).newPass},
	{pattern: "GET /passes/{id}", needs: access.See, do: (*visit).pass},
	{pattern: "GET /passes/{id}/parameters", needs: access.EditDevices, do: (*visit).passParametersPage},
	{pattern: "POST /passes/{id}/parameters", needs: access.EditDevices, do: (*visit).passParameters},
	{pattern: "GET /passes/{id}/revoke", needs: access.EditDevices, do: (*visit).revokePassPage},
	{pattern: "POST /passes/{id}/revoke", needs: access.EditDevices, do: (*visit).revokePass},
	{pattern: "GET /traces/{id}", needs: access.See, do: (*visit).trace},

	{pattern: "GET /devices", needs: access.See, do: (*visit).devices},
	{pattern: "GET /devices.csv", needs: access.See, do: (*visit).devicesCSV},
	{pattern: "GET /devices/new", needs: access.EditDevices, do: (*visit).newDevicePage},
	{pattern: "POST /devices/new", needs: access.EditDevices, do: (*visit).newDevice},
	{pattern: "GET /devices/import", needs: access.EditDevices, do: (*visit).importDevicesPage},
	{pattern: "POST /devices/import", needs: access.EditDevices, upload: true, do: (*visit).importDevices},
	{pattern: "GET /devices/{id}", needs: access.See, do: (*visit).device},
	{pattern: "GET /devices/{id}/edit", needs: access.EditDevices, do: (*visit).editDevicePage},
	{pattern: "POST /devices/{id}/edit", needs: access.EditDevices, do: (*visit).editDevice},
	{pattern: "POST /devices/{id}/enrol", needs: access.EditDevices, do: (*visit).enrolDevice},
	{pattern: "GET /devices/{id}/unenrol", needs: access.EditDevices, do: (*visit).unenrolDevicePage},
	{pattern: "POST /devices/{id}/unenrol", needs: access.EditDevices, do: (*visit).unenrolDevice},
	{pattern: "GET /devices/{id}/block", needs: access.EditDevices, do: (*visit).blockDevicePage},
	{pattern: "POST /devices/{id}/block", needs: access.EditDevices, do: (*visit).blockDevice},
	{pattern: "GET /devices/{id}/delete", needs: access.EditDevices, do: (*visit).deleteDevicePage},
	{pattern: "POST /devices/{id}/delete", needs: access.EditDevices, do: (*visit).deleteDevice},
	{pattern: "GET /devices/{id}/challenge", needs: access.EditDevices, do: (*visit).newChallengePage},
	{pattern: "POST /devices/{id}/challenge", needs: access.EditDevices, do: (*visit).newChallenge},
	{pattern: "POST /devices/{id}/challenges/{challenge}/delete", needs: access.EditDevices, do: (*visit).deleteChallenge},

	{pattern: "GET /users", needs: access.See, do: (*visit).users},
	{pattern: "GET /users.csv", needs: access.See, do: (*visit).usersCSV},
	{pattern: "GET /users/new", needs: access.EditDevices, do: (*visit).newUserPage},
	{pattern: "POST /users/new", needs: access.EditDevices, do: (*visit).newUser},
	{pattern: "GET /users/import", needs: access.EditDevices, do: (*visit).importUsersPage},
	{pattern: "POST /users/import", needs: access.EditDevices, upload: true, do: (*visit).importUsers},
	{pattern: "GET /users/{id}", needs: access.See, do: (*visit).user},
	{pattern: "GET /users/{id}/edit", needs: access.EditDevices, do: (*visit).editUserPage},
	{pattern: "POST /users/{id}/edit", needs: access.EditDevices, do: (*visit).editUser},
	{pattern: "GET /users/{id}/delete", needs: access.EditDevices, do: (*visit).deleteUserPage},
	{pattern: "POST /users/{id}/delete", needs: access.EditDevices, do: (*visit).deleteUser},

	{pattern: "GET /groups", needs: access.See, do: (*visit).groups},
	{pattern: "GET /groups/new", needs: access.EditGroups, do: (*visit).newGroupPage},
	{pattern: "POST /groups/new", needs: access.EditGroups, do: (*visit).newGroup},
	{pattern: "GET /groups/{id}", needs: access.See, do: (*visit).group},
	{pattern: "GET /groups/{id}/edit", needs: access.EditGroups, do: (*visit).editGroupPage},
	{pattern: "POST /groups/{id}/edit", needs: access.EditGroups, do: (*visit).editGroup},
	{pattern: "GET /groups/{id}/delete", needs: access.EditGroups, do: (*visit).deleteGroupPage},
	{pattern: "POST /groups/{id}/delete", needs: access.EditGroups, do: (*visit).deleteGroup},

	{pattern: "GET /templates", needs: access.See, do: (*visit).templates},
	{pattern: "GET /templates/new", needs: access.EditTemplates, do: (*visit).newTemplatePage},
	{pattern: "POST /templates/new", needs: access.EditTemplates, do: (*visit).newTemplate},
	{pattern: "GET /templates/{id}", needs: access.See, do: (*visit).template},
	{pattern: "GET /templates/{id}/edit", needs: access.EditTemplates, do: (*visit).editTemplatePage},
	{pattern: "POST /templates/{id}/edit", needs: access.EditTemplates, do: (*visit).editTemplate},
	{pattern: "GET /templates/{id}/disable", needs: access.EditTemplates, do: (*visit).disableTemplatePage},
	{pattern: "POST /templates/{id}/disable", needs: access.EditTemplates, do: (*visit).disableTemplate},
	{pattern: "POST /templates/{id}/enable", needs: access.EditTemplates, do: (*visit).enableTemplate},
	{pattern: "GET /templates/{id}/delete", needs: access.EditTemplates, do: (*visit).deleteTemplatePage},
	{pattern: "POST /templates/{id}/delete", needs: access.EditTemplates, do: (*visit).deleteTemplate},

	{pattern: "GET /endpoints", needs: access.See, do: (*visit).endpoints},
	{pattern: "GET /endpoints/new", needs: access.EditTemplates, do: (*visit).newEndpointPage},
	{pattern: "POST /endpoints/new", needs: access.EditTemplates, do: (*visit).newEndpoint},
	{pattern: "GET /endpoints/{id}", needs: access.See, do: (*visit).endpoint},
	{pattern: "GET /endpoints/{id}/edit", needs: access.EditTemplates, do: (*visit).editEndpointPage},
	{pattern: "POST /endpoints/{id}/edit", needs: access.EditTemplates, do: (*visit).editEndpoint},
	{pattern: "GET /endpoints/{id}/delete", needs: access.EditTemplates, do: (*visit).deleteEndpointPage},
	{pattern: "POST /endpoints/{id}/delete", needs: access.EditTemplates, do: (*visit).deleteEndpoint},

	{pattern: "GET /authorities", needs: access.See, do: (*visit).authorities},
	{pattern: "GET /authorities/new", needs: access.EditAuthorities, do: (*visit).newAuthorityPage},
	{pattern: "POST /authorities/new", needs: access.EditAuthorities, do: (*visit).newAuthority},
	{pattern: "GET /authorities/{id}", needs: access.See, do: (*visit).authority},
	{pattern: "GET /authorities/{id}/edit", needs: access.EditAuthorities, do: (*visit).editAuthorityPage},
	{pattern: "POST /authorities/{id}/edit", needs: access.EditAuthorities, do: (*visit).editAuthority},
	{pattern: "POST /authorities/{id}/test", needs: access.EditAuthorities, do: (*visit).testAuthority},
	{pattern: "GET /authorities/{id}/chain.pem", needs: access.See, do: (*visit).authorityChain},
	{pattern: "POST /authorities/{id}/csr", needs: access.EditAuthorities, do: (*visit).authorityCSR},
	{pattern: "POST /authorities/{id}/install", needs: access.EditAuthorities, do: (*visit).installAuthority},
	{pattern: "GET /authorities/{id}/renew", needs: access.EditAuthorities, do: (*visit).renewAuthorityPage},
	{pattern: "POST /authorities/{id}/renew", needs: access.EditAuthorities, do: (*visit).renewAuthority},
	{pattern: "POST /authorities/{id}/compare", needs: access.EditAuthorities, do: (*visit).compareAuthority},
	{pattern: "POST /authorities/{id}/accept", needs: access.EditAuthorities, do: (*visit).acceptAuthority},
	{pattern: "GET /authorities/{id}/guard", needs: access.See, do: (*visit).guard},
	{pattern: "POST /authorities/{id}/guard", needs: access.EditAuthorities, do: (*visit).runGuard},
	{pattern: "GET /authorities/{id}/import", needs: access.See, do: (*visit).caImport},
	{pattern: "GET /authorities/{id}/import/setup", needs: access.EditAuthorities, do: (*visit).setupImportPage},
	{pattern: "POST /authorities/{id}/import/setup", needs: access.EditAuthorities, do: (*visit).setupImport},
	{pattern: "POST /authorities/{id}/import/preview", needs: access.EditAuthorities, do: (*visit).previewImport},
	{pattern: "GET /authorities/{id}/import/run", needs: access.EditAuthorities, do: (*visit).orderImportPage},
	{pattern: "POST /authorities/{id}/import/run", needs: access.EditAuthorities, do: (*visit).orderImport},
	{pattern: "GET /authorities/{id}/import/remove", needs: access.EditAuthorities, do: (*visit).removeImportPage},
	{pattern: "POST /authorities/{id}/import/remove", needs: access.EditAuthorities, do: (*visit).removeImport},
	{pattern: "GET /imports/{id}", needs: access.See, do: (*visit).importRun},
	{pattern: "POST /imports/{id}/cancel", needs: access.EditAuthorities, do: (*visit).cancelImport},
	{pattern: "GET /differences", needs: access.See, do: (*visit).differences},
	{pattern: "GET /differences.csv", needs: access.See, do: (*visit).differencesCSV},
	{pattern: "GET /differences/{id}", needs: access.See, do: (*visit).difference},
	{pattern: "GET /differences/{id}/settle", needs: access.EditAuthorities, do: (*visit).settlePage},
	{pattern: "POST /differences/{id}/settle", needs: access.EditAuthorities, do: (*visit).settle},
	{pattern: "GET /dangers/{id}/show", needs: access.See, do: (*visit).danger},
	{pattern: "GET /dangers/{id}/sign-off", needs: access.EditAuthorities, do: (*visit).signOffPage},
	{pattern: "POST /dangers/{id}/sign-off", needs: access.EditAuthorities, do: (*visit).signOff},
	{pattern: "POST /dangers/{id}/reopen", needs: access.EditAuthorities, do: (*visit).reopenDanger},
	{pattern: "GET /authorities/{id}/delete", needs: access.EditAuthorities, do: (*visit).deleteAuthorityPage},
	{pattern: "POST /authorities/{id}/delete", needs: access.EditAuthorities, do: (*visit).deleteAuthority},

	{pattern: "GET /key-services", needs: access.See, do: (*visit).keyServices},
	{pattern: "GET /key-services/new", needs: access.EditAuthorities, do: keyServiceDefinition.newPage},
	{pattern: "POST /key-services/new", needs: access.EditAuthorities, do: keyServiceDefinition.makeNew},
	{pattern: "GET /key-services/{id}", needs: access.See, do: (*visit).keyService},
	{pattern: "GET /key-services/{id}/edit", needs: access.EditAuthorities, do: keyServiceDefinition.editPage},
	{pattern: "POST /key-services/{id}/edit", needs: access.EditAuthorities, do: keyServiceDefinition.edit},
	{pattern: "POST /key-services/{id}/test", needs: access.EditAuthorities, do: (*visit).testKeyService},
	{pattern: "GET /key-services/{id}/delete", needs: access.EditAuthorities, do: (*visit).deleteKeyServicePage},
	{pattern: "POST /key-services/{id}/delete", needs: access.EditAuthorities, do: (*visit).deleteKeyService},

	{pattern: "GET /directories", needs: access.See, do: (*visit).directories},
	{pattern: "GET /directories/new", needs: access.EditAuthorities, do: directoryDefinition.newPage},
	{pattern: "POST /directories/new", needs: access.EditAuthorities, do: directoryDefinition.makeNew},
	{pattern: "GET /directories/{id}", needs: access.See, do: (*visit).directory},
	{pattern: "GET /directories/{id}/edit", needs: access.EditAuthorities, do: directoryDefinition.editPage},
	{pattern: "POST /directories/{id}/edit", needs: access.EditAuthorities, do: directoryDefinition.edit},
	{pattern: "POST /directories/{id}/test", needs: access.EditAuthorities, do: (*visit).testDirectory},
	{pattern: "POST /directories/{id}/preview", needs: access.EditAuthorities, do: (*visit).previewSync},
	{pattern: "POST /directories/{id}/sync", needs: access.EditAuthorities, do: (*visit).orderSync},
	{pattern: "GET /directories/{id}/delete", needs: access.EditAuthorities, do: (*visit).deleteDirectoryPage},
	{pattern: "POST /directories/{id}/delete", needs: access.EditAuthorities, do: (*visit).deleteDirectory},
	{pattern: "GET /syncs/{id}", needs: access.See, do: (*visit).sync},
	{pattern: "GET /syncs/{id}/confirm", needs: access.EditAuthorities, do: (*visit).confirmSyncPage},
	{pattern: "POST /syncs/{id}/confirm", needs: access.EditAuthorities, do: (*visit).confirmSync},

	{pattern: "GET /obligations", needs: access.See, do: (*visit).obligations},
	{pattern: "GET /audit", needs: access.SeeAudit, do: (*visit).auditLog},
	{pattern: "POST /audit/verify", needs: access.SeeAudit, do: (*visit).verifyAudit},

	{pattern: "GET /administrators", needs: access.EditAdmins, do: (*visit).admins},
	{pattern: "GET /administrators/new", needs: access.EditAdmins, do: (*visit).newAdminPage},
	{pattern: "POST /administrators/new", needs: access.EditAdmins, do: (*visit).newAdmin},
	{pattern: "GET /administrators/{id}", needs: access.EditAdmins, do: (*visit).adminPage},
	{pattern: "GET /administrators/{id}/edit", needs: access.EditAdmins, do: (*visit).editAdminPage},
	{pattern: "POST /administrators/{id}/edit", needs: access.EditAdmins, do: (*visit).editAdmin},
	{pattern: "POST /administrators/{id}/link", needs: access.EditAdmins, do: (*visit).createLink},
	{pattern: "GET /administrators/{id}/reset", needs: access.EditAdmins, do: (*visit).resetAdminPage},
	{pattern: "POST /administrators/{id}/reset", needs: access.EditAdmins, do: (*visit).resetAdmin},
	{pattern: "GET /administrators/{id}/delete", needs: access.EditAdmins, do: (*visit).deleteAdminPage},
	{pattern: "POST /administrators/{id}/delete", needs: access.EditAdmins, do: (*visit).deleteAdmin},

	{pattern: "GET /tokens", needs: access.EditAdmins, do: (*visit).tokens},
	{pattern: "GET /tokens/new", needs: access.EditAdmins, do: (*visit).newTokenPage},
	{pattern: "POST /tokens/new", needs: access.EditAdmins, do: (*visit).newToken},
	{pattern: "GET /tokens/{id}/revoke", needs: access.EditAdmins, do: (*visit).revokeTokenPage},
	{pattern: "POST /tokens/{id}/revoke", needs: access.EditAdmins, do: (*visit).revokeToken},

	{pattern: "GET /master-key", needs: access.EditAdmins, whole: true, do: (*visit).masterKey},
	{pattern: "GET /master-key/rotate", needs: access.EditAdmins, whole: true, do: (*visit).rotateMasterKeyPage},
	{pattern: "POST /master-key/rotate", needs: access.EditAdmins, whole: true, do: (*visit).rotateMasterKey},
	{pattern: "GET /master-key/drop", needs: access.EditAdmins, whole: true, do: (*visit).dropMasterKeyPage},
	{pattern: "POST /master-key/drop", needs: access.EditAdmins, whole: true, do: (*visit).dropMasterKey},

	{pattern: "GET /status", needs: access.See, do: (*visit).status},
}

// menuSection is a group of entries of the menu.
type menuSection struct {
	Title string
	Items []menuItem
}

// menuItem leads to the first page of something.
type menuItem struct {
	Title, Path, Icon string
}

var menu = []menuSection{
	{"", []menuItem{{"Now", "/", "clock"}}},
	{"Certificates", []menuItem{{"Certificates", "/certificates", "certificate"}, {"Revocations", "/revocations", "revoke"}, {"Requests", "/requests", "request"}, {"Passes", "/passes", "pass"}, {"Obligations", "/obligations", "todo"}, {"Differences", "/differences", "difference"}}},
	{"Holders", []menuItem{{"Devices", "/devices", "device"}, {"Users", "/users", "person"}, {"Groups", "/groups", "group"}, {"Directories", "/directories", "directory"}}},
	{"Issuance", []menuItem{{"Templates", "/templates", "template"}, {"SCEP endpoints", "/endpoints", "endpoint"}, {"Authorities", "/authorities", "authority"}, {"Key services", "/key-services", "key"}}},
	{"Installation", []menuItem{{"Audit log", "/audit", "audit"}, {"Administrators", "/administrators", "person"}, {"API tokens", "/tokens", "token"}, {"Master key", "/master-key", "key"}, {"Status", "/status", "status"}}},
}

// admits asks whether a route is for the visitor at all.
func (v *visit) admits(r *route) error {
	if r.needs == "" || !r.whole && access.May(v.actor, r.needs) {
		return nil
	}
	return access.Check(v.actor, r.needs, "")
}

// menu gives the entries the visitor can use.
func (v *visit) menu() []menuSection {
	var out []menuSection
	for _, s := range menu {
		var items []menuItem
		for _, m := range s.Items {
			pattern := "GET " + m.Path
			if m.Path == "/" {
				pattern = "GET /{$}"
			}
			if v.admits(v.routes[pattern]) == nil {
				items = append(items, m)
			}
		}
		if len(items) > 0 {
			out = append(out, menuSection{s.Title, items})
		}
	}
	return out
}
