package inventory

import (
	"context"
	"fmt"
	"slices"

	"chancery/internal/access"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// FindGroups lists the organization groups the actor may see.
func (s *Service) FindGroups(ctx context.Context, actor ra.Actor, f store.GroupFilter) (list []*ra.Group, next string, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		if f.Under != "" {
			if err := access.CheckGroup(tx, actor, access.See, f.Under); err != nil {
				return err
			}
			list, next, err = tx.FindGroups(f)
			return err
		}
		scope, err := access.Scope(tx, actor, access.See)
		if err != nil {
			return err
		}
		if scope == nil {
			list, next, err = tx.FindGroups(f)
		} else if len(scope) > 0 {
			list, next, err = visible(tx, f, scope)
		}
		return err
	})
	return list, next, err
}

// visible gives one page of the groups in a scope. Every round asks for as many rows as are missing, so that the last cursor is
// that of the page.
func visible(tx *store.Tx, f store.GroupFilter, scope []ra.GroupID) (list []*ra.Group, next string, err error) {
	limit := f.Limit
	if limit <= 0 || limit > store.MaxPage {
		limit = 50
	}
	for {
		f.Limit = limit - len(list)
		page, next, err := tx.FindGroups(f)
		if err != nil {
			return nil, "", err
		}
		for _, g := range page {
			if _, found := slices.BinarySearch(scope, g.ID); found {
				list = append(list, g)
			}
		}
		if next == "" || len(list) == limit {
			return list, next, nil
		}
		f.After = next
	}
}

// Node is a group in the tree of those somebody may see.
type Node struct {
	*ra.Group
	Effective ra.GroupSettings // with what is inherited
	Depth     int              // 0 at the top of what is shown
	Children  []*Node          // by name
}

// Tree gives the organization groups the actor may see as trees, by name. A
// group whose parent is hidden stands at the top.
func (s *Service) Tree(ctx context.Context, actor ra.Actor) ([]*Node, error) {
	return read(ctx, s.DB, func(tx *store.Tx) ([]*Node, error) {
		scope, err := access.Scope(tx, actor, access.See)
		if err != nil {
			return nil, err
		}
		all, err := everyGroup(tx)
		if err != nil {
			return nil, err
		}
		nodes := make(map[ra.GroupID]*Node, len(all))
		for _, g := range all {
			nodes[g.ID] = &Node{Group: g}
		}
		top := []*Node{}
		for _, g := range all {
			if scope != nil {
				if _, found := slices.BinarySearch(scope, g.ID); !found {
					continue
				}
			}
			n := nodes[g.ID]
			if parent := nodes[g.ParentID]; parent != nil && access.Check(actor, access.See, parent.Path) == nil {
				parent.Children = append(parent.Children, n)
			} else {
				top = append(top, n)
			}
		}
		for _, n := range nodes {
			n.Effective = effective(nodes, n)
		}
		setDepth(top, 0)
		return top, nil
	})
}

func effective(nodes map[ra.GroupID]*Node, n *Node) ra.GroupSettings {
	settings := n.Settings
	for parent := nodes[n.ParentID]; parent != nil; parent = nodes[parent.ParentID] {
		settings = settings.Inherit(parent.Settings)
	}
	return settings
}

func setDepth(nodes []*Node, depth int) {
	for _, n := range nodes {
		n.Depth = depth
		setDepth(n.Children, depth+1)
	}
}

// everyGroup gives all groups by name.
func everyGroup(tx *store.Tx) (all []*ra.Group, err error) {
	f := store.GroupFilter{Page: store.Page{Limit: store.MaxPage}}
	for {
		page, next, err := tx.FindGroups(f)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if next == "" {
			return all, nil
		}
		f.After = next
	}
}

// contents says in words what a group holds, nothing for an empty one.
func contents(tx *store.Tx, g *ra.Group) ([]string, error) {
	var inside []string
	here, page := []ra.GroupID{g.ID}, store.Page{Limit: store.MaxPage}
	say := func(n int, next, one, many string) {
		switch {
		case next != "":
			inside = append(inside, fmt.Sprintf("more than %d %s", n, many))
		case n == 1:
			inside = append(inside, "1 "+one)
		case n > 1:
			inside = append(inside, fmt.Sprintf("%d %s", n, many))
		}
	}
	groups, err := tx.GroupsUnder(g.Path)
	if err != nil {
		return nil, err
	}
	say(len(groups)-1, "", "group", "groups")
	users, next, err := tx.FindUsers(store.UserFilter{Groups: here, Page: page})
	if err != nil {
		return nil, err
	}
	say(len(users), next, "user", "users")
	devices, next, err := tx.FindDevices(store.DeviceFilter{Groups: here, Page: page})
	if err != nil {
		return nil, err
	}
	say(len(devices), next, "device", "devices")
	authorities, next, err := tx.FindAuthorities(store.AuthorityFilter{Groups: here, Page: page})
	if err != nil {
		return nil, err
	}
	say(len(authorities), next, "authority", "authorities")
	directories, next, err := tx.FindDirectories(store.DirectoryFilter{Groups: here, Page: page})
	if err != nil {
		return nil, err
	}
	say(len(directories), next, "directory", "directories")
	services, next, err := tx.FindKeyServices(store.KeyServiceFilter{Groups: here, Page: page})
	if err != nil {
		return nil, err
	}
	say(len(services), next, "key service", "key services")
	templates, next, err := tx.FindTemplates(store.TemplateFilter{Groups: here, Page: page})
	if err != nil {
		return nil, err
	}
	say(len(templates), next, "template", "templates")
	endpoints, next, err := tx.FindEndpoints(store.EndpointFilter{Groups: here, Page: page})
	if err != nil {
		return nil, err
	}
	say(len(endpoints), next, "SCEP endpoint", "SCEP endpoints")
	requests, next, err := tx.FindRequests(store.RequestFilter{Groups: here, Page: page})
	if err != nil {
		return nil, err
	}
	say(len(requests), next, "request", "requests")
	certificates, next, err := tx.FindCertificates(store.CertificateFilter{Groups: here, OwnToo: true, Page: page})
	if err != nil {
		return nil, err
	}
	say(len(certificates), next, "certificate", "certificates")
	return inside, nil
}
